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
	/* For routes that the kernel itself makes for an address of the link, so that they can be put back as they were. */
	uint32_t source; /* that address; 0: the route is ours */
	bool local;      /* TO is the address itself, in the table `local` */
	uint32_t probe;  /* the destination to look up; 0: the first of TO, or any address for a default route */
};

/* Somebody else's route in front of ours, or a policy rule, which decides instead of it. */
struct kern_route_rival {
	bool present;     /* there is one */
	uint32_t gateway; /* 0: none */
	int index;        /* of its link; 0: none */
	unsigned char protocol;
	uint32_t table; /* it stands in; 0: it is no route */
	uint32_t rule;  /* the preference of the policy rule that leads there; 0: those that every host has */
};

enum kern_route_state {
	KERN_ROUTE_DECIDES, /* it is in place, and decides about its destination */
	KERN_ROUTE_BEHIND,  /* it is in place, and something else decides */
	KERN_ROUTE_MISSING,
};

/*
 * Looks whether ROUTE, which is over a link, is in place; *RIVAL says what decides instead of it. Changes nothing. 0 and *STATE, or -1
 * with ERR.
 */
int kern_route_look(struct kern_rtnl *rtnl, const struct kern_route *route, enum kern_route_state *state,
		    struct kern_route_rival *rival, struct err *err);

/* Makes ROUTE, in the place of another one to the same destination. 0, or -1 with ERR. */
int kern_route_put(struct kern_rtnl *rtnl, const struct kern_route *route, struct err *err);

/*
 * Adds ROUTE, or replaces another one to the same destination; EEXIST where the table is shared and that one is not ours, or where
 * another stands in front of ours. *ADDED (may be NULL): it was not there before. 0, or -1 with ERR.
 */
int kern_route_ensure(struct kern_rtnl *rtnl, const struct kern_route *route, bool *added, struct err *err);

/* A route of a namespace, as a dump shows it. */
struct kern_route_entry {
	uint32_t table;
	unsigned char type, protocol; /* RTN_*, RTPROT_* */
	struct cidr4 to;
	uint32_t gateway; /* 0: none */
	int index;        /* of its link; 0: none */
};

/* Hands all IPv4 routes of all tables to TAKE. 0, or -1 with ERR; EINTR: they changed meanwhile, ask again. */
int kern_route_dump(struct kern_rtnl *rtnl, void (*take)(void *context, const struct kern_route_entry *entry),
		    void *context, struct err *err);

/*
 * What leads packets to IP somewhere, if anything does: *RIVAL. An entry that refuses them, as `unreachable` does, is no such thing. 0, or
 * -1 with ERR.
 */
int kern_route_find_way(struct kern_rtnl *rtnl, uint32_t ip, struct kern_route_rival *rival, struct err *err);

enum { KERN_ROUTE_PROTOCOL_SIZE = 16 };

/* The word for an rtm_protocol as `ip route` has it ("static"), or its number. Fills TEXT and returns it. */
const char *kern_route_protocol_name(unsigned char protocol, char text[static KERN_ROUTE_PROTOCOL_SIZE]);

/*
 * Removes it. No such route is no error; *REMOVED (may be NULL) says whether there was one. Only routes with our protocol
 * match.
 */
int kern_route_remove(struct kern_rtnl *rtnl, const struct kern_route *route, bool *removed, struct err *err);

/* Whether it is one of our `unreachable` routes. */
bool kern_route_is_our_unreachable(const struct kern_route_entry *entry);

/* The link by which the default route leaves; 0 and *INDEX (0: there is no default route), or -1 with ERR. */
int kern_route_default_link(struct kern_rtnl *rtnl, int *index, struct err *err);

/* Whether IP is an address of the socket's own namespace, or a broadcast of a link of it. 0, or -1 with ERR. */
int kern_route_is_local(struct kern_rtnl *rtnl, uint32_t ip, bool *local, struct err *err);

#endif
