/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ADMISSION_H
#define WEFT_FORWARDER_ADMISSION_H

#include "forwarder/forwarder.h"

struct addr;
struct endpoint_share;
struct route_state;

/*
 * How much is too much: connections of one sandbox, connections of all, descriptors. Beyond the first two a client is reset;
 * beyond the third it is left in the kernel's queue until there is room.
 */

/* Sets up what a pause needs. Main thread. */
void limits_init(struct forwarder *forwarder);

/* Whether one more connection to ROUTE is allowed by STATE, its state as the caller knows it. Any thread. */
bool limits_admit(const struct fwd_route *route, const struct route_state *state);

/* The same, and counts it at once: whoever asks meanwhile is told of one more. Any thread. */
bool limits_take(struct fwd_route *route, const struct route_state *state);

/* Counts and logs a connection that was not. The thread of SHARE's worker. */
void limits_refuse(const struct endpoint_share *share, const struct addr *client);

/* Stops all accepting, for ERROR of accept4(), until there are descriptors again; it goes on by itself. Any thread. */
void limits_pause_accepting(struct forwarder *forwarder, int error);

/* FD was just made: pauses accepting when descriptors have come down to the reserve. Any thread. */
void limits_look_at_descriptor(struct forwarder *forwarder, int fd);

/* Takes over RLIMIT_NOFILE as it is now. Main thread. */
void limits_read(struct forwarder *forwarder);

/* The timer of a pause: forwarder_new() sets it up. */
void limits_try_again(void *forwarder);

#endif
