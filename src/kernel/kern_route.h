/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_KERN_ROUTE_H
#define WEFT_KERNEL_KERN_ROUTE_H

/* IPv4 routes of the main table. Addresses in host order. Each call belongs to the thread of its socket. */

#include "base/addr.h"
#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

/* The mark of our routes beside their link: rtm_protocol. Not among those that iproute2 knows. */
enum { KERN_ROUTE_PROTOCOL = 174 };

/* A route of ours to TO by GATEWAY (0: none) over the link; INDEX 0: `unreachable`. */
struct kern_route {
	struct cidr4 to;
	uint32_t gateway;
	int index;
	bool shared; /* the table is not ours alone: somebody else's route in it stays */
};

/* Somebody else's route in front of ours, which decides instead of it. */
struct kern_route_rival {
	bool present;     /* there is one */
	uint32_t gateway; /* 0: none */
	int index;        /* of its link; 0: none */
	unsigned char protocol;
};

/*
 * Adds ROUTE, or replaces another one to the same destination; EEXIST where the table is shared and that one is not ours, or where
 * another stands in front of ours. *ADDED (may be NULL): it was not there before. 0, or -1 with ERR.
 */
int kern_route_ensure(struct kern_rtnl *rtnl, const struct kern_route *route, bool *added, struct err *err);

/*
 * The same, but a route that stands in front of ours is no error: both are left as they are, and *RIVAL says which it is. For a
 * route over a link. 0, or -1 with ERR.
 */
int kern_route_ensure_behind(struct kern_rtnl *rtnl, const struct kern_route *route, bool *added,
			     struct kern_route_rival *rival, struct err *err);

enum { KERN_ROUTE_PROTOCOL_SIZE = 16 };

/* The word for an rtm_protocol as `ip route` has it ("static"), or its number. Fills TEXT and returns it. */
const char *kern_route_protocol_name(unsigned char protocol, char text[static KERN_ROUTE_PROTOCOL_SIZE]);

/*
 * Removes it. No such route is no error; *REMOVED (may be NULL) says whether there was one. Only routes with our protocol
 * match.
 */
int kern_route_remove(struct kern_rtnl *rtnl, const struct kern_route *route, bool *removed, struct err *err);

/* Hands each `unreachable` route of ours to TAKE, whatever made it. 0, or -1 with ERR. */
int kern_route_dump_unreachable(struct kern_rtnl *rtnl, void (*take)(void *context, const struct cidr4 *to),
				void *context, struct err *err);

/* The link by which the default route leaves; 0 and *INDEX (0: there is no default route), or -1 with ERR. */
int kern_route_default_link(struct kern_rtnl *rtnl, int *index, struct err *err);

/* Whether IP is an address of the socket's own namespace, or a broadcast of a link of it. 0, or -1 with ERR. */
int kern_route_is_local(struct kern_rtnl *rtnl, uint32_t ip, bool *local, struct err *err);

#endif
