/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's network. It answers an ARP request, which no firewall in the guest suppresses, and perhaps a ping. From here on
 * packets are sent to the guest, so a paused guest is skipped.
 */
#include "base/err.h"
#include "health/guest_probe.h"
#include "health/walk.h"

enum { ARP_WAIT_MS = 1000, PING_WAIT_MS = 500 };

static enum hop_status hop_guest_silent(struct walk *walk, struct hop *hop)
{
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
	addr_mac_format(&walk->request->config->addresses.guest_mac, wanted);
	walk_cause(walk, "the VM's network device has the MAC %s, and packets are sent to %s", got, wanted);
	walk_next_step(walk, "give the VM the MAC in guest.mac of its sandbox, or set [addresses] guest_mac = learn");
	return hop_fail(hop, "answers as %s instead of %s", got, wanted);
}

enum hop_status hop_guest(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct config *config = walk->request->config;
	struct probe_answer arp = { 0 }, ping = { 0 };
	char text[IPV4_TEXT_SIZE];
	struct err err;

	hop_subject(hop, "%s", addr_ipv4_format(config->addresses.guest.ip, text));
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED)
		return hop_skip(hop, "paused: not tried");
	enum probe_result result = health_probe_arp(walk->netns_fd, "tap0", config->addresses.tap.ip,
						    config->addresses.guest.ip, ARP_WAIT_MS, &arp, &err);
	if (result == PROBE_SILENT)
		return hop_guest_silent(walk, hop);
	if (result != PROBE_ANSWERED)
		return hop_fail(hop, "ARP cannot be asked: %s", err.text);
	if (!config->addresses.guest_mac_learn && !addr_mac_equal(&arp.mac, &config->addresses.guest_mac))
		return hop_guest_wrong_mac(walk, hop, &arp.mac);
	if (health_probe_ping(walk->netns_fd, config->addresses.guest.ip, PING_WAIT_MS, &ping, &err) != PROBE_ANSWERED)
		return hop_ok(hop, "answers ARP in %.1f ms, and no ping", (double)arp.took_us / 1000);
	return hop_ok(hop, "answers ARP in %.1f ms, a ping in %.1f ms", (double)arp.took_us / 1000,
		      (double)ping.took_us / 1000);
}
