/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses for endpoints. Named addresses are held before automatic ones, so that an automatic port never takes an address
 * that the same request names further down.
 */
#include "registry/registry_internal.h"

#include "registry/problem.h"

#include <stdio.h>
#include <stdlib.h>

static bool registry_endpoint_is_ipv6_loopback(const struct addr *addr)
{
	return addr->any.sa_family == AF_INET6 && addr_is_loopback(addr);
}

/*
 * The addresses that PORT asks for. On a host without ::1 the other addresses suffice; a port that names ::1 alone must fail.
 */
static void registry_endpoint_take_addresses(const struct registry *registry, const struct spec_port *port,
					     struct endpoint *endpoint)
{
	for (size_t i = 0; i < port->listen_count; i++) {
		if (!registry->lacks_ipv6_loopback || !registry_endpoint_is_ipv6_loopback(&port->listen[i]))
			endpoint->listen[endpoint->listen_count++] = port->listen[i];
	}
	if (endpoint->listen_count == 0 && port->listen_count)
		endpoint->listen[endpoint->listen_count++] = port->listen[0];
}

int registry_endpoints_for(const struct registry *registry, const struct spec *spec, struct endpoint **endpoints)
{
	struct endpoint *made = NULL;

	if (spec->port_count) {
		made = calloc(spec->port_count, sizeof(*made));
		if (!made)
			return -1;
	}
	for (size_t i = 0; i < spec->port_count; i++) {
		made[i].port = spec->ports[i];
		if (!spec->ports[i].automatic)
			registry_endpoint_take_addresses(registry, &spec->ports[i], &made[i]);
	}
	*endpoints = made;
	return 0;
}

static void registry_endpoint_release_some(struct registry *registry, const struct endpoint *endpoint, size_t count)
{
	for (size_t i = 0; i < count; i++)
		registry_ports_release(registry->ports, endpoint->port.proto, &endpoint->listen[i]);
}

void registry_endpoints_release(struct registry *registry, const struct endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++)
		registry_endpoint_release_some(registry, &endpoints[i], endpoints[i].listen_count);
}

static int registry_endpoint_refuse_for_holder(const struct sandbox *sandbox, const struct endpoint *endpoint,
					       const struct addr *wanted, const struct port_holder *holder,
					       const char *field, struct problem *problem)
{
	const char *proto = addr_proto_name(endpoint->port.proto);
	char text[ADDR_TEXT_SIZE], held[ADDR_TEXT_SIZE + 8] = "";

	addr_format(wanted, text);
	if (!addr_equal(wanted, &holder->addr)) {
		char other[ADDR_TEXT_SIZE];

		snprintf(held, sizeof(held), " as %s", addr_format(&holder->addr, other));
	}
	if (!holder->sandbox)
		return registry_problem_set(problem, PROBLEM_CONFLICT, field, "%s (%s) belongs to %s%s", text, proto,
					    holder->name, held);
	if (holder->sandbox == sandbox)
		return registry_problem_set(
		    problem, PROBLEM_CONFLICT, field,
		    "%s (%s) is published already%s, by this sandbox: a request of its own must unpublish "
		    "it first",
		    text, proto, held);
	return registry_problem_set(problem, PROBLEM_CONFLICT, field, "%s (%s) is published already%s, by sandbox %s",
				    text, proto, held, holder->sandbox->id);
}

/* Holds the endpoint's addresses, all or none. */
static int registry_endpoint_hold_named(struct registry *registry, struct sandbox *sandbox,
					const struct endpoint *endpoint, const char *field, struct problem *problem)
{
	for (size_t i = 0; i < endpoint->listen_count; i++) {
		struct port_holder holder;
		int result = registry_ports_hold(registry->ports, endpoint->port.proto, &endpoint->listen[i], sandbox,
						 NULL, &holder);

		if (result == 0)
			continue;
		registry_endpoint_release_some(registry, endpoint, i);
		if (result > 0)
			return registry_endpoint_refuse_for_holder(sandbox, endpoint, &endpoint->listen[i], &holder,
								   field, problem);
		return registry_problem_no_memory(problem);
	}
	return 0;
}

static int registry_endpoint_hold_automatic(struct registry *registry, struct sandbox *sandbox,
					    struct endpoint *endpoint, const char *field, struct problem *problem)
{
	enum proto proto = endpoint->port.proto;
	uint16_t port = registry_ports_lowest_free(registry->ports, proto);
	unsigned held, avoided;

	if (port == 0) {
		registry_ports_usage(registry->ports, proto, &held, &avoided);
		return registry_problem_set(
		    problem, PROBLEM_UNAVAILABLE, field,
		    "no automatic %s port is free: of [ports] range = %u-%u, %u are published and %u "
		    "in use by other programs",
		    addr_proto_name(proto), registry->config->ports.first, registry->config->ports.last, held, avoided);
	}
	endpoint->listen[0] = addr_from_ipv4(INADDR_LOOPBACK, port);
	endpoint->listen[1] = addr_loopback6(port);
	endpoint->listen_count = registry->lacks_ipv6_loopback ? 1 : 2;
	if (registry_endpoint_hold_named(registry, sandbox, endpoint, field, problem) < 0) {
		endpoint->listen_count = 0;
		return -1;
	}
	return 0;
}

/* Whether the second pass, for automatic ports, is to give the endpoint an address. */
static bool registry_endpoint_wants_port(const struct endpoint *endpoint)
{
	return endpoint->port.automatic && endpoint->listen_count == 0;
}

/* Marks the endpoints that are held in HELD, so that a failure can be undone and nothing is held twice. */
static int registry_endpoints_hold_all(struct registry *registry, struct sandbox *sandbox, struct endpoint *endpoints,
				       bool *held, const struct endpoint_list *list, struct problem *problem)
{
	for (int automatic = 0; automatic < 2; automatic++) {
		size_t place = 0;

		for (size_t i = 0; i < list->count; i++) {
			char field[64];
			int result;

			if (list->kept && list->kept[i])
				continue;
			snprintf(field, sizeof(field), "%s/%zu%s", list->prefix, place++, automatic ? "" : "/listen");
			if (held[i] || registry_endpoint_wants_port(&endpoints[i]) != automatic)
				continue;
			result =
			    automatic
				? registry_endpoint_hold_automatic(registry, sandbox, &endpoints[i], field, problem)
				: registry_endpoint_hold_named(registry, sandbox, &endpoints[i], field, problem);
			if (result < 0)
				return -1;
			held[i] = true;
		}
	}
	return 0;
}

int registry_endpoints_hold(struct registry *registry, struct sandbox *sandbox, struct endpoint *endpoints,
			    const struct endpoint_list *list, struct problem *problem)
{
	bool *held;
	int result;

	if (list->count == 0)
		return 0;
	held = calloc(list->count, sizeof(*held));
	if (!held)
		return registry_problem_no_memory(problem);
	result = registry_endpoints_hold_all(registry, sandbox, endpoints, held, list, problem);
	for (size_t i = 0; result < 0 && i < list->count; i++) {
		if (held[i])
			registry_endpoints_release(registry, &endpoints[i], 1);
	}
	free(held);
	return result;
}

bool registry_endpoint_is_open(const struct endpoint *endpoint)
{
	for (size_t i = 0; endpoint->port.via == VIA_FORWARDER && i < endpoint->listen_count; i++)
		if (!endpoint->handles[i] && !endpoint->absent[i])
			return false;
	return true;
}
