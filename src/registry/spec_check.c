/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks a request by itself: whether the configuration lets its addresses be listened on, and whether its ports agree with
 * each other. The holdings of other sandboxes are the concern of endpoints.c.
 */
#include "registry/spec.h"

#include "config/config.h"
#include "registry/problem.h"

#include <stdio.h>

enum { PRIVILEGED_PORTS = 1024 };

static bool registry_spec_address_is_allowed(const struct addr *addr, const struct config *config)
{
	uint32_t ip;

	if (addr->any.sa_family != AF_INET)
		return false;
	ip = ntohl(addr->in.sin_addr.s_addr);
	for (size_t i = 0; i < config->ports.allow_address.count; i++) {
		if (addr_cidr4_contains(&config->ports.allow_address.items[i], ip))
			return true;
	}
	return false;
}

int registry_spec_check_listen(const struct addr *addr, enum via via, const struct config *config, const char *field,
			       struct problem *problem)
{
	char text[ADDR_TEXT_SIZE];

	addr_format(addr, text);
	if (addr_port(addr) == 0)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field, "port 0 is no port to listen on");
	if (!addr_can_be_asked(addr))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "%s: no client can ask there: it is a network, broadcast, multicast or "
					    "reserved address, or IPv4 written as IPv6",
					    text);
	if (addr_port(addr) < PRIVILEGED_PORTS && !config->ports.allow_privileged)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "%s is a privileged port (below %d), and [ports] allow_privileged is off",
					    text, PRIVILEGED_PORTS);
	if (via == VIA_NAT && (addr->any.sa_family != AF_INET || addr_is_loopback(addr)))
		return registry_problem_set(
		    problem, PROBLEM_BAD_REQUEST, field,
		    "%s cannot be published via nat: only IPv4 addresses that are not loopback can", text);
	if (!addr_is_loopback(addr) && !registry_spec_address_is_allowed(addr, config))
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "%s is not a loopback address, and [ports] allow_address does not list it",
					    text);
	return 0;
}

static int registry_spec_check_port(const struct spec_port *port, const char *prefix, size_t index,
				    struct problem *problem)
{
	char field[64];

	snprintf(field, sizeof(field), "%s/%zu/guest_port", prefix, index);
	if (port->guest_port == 0)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field, "port 0 is no port of a guest");
	snprintf(field, sizeof(field), "%s/%zu/listen", prefix, index);
	if (port->via == VIA_NAT && port->automatic)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "a port published via nat must say on which address");
	if (!port->automatic && port->listen_count == 0)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field, "an address is missing");
	snprintf(field, sizeof(field), "%s/%zu/proxy_protocol", prefix, index);
	if (port->proxy_protocol && port->via == VIA_NAT)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "nothing can add a header to a port published via nat");
	if (port->proxy_protocol && port->proto == PROTO_UDP)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "a header can be put before a TCP connection only");
	return 0;
}

bool registry_spec_listen_collides(const struct addr *a, const struct addr *b)
{
	if (a->any.sa_family != b->any.sa_family || addr_port(a) != addr_port(b))
		return false;
	return addr_is_wildcard(a) || addr_is_wildcard(b) || addr_same_host(a, b);
}

const struct addr *registry_spec_port_collision(const struct spec_port *a, const struct spec_port *b)
{
	if (a->proto != b->proto || a->automatic || b->automatic)
		return NULL;
	for (size_t i = 0; i < a->listen_count; i++) {
		for (size_t j = 0; j < b->listen_count; j++) {
			if (registry_spec_listen_collides(&a->listen[i], &b->listen[j]))
				return &b->listen[j];
		}
	}
	return NULL;
}

static int registry_spec_check_pair(const struct spec_port *ports, size_t earlier, size_t later, const char *prefix,
				    struct problem *problem)
{
	const struct spec_port *a = &ports[earlier], *b = &ports[later];
	const struct addr *addr = registry_spec_port_collision(a, b);
	char field[64], text[ADDR_TEXT_SIZE];

	if (addr) {
		snprintf(field, sizeof(field), "%s/%zu/listen", prefix, later);
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field,
					    "%s (%s) is given twice: guest port %u has it already",
					    addr_format(addr, text), addr_proto_name(b->proto), a->guest_port);
	}
	if (a->automatic && b->automatic && a->guest_port == b->guest_port && a->proto == b->proto) {
		snprintf(field, sizeof(field), "%s/%zu", prefix, later);
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, field, "guest port %u (%s) is given twice",
					    b->guest_port, addr_proto_name(b->proto));
	}
	return 0;
}

int registry_spec_check_ports(const struct spec_port *ports, size_t count, const char *prefix, struct problem *problem)
{
	if (count > SPEC_PORTS_MAX)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, prefix,
					    "%zu ports: a sandbox can publish at most %d", count, SPEC_PORTS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (registry_spec_check_port(&ports[i], prefix, i, problem) < 0)
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (registry_spec_check_pair(ports, j, i, prefix, problem) < 0)
				return -1;
		}
	}
	return 0;
}

int registry_spec_check(const struct spec *spec, const struct config *config, struct problem *problem)
{
	if (registry_spec_check_ports(spec->ports, spec->port_count, "/ports", problem) < 0)
		return -1;
	for (size_t i = 0; i < spec->port_count; i++) {
		const struct spec_port *port = &spec->ports[i];
		char field[64];

		snprintf(field, sizeof(field), "/ports/%zu/listen", i);
		for (size_t j = 0; j < port->listen_count; j++) {
			if (registry_spec_check_listen(&port->listen[j], port->via, config, field, problem) < 0)
				return -1;
		}
	}
	return 0;
}
