/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's network. It answers an ARP request, which no firewall in the guest suppresses, and perhaps a ping. From here on
 * packets are sent to the guest, so a paused guest is skipped.
 *
 * The rules of the namespace drop frames with another MAC or address than the guest's own before any socket sees them, the answer to
 * our request too. Their counters alone tell such a guest from a silent one.
 */
#include "base/err.h"
#include "fabric/rules/rules.h"
#include "health/guest_probe.h"
#include "health/walk.h"

#include <inttypes.h>

enum { ARP_WAIT_MS = 1000, PING_WAIT_MS = 500 };

/*
 * The packets that RULE denied between BEFORE and AFTER; all that it ever denied, where it denied none meanwhile, and no packet of the
 * guest's ever passed: then they are the only sign of it.
 */
static uint64_t hop_guest_denied(const struct fabric_counts *before, const struct fabric_counts *after,
				 enum fabric_rule rule)
{
	uint64_t meanwhile = after->denied[rule] - before->denied[rule];

	return !meanwhile && !after->packets_from_guest ? after->denied[rule] : meanwhile;
}

/* Whether the rules against forged packets show why no answer came. Then the walk has its cause. */
static bool hop_guest_is_forged(struct walk *walk, struct hop *hop, const struct fabric_counts *before,
				const struct fabric_counts *after)
{
	uint64_t mac = hop_guest_denied(before, after, FABRIC_RULE_MAC);
	uint64_t source = hop_guest_denied(before, after, FABRIC_RULE_SOURCE);
	uint64_t arp = hop_guest_denied(before, after, FABRIC_RULE_ARP), count = mac ? mac : source ? source : arp;
	enum fabric_rule rule = mac ? FABRIC_RULE_MAC : source ? FABRIC_RULE_SOURCE : FABRIC_RULE_ARP;
	const char *plural = count == 1 ? "" : "s", *name = rules_name(rule);
	char wanted[MAC_TEXT_SIZE], address[IPV4_TEXT_SIZE], gateway[IPV4_TEXT_SIZE];

	if (!count)
		return false;
	addr_mac_format(&walk->request->layout->guest_mac, wanted);
	addr_ipv4_format(walk->request->layout->guest.ip, address);
	addr_ipv4_format(walk->request->layout->tap.ip, gateway);
	if (mac)
		walk_cause(walk,
			   "the guest sends from another MAC than %s (%" PRIu64
			   " packet%s denied, rule %s): give its network "
			   "interface that MAC",
			   wanted, count, plural, name);
	else if (source)
		walk_cause(walk,
			   "the guest sends from another address than %s (%" PRIu64
			   " packet%s denied, rule %s): give its "
			   "network interface that address",
			   address, count, plural, name);
	else
		walk_cause(walk,
			   "the guest has another address than %s, or another gateway than %s (%" PRIu64
			   " packet%s denied, rule "
			   "%s): give its network interface that address and gateway",
			   address, gateway, count, plural, name);
	walk_next_step(walk, "MAC and address for the VM's configuration: weftctl show %s --firecracker",
		       walk->request->id);
	hop_fail(hop, "no answer to ARP; the rule %s denied %" PRIu64 " packet%s of the guest", name, count, plural);
	return true;
}

/* BEFORE: the counters when the guest was asked; NULL: they could not be read. */
static enum hop_status hop_guest_silent(struct walk *walk, struct hop *hop, const struct fabric_counts *before)
{
	struct fabric_counts after = { 0 };
	struct err ignored;

	if (before && rules_slot_counts(walk->netns_fd, &after, &ignored) == 0 &&
	    hop_guest_is_forged(walk, hop, before, &after))
		return HOP_FAIL;
	if (hop_drift_is_foreign(walk))
		return hop_fail(hop, "no answer to ARP");
	walk_cause(walk,
		   "the VM runs, but its network does not answer: it still boots, it is frozen, its kernel has no "
		   "virtio-net, or its "
		   "address is not %s",
		   hop->subject);
	walk_next_step(
	    walk,
	    "look at the VM's console; the guest is configured by the kernel's boot argument, see: weftctl show %s",
	    walk->request->id);
	return hop_fail(hop, "no answer to ARP");
}

static enum hop_status hop_guest_wrong_mac(struct walk *walk, struct hop *hop, const struct mac *mac)
{
	char got[MAC_TEXT_SIZE], wanted[MAC_TEXT_SIZE];

	addr_mac_format(mac, got);
	addr_mac_format(&walk->request->layout->guest_mac, wanted);
	walk_cause(walk, "the VM's network device has the MAC %s, and packets are sent to %s", got, wanted);
	walk_next_step(walk, "give the VM the MAC in guest.mac of its sandbox, or set [addresses] guest_mac = learn");
	return hop_fail(hop, "answers as %s instead of %s", got, wanted);
}

enum hop_status hop_guest(struct walk *walk, struct hop *hop, bool subject_only)
{
	struct probe_answer arp = { 0 }, ping = { 0 };
	struct fabric_counts before = { 0 };
	char text[IPV4_TEXT_SIZE];
	struct err err;

	hop_subject(hop, "%s", addr_ipv4_format(walk->request->layout->guest.ip, text));
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED)
		return hop_asleep_judge(walk, hop);
	bool counted = rules_slot_counts(walk->netns_fd, &before, &err) == 0;
	enum probe_result result = health_probe_arp(walk->netns_fd, "tap0", walk->request->layout->tap.ip,
						    walk->request->layout->guest.ip, ARP_WAIT_MS, &arp, &err);
	if (result == PROBE_SILENT)
		return hop_guest_silent(walk, hop, counted ? &before : NULL);
	if (result != PROBE_ANSWERED)
		return hop_fail(hop, "ARP cannot be asked: %s", err.text);
	if (!walk->request->layout->guest_mac_learn && !addr_mac_equal(&arp.mac, &walk->request->layout->guest_mac))
		return hop_guest_wrong_mac(walk, hop, &arp.mac);
	if (health_probe_ping(walk->netns_fd, walk->request->layout->guest.ip, PING_WAIT_MS, &ping, &err) !=
	    PROBE_ANSWERED)
		return hop_ok(hop, "answers ARP in %.1f ms, and no ping", (double)arp.took_us / 1000);
	return hop_ok(hop, "answers ARP in %.1f ms, a ping in %.1f ms", (double)arp.took_us / 1000,
		      (double)ping.took_us / 1000);
}
