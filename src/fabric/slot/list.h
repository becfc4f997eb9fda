/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_LIST_H
#define WEFT_FABRIC_SLOT_LIST_H

/*
 * What a slot is made of, as one list: its links with all that belongs to each. The builder makes from it; repairs, kernel events,
 * `diagnose` and the renewal of a slot compare with it. Its tables are the list of fabric/rules/. Plain data, any thread.
 */

#include "base/addr.h"
#include "config/layout.h"
#include "kernel/kern_route.h"
#include "kernel/qdisc.h"

#include <stdbool.h>
#include <stdint.h>

struct bandwidth;
struct fabric_plan;
struct kern_link;

/* The end of the veth inside. */
#define INSIDE_NAME "eth0"

enum slot_place { PLACE_VETH, PLACE_LO, PLACE_ETH0, PLACE_TAP, PLACES };

enum { SLOT_LIST_ROUTES = 2 };

struct slot_list_link {
	char name[CONFIG_LINK_SIZE];
	const char *label; /* in reports */
	const char *kind;  /* "veth", "tun"; "" for lo */
	bool carries; /* packets of the sandbox: the next three count, forwarding is on, redirects and IPv6 are off */
	struct mac mac;
	unsigned mtu;   /* 0: not known, and any is right */
	uint32_t group; /* our mark; 0 inside */
	bool has_address;
	struct cidr4 address;
	struct kern_route routes[SLOT_LIST_ROUTES]; /* that come with the address; INDEX is the reader's to fill in */
	bool has_neighbour;
	uint32_t neighbour;
	struct mac neighbour_mac;
	struct kern_rate limit; /* of what it sends; rate 0: none */
};

struct slot_list {
	struct slot_list_link links[PLACES];
	struct kern_route to_sandbox; /* on the host, to the host address; INDEX is the reader's to fill in */
	struct kern_route to_world;   /* inside; likewise */
};

/* The list of PLAN's slot. MTU: of its links, 0: not known. */
void slot_list_init(struct slot_list *list, const struct config_layout *layout, const struct fabric_plan *plan,
		    unsigned mtu);

/* Gives all links of the list but lo this MTU; 0: not known. */
void slot_list_put_mtu(struct slot_list *list, unsigned mtu);

/* Gives the list the limits of BANDWIDTH. */
void slot_list_put_limits(struct slot_list *list, const struct bandwidth *bandwidth);

/* How a link differs; a set of them is an unsigned. */
enum slot_deviation {
	DEVIATION_BRIDGED = 1 << 0, /* it belongs to a bridge or bond */
	DEVIATION_GROUP = 1 << 1,
	DEVIATION_IPV6 = 1 << 2,
	DEVIATION_MAC = 1 << 3,
	DEVIATION_MTU = 1 << 4,
	DEVIATION_NO_ARP = 1 << 5,
	DEVIATION_DOWN = 1 << 6,
	DEVIATION_NOT_FORWARDING = 1 << 7,
	DEVIATION_REDIRECTS = 1 << 8,
	DEVIATIONS_END = 1 << 9,
};

/* In what LINK differs from WANTED; its name and kind are not compared. */
unsigned slot_list_compare(const struct slot_list_link *wanted, const struct kern_link *link);

enum { SLOT_DEVIATION_SIZE = 64 };

/* DEVIATION of WANTED's link in words, such as "MTU of eth0". Fills TEXT and returns it. */
const char *slot_list_name(const struct slot_list_link *wanted, enum slot_deviation deviation,
			   char text[static SLOT_DEVIATION_SIZE]);

#endif
