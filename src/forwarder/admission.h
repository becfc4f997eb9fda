/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ADMISSION_H
#define WEFT_FORWARDER_ADMISSION_H

/*
 * How much is too much: connections of one sandbox, connections of all, a sandbox's share of scarce descriptors. Beyond these a
 * client is reset. Where no descriptor is left at all, clients stay in the kernel's queue until there are some again. All
 * functions: any thread, unless they say otherwise.
 */

#include "base/log.h"
#include "base/loop.h"
#include "forwarder/forwarder.h"

#include <stdatomic.h>

struct addr;
struct fwd_endpoint;
struct route_side;
struct route_state;

/* Accepting pauses for all listeners together, because descriptors are everybody's. */
struct admission {
	atomic_bool paused;
	atomic_int pause_error; /* errno that caused the pause */
	struct mail pause;      /* to main, from the thread that paused */
};

/*
 * Whether one more connection of ROUTE in DIRECTION, of COST descriptors, is allowed by STATE, the route's state as the caller's
 * thread knows it. It is counted in the same step.
 */
bool fwd_admission_take(struct fwd_route *route, const struct route_state *state, enum fwd_direction direction,
			int cost);

/* The limit of the lines about connections and flows that were not admitted. */
extern const struct log_limit fwd_admission_lines;

/* Counts and logs, within fwd_admission_lines, a connection of CLIENT through ENDPOINT that was not admitted to SIDE. */
void fwd_admission_refuse(const struct route_side *side, const struct fwd_endpoint *endpoint,
			  const struct addr *client);

/* Whether accepting is paused. */
bool fwd_admission_is_paused(const struct forwarder *forwarder);

/* Stops all accepting, for ERROR of accept4(), until descriptors are free again; accept_pause.c resumes it. */
void fwd_admission_pause(struct forwarder *forwarder, int error);

/* Whether accepting may go on. It pauses where no descriptor is left for a connection. */
bool fwd_admission_is_open(struct forwarder *forwarder);

#endif
