/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TCP ports of the guest, tried from inside the namespace as the forwarder does it. Without its ready_port, and without its agent
 * where that is expected to serve, the sandbox is broken. A program behind another published port may come and go, so its port is idle
 * while nothing accepts there.
 */
#include "health/walk.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_WAIT_MS = 1000 };

static void hop_tcp_add(struct hop_port *ports, size_t *count, size_t *left_out, uint16_t port, bool required)
{
	for (size_t i = 0; i < *count; i++)
		if (ports[i].probe.port == port)
			return;
	if (*count == HOP_PORTS_MAX)
		++*left_out;
	else
		ports[(*count)++] = (struct hop_port){ .required = required, .probe.port = port };
}

/* The ports to try, each once, the required ones first. *LEFT_OUT: published ones beyond HOP_PORTS_MAX, which are not tried. */
static size_t hop_tcp_collect(const struct diagnose_request *request, struct hop_port ports[static HOP_PORTS_MAX],
			      size_t *left_out)
{
	size_t count = 0;

	*left_out = 0;
	if (request->ready_port)
		hop_tcp_add(ports, &count, left_out, request->ready_port, true);
	if (hop_has_agent(request))
		hop_tcp_add(ports, &count, left_out, request->config->forwarder.default_guest_port, true);
	for (size_t i = 0; i < request->endpoint_count; i++)
		if (request->endpoints[i].proto == PROTO_TCP)
			hop_tcp_add(ports, &count, left_out, request->endpoints[i].guest_port, false);
	return count;
}

static void hop_tcp_name_ports(const struct diagnose_request *request, struct hop *hop, const struct hop_port *ports,
			       size_t count)
{
	uint16_t numbers[HOP_PORTS_MAX];

	for (size_t i = 0; i < count; i++)
		numbers[i] = ports[i].probe.port;
	hop_subject_ports(hop, request->layout->guest.ip, numbers, count);
}

/* Whether a port that ends so breaks the sandbox. */
static bool hop_tcp_is_fault(const struct hop_port *port)
{
	switch (port->probe.result) {
	case PROBE_ANSWERED:
		return false;
	case PROBE_REFUSED:
	case PROBE_SILENT:
		return port->required;
	case PROBE_UNREACHABLE:
	case PROBE_FAILED:
		return true;
	}
	return true;
}

static enum hop_status hop_tcp_explain(struct walk *walk, struct hop *hop, const struct probe_port *probe)
{
	char text[IPV4_TEXT_SIZE];

	switch (probe->result) {
	case PROBE_ANSWERED:
		return HOP_OK;
	case PROBE_REFUSED:
		walk_cause(walk,
			   "nothing listens on %u in the guest: start its program, or have it listen on %s and not on "
			   "another address alone",
			   probe->port, addr_ipv4_format(walk->request->layout->guest.ip, text));
		walk_next_step(walk, "look in the guest: ss -ltn; the program must listen on all addresses");
		return hop_fail(hop, "port %u: connection refused", probe->port);
	case PROBE_SILENT:
		if (hop_drift_is_foreign(walk))
			return hop_fail(hop, "port %u: no answer within %u ms", probe->port, CONNECT_WAIT_MS);
		walk_cause(walk,
			   "the guest answers ARP, but drops connections to port %u: a firewall in the guest, or a "
			   "guest that hangs",
			   probe->port);
		walk_next_step(walk, "look in the guest: its firewall, and the VM's console");
		return hop_fail(hop, "port %u: no answer within %u ms", probe->port, CONNECT_WAIT_MS);
	case PROBE_UNREACHABLE:
		if (hop_drift_is_foreign(walk))
			break;
		walk_cause(walk, "the namespace does not let us connect");
		walk_next_step(walk, "look with: ip netns exec %s ip route; nft list ruleset", walk->netns);
		break;
	case PROBE_FAILED:
		break;
	}
	return hop_fail(hop, "port %u: %s", probe->port, probe->err.text);
}

