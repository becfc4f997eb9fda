/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_LOOK_H
#define WEFT_INSPECT_LOOK_H

/*
 * The kernel's view of links, routes and holders, for diagnosis. Reads only; any thread; no state. NETNS_FD as in base/netns.h;
 * addresses in host order.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct err;

enum { INSPECT_LOOK_ADDRESSES_MAX = 8 };

struct inspect_look_link {
	bool exists;
	bool up;      /* IFF_UP */
	bool carrier; /* IFLA_CARRIER */
	uint32_t group;
	unsigned mtu;
	struct mac mac;
	struct cidr4 addresses[INSPECT_LOOK_ADDRESSES_MAX];
	size_t address_count;
};

/* Reads a link. A missing link is no error: EXISTS is false. 0 or -1 with ERR. */
int inspect_look_link(int netns_fd, const char *name, struct inspect_look_link *link, struct err *err);

struct inspect_look_route {
	bool reachable;   /* false: unreachable, prohibited, or no route at all */
	char link[16];    /* the outgoing link; "" if unreachable */
	uint32_t gateway; /* 0: on the link itself */
};

/* Asks the kernel for its route to DESTINATION (RTM_GETROUTE). 0 or -1 with ERR. */
int inspect_look_route(int netns_fd, uint32_t destination, struct inspect_look_route *route, struct err *err);

/*
 * Finds the process that has the TAP LINK of the namespace of NETNS_FD open: "firecracker (pid 812)" into HOLDER, "" if none is
 * visible. A VMM's fdinfo has the link's name alone, so the process's own namespace decides. Slow with many processes.
 */
void inspect_look_tap_holder(int netns_fd, const char *link, char *holder, size_t size);

#endif
