/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ADMISSION_H
#define WEFT_FORWARDER_ADMISSION_H

/*
 * How much is too much: connections of one sandbox, connections of all, descriptors. Beyond the first two limits a client is
 * reset; beyond the third it stays in the kernel's queue until descriptors are free again. All functions: any thread, unless
 * they say otherwise.
 */

#include "base/loop.h"
#include "forwarder/forwarder.h"

#include <stdatomic.h>

struct addr;
struct endpoint_share;
struct route_state;

/* Accepting pauses for all listeners together, because descriptors are everybody's. */
struct admission {
	atomic_bool paused;
	atomic_int pause_error; /* errno that caused the pause; 0: the reserve is reached */
	struct mail pause;      /* to main, from the thread that paused */
	atomic_int descriptors; /* those with higher numbers are the reserve */
};

/* Whether one more connection to ROUTE is allowed by STATE, the route's state as the caller's thread knows it. */
bool fwd_admission_allows(const struct fwd_route *route, const struct route_state *state);

/* The same, and counts the connection in the same step. */
bool fwd_admission_take(struct fwd_route *route, const struct route_state *state);

/* Counts and logs a connection that was not admitted. The thread of SHARE's worker. */
void fwd_admission_refuse(const struct endpoint_share *share, const struct addr *client);

/* Whether accepting is paused. */
bool fwd_admission_is_paused(const struct forwarder *forwarder);

/* Stops all accepting, for ERROR of accept4(), until descriptors are free again; accept_pause.c resumes it. */
void fwd_admission_pause(struct forwarder *forwarder, int error);

/* Whether the descriptor FD is not of the reserve. */
bool fwd_admission_is_usable(const struct forwarder *forwarder, int fd);

/* Whether ROOM descriptors beyond FD, the lowest free one, and beyond those promised are not of the reserve. */
bool fwd_admission_has_room(const struct forwarder *forwarder, int fd, int room);

/* FD was just made: pauses accepting when the free descriptors are down to the reserve. */
void fwd_admission_look_at_descriptor(struct forwarder *forwarder, int fd);

/* Takes over RLIMIT_NOFILE as it is now. Main thread. */
void fwd_admission_read_limit(struct forwarder *forwarder);

/* RLIMIT_NOFILE as it is now; INT32_MAX: no limit, or an unknown one. */
int fwd_admission_descriptor_limit(void);

#endif
