/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_LIMITS_H
#define WEFT_FORWARDER_LIMITS_H

#include "forwarder/forwarder.h"

struct endpoint;
struct route_state;

/*
 * How much is too much: connections of one sandbox, connections of all, descriptors. Beyond the first two a client is reset;
 * beyond the third it is left in the kernel's queue until there is room. Main thread.
 */

/* Whether ROUTE has as many connections as its own limit allows. Any thread. */
bool limits_is_full(const struct route *route, const struct route_state *state);

/* Whether one more connection to ROUTE is allowed by STATE, its state as the caller knows it. Any thread. */
bool limits_admit(const struct route *route, const struct route_state *state);

/* Counts and logs a connection that was not. */
void limits_refuse(struct route *route, const struct endpoint *endpoint, const struct addr *client);

/* Stops all accepting, for ERROR of accept4(), until there are descriptors again; it goes on by itself. */
void limits_pause_accepting(struct forwarder *forwarder, int error);

/* FD was just made: pauses accepting when descriptors have come down to the reserve. */
void limits_look_at_descriptor(struct forwarder *forwarder, int fd);

/* Takes over RLIMIT_NOFILE as it is now. */
void limits_read(struct forwarder *forwarder);

/* The timer of a pause: forwarder_new() sets it up. */
void limits_try_again(void *forwarder);

#endif
