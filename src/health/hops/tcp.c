/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each published TCP port, tried from inside the namespace as the forwarder does it.
 */
#include "base/err.h"
#include "health/guest_probe.h"
#include "health/walk.h"

#include <stdio.h>

enum { CONNECT_WAIT_MS = 1000 };

/* The ports to try, each once: the published ones, or else the ready_port. */
static size_t hop_tcp_collect(const struct diagnose_request *request, uint16_t ports[static DIAGNOSE_ENDPOINTS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < request->endpoint_count; i++) {
		bool known = request->endpoints[i].proto != PROTO_TCP;

		for (size_t j = 0; j < count; j++)
			known |= ports[j] == request->endpoints[i].guest_port;
		if (!known)
			ports[count++] = request->endpoints[i].guest_port;
	}
	if (!count && request->ready_port)
		ports[count++] = request->ready_port;
	return count;
}

static enum hop_status hop_tcp_explain(struct walk *walk, struct hop *hop, uint16_t port, enum probe_result result,
				       const struct err *err)
{
	char text[IPV4_TEXT_SIZE];

	switch (result) {
	case PROBE_ANSWERED:
		return HOP_OK;
	case PROBE_REFUSED:
		walk_cause(walk, "nothing listens on port %u in the guest, or it listens on another address than %s",
			   port, addr_ipv4_format(walk->request->config->addresses.guest.ip, text));
		walk_next_step(walk, "look in the guest: ss -ltn; the agent must listen on all addresses");
		return hop_fail(hop, "port %u: connection refused", port);
	case PROBE_SILENT:
		walk_cause(walk,
			   "the guest answers ARP, but drops connections to port %u: a firewall in the guest, or a "
			   "guest that hangs",
			   port);
		walk_next_step(walk, "look in the guest: its firewall, and the VM's console");
		return hop_fail(hop, "port %u: no answer within %u ms", port, CONNECT_WAIT_MS);
	case PROBE_UNREACHABLE:
		walk_cause(walk, "the namespace does not let us connect");
		walk_next_step(walk, "look with: ip netns exec %s ip route; nft list ruleset", walk->netns);
		break;
	case PROBE_FAILED:
		break;
	}
	return hop_fail(hop, "port %u: %s", port, err->text);
}

enum hop_status hop_tcp(struct walk *walk, struct hop *hop, bool subject_only)
{
	uint16_t ports[DIAGNOSE_ENDPOINTS_MAX + 1];
	size_t count = hop_tcp_collect(walk->request, ports);
	uint32_t guest = walk->request->config->addresses.guest.ip;
	struct probe_answer answer = { 0 };
	char text[IPV4_TEXT_SIZE];
	struct err err = { 0 };

	if (count == 1)
		hop_subject(hop, "%s:%u", addr_ipv4_format(guest, text), ports[0]);
	else
		hop_subject(hop, "%s, %zu ports", addr_ipv4_format(guest, text), count);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED || !count)
		return hop_skip(hop, "%s", count ? "paused: not tried" : "no TCP port is published");
	for (size_t i = 0; i < count; i++) {
		enum probe_result result =
		    health_probe_tcp(walk->netns_fd, guest, ports[i], CONNECT_WAIT_MS, &answer, &err);

		if (result != PROBE_ANSWERED)
			return hop_tcp_explain(walk, hop, ports[i], result, &err);
	}
	return hop_ok(hop, "accepts in %.1f ms", (double)answer.took_us / 1000);
}
