/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that is known of a slot's links before the kernel is asked follows from its layout, its number and its plan. */
#include "fabric/slot/list.h"

#include "fabric/fabric.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

static struct kern_rate slot_list_rate(const struct rate *rate)
{
	return (struct kern_rate){ .rate = rate->rate, .burst = rate->burst };
}

/* Gives LINK its address, and the routes that the kernel makes for it. PEER lives at the other end. */
static void slot_list_put_address(struct slot_list_link *link, uint32_t ip, uint8_t length, uint32_t peer)
{
	link->has_address = true;
	link->address = (struct cidr4){ .ip = ip, .length = length };
	link->routes[0] = (struct kern_route){ .to = { .ip = ip, .length = 32 }, .source = ip, .local = true };
	link->routes[1] = (struct kern_route){ .to = link->address, .source = ip, .probe = peer };
	link->routes[1].to.ip = addr_cidr4_first(&link->address);
}

static void slot_list_put_neighbour(struct slot_list_link *link, uint32_t ip, struct mac mac)
{
	link->has_neighbour = true;
	link->neighbour = ip;
	link->neighbour_mac = mac;
}

static void slot_list_init_veth(struct slot_list *list, const struct config_layout *layout, unsigned slot)
{
	struct slot_list_link *veth = &list->links[PLACE_VETH], *eth0 = &list->links[PLACE_ETH0];
	uint32_t outside = config_veth_host_ip(layout, slot), inside = config_veth_guest_ip(layout, slot);

	*veth = (struct slot_list_link){ .label = "the veth", .kind = "veth", .group = layout->link_group };
	config_veth_name(layout, slot, veth->name);
	veth->mac = config_veth_host_mac(slot);
	slot_list_put_address(veth, outside, 31, inside);
	slot_list_put_neighbour(veth, inside, config_veth_guest_mac(slot));

	*eth0 = (struct slot_list_link){ .name = INSIDE_NAME, .label = INSIDE_NAME, .kind = "veth" };
	eth0->mac = config_veth_guest_mac(slot);
	slot_list_put_address(eth0, inside, 31, outside);
	slot_list_put_neighbour(eth0, outside, config_veth_host_mac(slot));

	list->to_sandbox =
	    (struct kern_route){ .to = { .ip = config_host_ip(layout, slot), .length = 32 }, .gateway = inside };
	list->to_world = (struct kern_route){ .gateway = outside };
}

static void slot_list_init_tap(struct slot_list_link *tap, const struct config_layout *layout)
{
	*tap = (struct slot_list_link){ .name = TAP_NAME, .label = TAP_NAME, .kind = "tun", .mac = layout->tap_mac };
	slot_list_put_address(tap, layout->tap.ip, layout->tap.length, layout->guest.ip);
	if (!layout->guest_mac_learn)
		slot_list_put_neighbour(tap, layout->guest.ip, layout->guest_mac);
}

/*
 * A guest's frame says itself into how many segments it is to be cut: with one byte in each, 60 KB become 60,000 packets, for which
 * a processor works 40 ms at one go, and no rule counts more than one. A queue discipline sees the length of all that a frame stands
 * for. So a link without a limit has a bucket that never empties, with room for any frame (64 KiB with 134 bytes of headers for each
 * byte), and a queue that takes none that is longer than itself. Two honest frames of 64 KiB in segments of 88 bytes fit.
 */
static const struct kern_rate guard = { .rate = 32000000000u, .burst = 16 << 20, .queue = 256 * 1024 };

void slot_list_put_limits(struct slot_list *list, const struct bandwidth *bandwidth)
{
	list->links[PLACE_TAP].limit = slot_list_rate(&bandwidth->to_guest);
	list->links[PLACE_ETH0].limit = bandwidth->from_guest.rate ? slot_list_rate(&bandwidth->from_guest) : guard;
}

void slot_list_put_mtu(struct slot_list *list, unsigned mtu)
{
	for (int place = 0; place < PLACES; place++)
		list->links[place].mtu = place == PLACE_LO ? 0 : mtu;
}

void slot_list_init(struct slot_list *list, const struct config_layout *layout, const struct fabric_plan *plan,
		    unsigned mtu)
{
	memset(list, 0, sizeof(*list));
	list->links[PLACE_LO] = (struct slot_list_link){ .name = "lo", .label = "lo", .kind = "" };
	slot_list_init_veth(list, layout, plan->slot);
	slot_list_init_tap(&list->links[PLACE_TAP], layout);
	list->links[PLACE_ETH0].limit = guard;
	if (plan->bandwidth)
		slot_list_put_limits(list, plan->bandwidth);
	for (int place = 0; place < PLACES; place++)
		list->links[place].carries = place != PLACE_LO;
	slot_list_put_mtu(list, mtu);
}

unsigned slot_list_compare(const struct slot_list_link *wanted, const struct kern_link *link)
{
	unsigned found = 0;

	if (!(link->flags & IFF_UP))
		found |= DEVIATION_DOWN;
	if (!wanted->carries)
		return found;
	if (link->master)
		found |= DEVIATION_BRIDGED;
	if (wanted->group && link->group != wanted->group)
		found |= DEVIATION_GROUP;
	if (link->ipv6)
		found |= DEVIATION_IPV6;
	if (memcmp(link->mac.octets, wanted->mac.octets, sizeof(link->mac.octets)) != 0)
		found |= DEVIATION_MAC;
	if (wanted->mtu && link->mtu != wanted->mtu)
		found |= DEVIATION_MTU;
	if (link->flags & IFF_NOARP)
		found |= DEVIATION_NO_ARP;
	if (!link->forwarding)
		found |= DEVIATION_NOT_FORWARDING;
	if (link->redirects)
		found |= DEVIATION_REDIRECTS;
	return found;
}

const char *slot_list_name(const struct slot_list_link *wanted, enum slot_deviation deviation,
			   char text[static SLOT_DEVIATION_SIZE])
{
	static const struct {
		enum slot_deviation deviation;
		const char *before, *after;
	} words[] = {
		{ DEVIATION_BRIDGED, "bridge of ", "" },
		{ DEVIATION_GROUP, "group of ", "" },
		{ DEVIATION_IPV6, "IPv6 of ", "" },
		{ DEVIATION_MAC, "MAC of ", "" },
		{ DEVIATION_MTU, "MTU of ", "" },
		{ DEVIATION_NO_ARP, "ARP of ", "" },
		{ DEVIATION_DOWN, "", " down" },
		{ DEVIATION_NOT_FORWARDING, "", " not forwarding" },
		{ DEVIATION_REDIRECTS, "redirects of ", "" },
	};

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].deviation == deviation)
			snprintf(text, SLOT_DEVIATION_SIZE, "%s%s%s", words[i].before, wanted->label, words[i].after);
	return text;
}
