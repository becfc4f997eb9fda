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
	unsigned index;
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
	int error;        /* what a packet meets if it is not reachable: ENETUNREACH (no route), EACCES, ...; else 0 */
	char link[16];    /* the outgoing link; "" if unreachable */
	uint32_t gateway; /* 0: on the link itself */
};

/* Asks the kernel for its route to DESTINATION (RTM_GETROUTE). 0 or -1 with ERR. */
int inspect_look_route(int netns_fd, uint32_t destination, struct inspect_look_route *route, struct err *err);

/* The same for a packet from SOURCE that comes in by the link IN and is to be forwarded (EHOSTUNREACH where forwarding is off). */
int inspect_look_route_from(int netns_fd, uint32_t source, const char *in, uint32_t destination,
			    struct inspect_look_route *route, struct err *err);

/*
 * Finds the processes that have the TAP LINK of the namespace of NETNS_FD open: "firecracker (pid 812)" into HOLDER, "" if none is
 * visible. 0; or -1: none was found, and a shortage kept some from being looked at. Slow with many processes.
 */
int inspect_look_tap_holder(int netns_fd, const char *link, char *holder, size_t size);

/* A tracked flow, by the way of its first packet. Addresses and ports in host order. */
struct inspect_look_way {
	uint8_t protocol; /* IPPROTO_* */
	uint32_t source, destination;
	uint16_t source_port, port;
};

struct inspect_look_flow {
	bool confirmed;                /* a packet passed all hooks of the namespace; the rest holds only then */
	bool answered;                 /* a packet came back */
	struct inspect_look_way reply; /* as answers come, before they are translated back */
};

/*
 * Asks conntrack for the flow that began by WAY. A missing flow is no error. 0, or -1 with ERR; *ABLE is false where the kernel
 * cannot be asked at all, which says nothing about the flow.
 */
int inspect_look_flow(int netns_fd, const struct inspect_look_way *way, struct inspect_look_flow *flow, bool *able,
		      struct err *err);

#endif
