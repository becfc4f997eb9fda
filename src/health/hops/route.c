/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks the kernel for its route to the sandbox, and inside the namespace for its route to the world. A foreign route
 * over our ranges (a VPN, a bridge) shows here.
 */
#include "base/err.h"
#include "health/walk.h"
#include "inspect/look.h"

#include <string.h>

static const uint32_t SOMEWHERE = 0x01010101; /* 1.1.1.1, as any address on no link of ours */

/* Whether a packet to IP leaves by LINK; if not, HOP has the reason. *LOOKED: the kernel has told. */
static enum hop_status hop_route_check(struct walk *walk, struct hop *hop, int netns_fd, uint32_t ip, const char *link,
				       bool *looked)
{
	const char *where = netns_fd < 0 ? "on the host" : walk->netns;
	struct inspect_look_route route;
	struct err err;
	char text[IPV4_TEXT_SIZE];

	addr_ipv4_format(ip, text);
	*looked = inspect_look_route(netns_fd, ip, &route, &err) == 0;
	if (!*looked)
		return hop_fail(hop, "%s: route to %s: %s", where, text, err.text);
	if (!route.reachable)
		return hop_fail(hop, "%s: no route to %s", where, text);
	if (strcmp(route.link, link) != 0)
		return hop_fail(hop, "%s: %s leaves by %s instead of %s", where, text, route.link, link);
	return HOP_OK;
}

/* HOP says how the packets go. Whether what weftd compares says why: then the walk has its cause. */
static bool hop_route_is_blamed(struct walk *walk, struct hop *hop)
{
	struct hop found = *hop;

	return hop_drift(walk, &found, DRIFT_ROUTES) != HOP_OK && walk->diagnosis->cause[0];
}

/*
 * Where the uplink's MTU has changed since the sandbox was made: its guest was told the former one, and packets that are too long come
 * back with that message, or get lost where nobody sends it.
 */
static void hop_route_compare_mtu(const struct walk *walk, struct hop *hop)
{
	const struct config *config = walk->request->config;
	struct inspect_look_link uplink, tap;
	struct inspect_look_route route;
	char text[64];
	struct err err;

	if (inspect_look_route(-1, SOMEWHERE, &route, &err) < 0 || !route.reachable)
		return;
	if (inspect_look_link(-1, config->addresses.uplink ? config->addresses.uplink : route.link, &uplink, &err) <
		0 ||
	    inspect_look_link(walk->netns_fd, "tap0", &tap, &err) < 0 || !uplink.exists || !tap.exists)
		return;
	/* An MTU of the operator's choice may be smaller. */
	if (uplink.mtu == tap.mtu || (config->layout.mtu && tap.mtu < uplink.mtu))
		return;
	snprintf(text, sizeof(text), "; uplink %u, this sandbox %u", uplink.mtu, tap.mtu);
	hop_append(hop->detail, sizeof(hop->detail), text);
}

enum hop_status hop_route(struct walk *walk, struct hop *hop, bool subject_only)
{
	uint32_t host_ip = config_host_ip(walk->request->layout, walk->request->slot);
	char text[IPV4_TEXT_SIZE];
	bool looked;

	hop_subject(hop, "%s via %s", addr_ipv4_format(host_ip, text), walk->veth);
	if (subject_only)
		return HOP_SKIPPED;
	if (hop_route_check(walk, hop, -1, host_ip, walk->veth, &looked) != HOP_OK) {
		if (!looked)
			return HOP_FAIL;
		if (hop_route_is_blamed(walk, hop))
			return HOP_FAIL;
		walk_cause(walk, "another route takes the packets for the sandbox: a VPN, a bridge, or a policy rule");
		walk_next_step(walk, "look with: ip route get %s; ip rule; and: weftctl doctor", text);
		return HOP_FAIL;
	}
	if (hop_route_check(walk, hop, walk->netns_fd, SOMEWHERE, "eth0", &looked) != HOP_OK) {
		if (!looked)
			return HOP_FAIL;
		if (hop_route_is_blamed(walk, hop))
			return HOP_FAIL;
		walk_cause(walk, "somebody changed the routes inside %s", walk->netns);
		walk_next_step(
		    walk,
		    "look with: ip netns exec %s ip rule; ip netns exec %s ip route show table all; weftd puts "
		    "its own back by itself",
		    walk->netns, walk->netns);
		return HOP_FAIL;
	}
	if (hop_drift(walk, hop, DRIFT_ROUTES) != HOP_OK)
		return HOP_FAIL;
	hop_ok(hop, "routed");
	hop_route_compare_mtu(walk, hop);
	return HOP_OK;
}
