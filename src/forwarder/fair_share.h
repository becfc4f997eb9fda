/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FAIR_SHARE_H
#define WEFT_FORWARDER_FAIR_SHARE_H

/*
 * Descriptors are everybody's: a flood of one sandbox's clients must leave the others theirs. So while they are scarce, a route
 * that has its share of them gets no more.
 *
 * All functions: any thread, unless they say otherwise.
 */

#include "base/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct forwarder;
struct fwd_route;
struct fwd_stats;

/* Descriptors that a connection, or a flow, takes. */
enum { SHARE_CONNECTION = 2, SHARE_FLOW = 1 };

/* Main alone writes, but for AT_DOOR and HELD. */
struct fair_share {
	_Atomic int64_t usable;    /* by clients of sandboxes */
	_Atomic int64_t elsewhere; /* in use by others than the forwarder, beyond the reserve */
	_Atomic int64_t loan;      /* of the reserve, that clients of sandboxes may have when nothing usable is left */
	_Atomic int64_t held;    /* the forwarder's listeners and probes, the namespaces of its routes, and the next */
	_Atomic int64_t at_door; /* clients at the door that are not a route's: not yet, or not at all */
	size_t limit;            /* RLIMIT_NOFILE as last read */
	size_t fixed, clients;   /* fwd_set_descriptors() */
	struct timer look;       /* the next look at the limit */
};

/* The parts of LIMIT descriptors, of which others hold FIXED for good and CLIENTS of the control socket one each. Pure. */
struct share_parts {
	int64_t usable, elsewhere, loan;
};
struct share_parts fwd_share_divide(size_t limit, size_t fixed, size_t clients);

/*
 * Whether a route that uses USED descriptors may have more: LEFT of USABLE are free, and BUSY routes have a connection. Pure.
 */
bool fwd_share_is_due(int64_t usable, int64_t left, int64_t busy, int64_t used);

/* Whether less than a quarter of the usable descriptors is free. */
bool fwd_share_is_scarce(const struct forwarder *forwarder);

/* Whether COST more are to be had at all. Otherwise no share helps. */
bool fwd_share_has_room(const struct forwarder *forwarder, int cost);

/* So many that a pause may end: MOST at most, and fewer where few are usable. */
int fwd_share_room(const struct forwarder *forwarder, int most);

/* Whether they are, and ROUTE may have them. */
bool fwd_share_allows(const struct fwd_route *route, int cost);

/* Whether the clients at the door that are no route's, of whom there may be one more, are not too many: they share as one route. */
bool fwd_share_allows_at_door(const struct forwarder *forwarder);

/* CHANGE more of them are there. */
void fwd_share_hold_at_door(struct forwarder *forwarder, int change);

/* All descriptors in use, as far as they are counted. Main thread. */
size_t fwd_share_in_use(const struct forwarder *forwarder);

/* The descriptors that clients of sandboxes may use, and how many of them are free. Main thread. */
void fwd_share_add_stats(const struct forwarder *forwarder, struct fwd_stats *stats);

/* CHANGE more descriptors are held by listeners, probes and routes. */
void fwd_share_hold(struct forwarder *forwarder, int change);

/* Takes over RLIMIT_NOFILE as it is now. Main thread. */
void fwd_share_read_limit(struct forwarder *forwarder);

/* Counts the process's descriptors, as those of others, and looks at the limit each second from now on. 0, or -1 with ERR. */
int fwd_share_init(struct forwarder *forwarder, struct err *err);
void fwd_share_free(struct forwarder *forwarder);

#endif
