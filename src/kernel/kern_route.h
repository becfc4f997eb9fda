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

/*
 * Adds it, or replaces another route to the same destination; EEXIST where the table is shared and that route is not ours. *ADDED
 * (may be NULL): it was not there before.
 */
int kern_route_ensure(struct kern_rtnl *rtnl, const struct kern_route *route, bool *added, struct err *err);

/*
 * Removes it. No such route is no error; *REMOVED (may be NULL) says whether there was one. Only routes with our protocol
 * match.
 */
int kern_route_remove(struct kern_rtnl *rtnl, const struct kern_route *route, bool *removed, struct err *err);

/* The link by which the default route leaves; 0 and *INDEX (0: there is no default route), or -1 with ERR. */
int kern_route_default_link(struct kern_rtnl *rtnl, int *index, struct err *err);

/* Whether IP is an address of the socket's own namespace, or a broadcast of a link of it. 0, or -1 with ERR. */
int kern_route_is_local(struct kern_rtnl *rtnl, uint32_t ip, bool *local, struct err *err);

#endif
