/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_SHARE_H
#define WEFT_CONTROL_SHARE_H

/*
 * A resource that callers hold for long, streams of events or waits, shared out so that none of them takes it from the others. The
 * unix socket and TCP have a part each: a reader over TCP never takes a place of the unix socket. Main thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct control_holder;
struct control_share;
struct http_request;
struct problem;

/* Who asks: a user of this host over the unix socket, or an address over TCP. */
struct control_caller {
	bool local;
	uid_t uid; /* if local */
	/* If not: the family and the address, of IPv6 the first 64 bits, because a client has as many of the rest as it likes. */
	uint8_t network[1 + 8];
};

/* How much there is. A user other than root may hold half of what is not for root alone. */
struct control_share_limits {
	const char *what;   /* "streams of events" */
	size_t local;       /* over the unix socket */
	size_t root_only;   /* of these, for root and weftd's own user alone */
	size_t remote;      /* over TCP */
	size_t remote_each; /* of these, for one address */
};

/* The caller of REQUEST. One whose address cannot be read any more, because it went away, shares the caller 0.0.0.0. */
struct control_caller control_caller_of(const struct http_request *request);

/* LIMITS must outlive it. NULL for want of memory. */
struct control_share *control_share_new(const struct control_share_limits *limits);

/* All that was taken has been given back. Harmless with NULL. */
void control_share_free(struct control_share *share);

/*
 * Takes one for CALLER: the holder, for control_share_give_back(). NULL with PROBLEM: UNAVAILABLE over the unix socket and for want
 * of memory, TOO_MANY over TCP.
 */
struct control_holder *control_share_take(struct control_share *share, const struct control_caller *caller,
					  struct problem *problem);
void control_share_give_back(struct control_holder *holder);

#endif
