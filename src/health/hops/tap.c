/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link that the VMM opens. Its carrier means that a process has it open; /proc names the process.
 */
#include "base/err.h"
#include "health/walk.h"
#include "inspect/look.h"

static enum hop_status hop_tap_no_carrier(struct walk *walk, struct hop *hop)
{
	walk_cause(walk, "no VM is attached. The VM manager must open tap0 inside %s", walk->netns);
	walk_next_step(walk, "Firecracker: jailer --netns %s/%s, host_dev_name \"tap0\"",
		       walk->request->config->names.netns_dir, walk->netns);
	return hop_fail(hop, "NO-CARRIER: no process has tap0 open");
}

enum hop_status hop_tap(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct config *config = walk->request->config;
	char text[CIDR4_TEXT_SIZE], holder[96];
	struct inspect_look_link link;
	struct err err;

	hop_subject(hop, "%s/tap0 %s", walk->netns, addr_cidr4_format(&config->addresses.tap, text));
	if (subject_only)
		return HOP_SKIPPED;
	if (inspect_look_link(walk->netns_fd, "tap0", &link, &err) < 0)
		return hop_fail(hop, "%s", err.text);
	if (!link.exists || !link.up || !link.address_count || link.addresses[0].ip != config->addresses.tap.ip) {
		walk_cause(walk, "somebody changed or removed the TAP that weft made");
		walk_next_step(walk, "weftd puts it back by itself; look for `repaired` in its log");
		return hop_fail(hop, "%s",
				!link.exists ? "does not exist"
				: !link.up   ? "is down"
					     : "lacks its address");
	}
	if (!link.carrier)
		return hop_tap_no_carrier(walk, hop);
	inspect_look_tap_holder(walk->netns_fd, "tap0", holder, sizeof(holder));
	return hop_ok(hop, "carrier, open in %s", holder[0] ? holder : "a process not visible from here");
}