/* Adds "WORD 80, 81" with the ports that ended in RESULT. Returns their number. */
static size_t hop_tcp_add_finding(char *text, size_t size, const struct hop_port *ports, size_t count,
				  enum probe_result result, const char *word)
{
	size_t found = 0;
	char more[64];

	for (size_t i = 0; i < count; i++) {
		if (ports[i].probe.result != result)
			continue;
		if (found++)
			snprintf(more, sizeof(more), ", %u", ports[i].probe.port);
		else
			snprintf(more, sizeof(more), "%s%s%u", *text ? "; " : "", word, ports[i].probe.port);
		hop_append(text, size, more);
	}
	return found;
}

enum hop_status hop_tcp_judge(struct walk *walk, struct hop *hop, const struct hop_port *ports, size_t count)
{
	char text[sizeof(hop->detail)] = "", more[64];
	size_t idle = 0;

	for (size_t i = 0; i < count; i++)
		if (hop_tcp_is_fault(&ports[i]))
			return hop_tcp_explain(walk, hop, &ports[i].probe);
	if (count == 1 && ports[0].probe.result == PROBE_ANSWERED)
		return hop_ok(hop, "accepts in %.1f ms", (double)ports[0].probe.took_us / 1000);
	if (count == 1)
		return hop_idle(hop, "%s",
				ports[0].probe.result == PROBE_REFUSED ? "not served: nothing listens there yet"
								       : "not served: no answer to a connection");
	for (size_t i = 0; i < count; i++) {
		if (ports[i].probe.result != PROBE_ANSWERED)
			continue;
		snprintf(more, sizeof(more), "%s%u accepts in %.1f ms", *text ? "; " : "", ports[i].probe.port,
			 (double)ports[i].probe.took_us / 1000);
		hop_append(text, sizeof(text), more);
	}
	idle += hop_tcp_add_finding(text, sizeof(text), ports, count, PROBE_REFUSED, "nothing listens on ");
	idle += hop_tcp_add_finding(text, sizeof(text), ports, count, PROBE_SILENT, "no answer from ");
	return idle ? hop_idle(hop, "%s", text) : hop_ok(hop, "%s", text);
}

/* The ports for hop `kernel`: those that accept, else the first. */
static void hop_tcp_choose_ports(struct walk *walk, const struct hop_port *ports, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ports[i].probe.result == PROBE_ANSWERED)
			walk->ports[walk->port_count++] = ports[i].probe.port;
	walk->served = walk->port_count > 0;
	if (!walk->served && count)
		walk->ports[walk->port_count++] = ports[0].probe.port;
}

static void hop_tcp_try(struct walk *walk, struct hop_port *ports, size_t count)
{
	struct probe_port probes[HOP_PORTS_MAX];

	for (size_t i = 0; i < count; i++)
		probes[i] = ports[i].probe;
	health_probe_ports(walk->netns_fd, walk->request->layout->guest.ip, probes, count, CONNECT_WAIT_MS);
	for (size_t i = 0; i < count; i++)
		ports[i].probe = probes[i];
}

enum hop_status hop_tcp(struct walk *walk, struct hop *hop, bool subject_only)
{
	struct hop_port ports[HOP_PORTS_MAX];
	size_t left_out, count = hop_tcp_collect(walk->request, ports, &left_out);
	char more[48];

	hop_tcp_name_ports(walk->request, hop, ports, count);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED || !count)
		return hop_skip(hop, "%s", count ? "paused: not tried" : "no TCP port is published");
	hop_tcp_try(walk, ports, count);
	hop_tcp_choose_ports(walk, ports, count);
	enum hop_status status = hop_tcp_judge(walk, hop, ports, count);
	if (left_out && status != HOP_FAIL) {
		snprintf(more, sizeof(more), "; %zu further ports not tried", left_out);
		hop_append(hop->detail, sizeof(hop->detail), more);
	}
	return status;
}
