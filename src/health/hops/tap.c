/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link that the VMM opens. Its carrier means that a process has it open; /proc names the process.
 */
#include "base/err.h"
#include "health/walk.h"
#include "inspect/look.h"

#include <stdio.h>

/* There was a VM, and it is gone. */
static enum hop_status hop_tap_detached(struct walk *walk, struct hop *hop)
{
	char age[HOP_AGE_SIZE], when[48] = "";

	/* Only then is it the age of the state. */
	if (walk->request->state == SANDBOX_DETACHED)
		snprintf(when, sizeof(when), " %s", hop_age(walk->request->state_age_ms, age));
	walk_cause(walk, "the VM went away%s: its process has ended, or closed tap0", when);
	walk_next_step(
	    walk,
	    "look at the log of the VM manager, and at the kernel's for a process that was killed; a VM that opens "
	    "tap0 in %s again is attached at once",
	    walk->netns);
	return hop_fail(hop, "NO-CARRIER: the VM went away%s", when);
}

static enum hop_status hop_tap_no_carrier(struct walk *walk, struct hop *hop)
{
	if (hop_is_asleep(walk))
		return hop_idle(hop, "NO-CARRIER: asleep, and its VM is gone, as a snapshot on disk leaves it");
	if (walk->request->was_attached)
		return hop_tap_detached(walk, hop);
	walk_cause(walk, "no VM is attached. The VM manager must open tap0 inside %s", walk->netns);
	walk_next_step(walk, "Firecracker: jailer --netns %s/%s, host_dev_name \"tap0\"",
		       walk->request->layout->netns_dir, walk->netns);
	return hop_fail(hop, "NO-CARRIER: no process has tap0 open");
}

static enum hop_status hop_tap_held(struct walk *walk, struct hop *hop)
{
	char holder[160];

	if (inspect_look_tap_holder(walk->netns_fd, "tap0", holder, sizeof(holder)) < 0)
		return hop_ok(hop, "carrier; for want of descriptors or memory, nobody could look for the process");
	return hop_ok(hop, "carrier, open in %s", holder[0] ? holder : "a process not visible from here");
}

enum hop_status hop_tap(struct walk *walk, struct hop *hop, bool subject_only)
{
	char text[CIDR4_TEXT_SIZE];
	struct inspect_look_link link;
	struct err err;

	hop_subject(hop, "%s/tap0 %s", walk->netns, addr_cidr4_format(&walk->request->layout->tap, text));
	if (subject_only)
		return HOP_SKIPPED;
	if (inspect_look_link(walk->netns_fd, "tap0", &link, &err) < 0)
		return hop_fail(hop, "%s", err.text);
	if (!link.exists || !link.up || !link.address_count || link.addresses[0].ip != walk->request->layout->tap.ip) {
		walk_cause(walk, "somebody changed or removed the TAP that weft made");
		walk_next_step(walk, "weftd puts it back by itself; look for `repaired` in its log");
		return hop_fail(hop, "%s",
				!link.exists ? "does not exist"
				: !link.up   ? "is down"
					     : "lacks its address");
	}
	if (hop_drift(walk, hop, DRIFT_TAP) != HOP_OK)
		return HOP_FAIL;
	if (!link.carrier)
		return hop_tap_no_carrier(walk, hop);
	return hop_tap_held(walk, hop);
}
