/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ARRIVAL_H
#define WEFT_FORWARDER_ARRIVAL_H

/* The way of an accepted client to the worker that makes its connection. */

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint_share;
struct fwd_endpoint;
struct route_side;
struct route_state;

/* A client that was accepted and has no connection yet. */
struct arrival {
	int fd;
	struct addr client;
	struct fwd_endpoint *endpoint; /* with a reference once it is counted */
	struct route_side *side;
	uint64_t accepted_us; /* clock_now_us() */
};

/* CLIENT, with the socket FD, accepted just now for SIDE, through ENDPOINT. Neither counted nor admitted. Any thread. */
struct arrival fwd_arrival_now(struct route_side *side, struct fwd_endpoint *endpoint, int fd,
			       const struct addr *client);

/*
 * Applies the limits; STATE: of ARRIVAL's route, as the caller's thread knows it. False: no room for one more, and the client was
 * reset, with a line in the log. Any thread.
 */
bool fwd_arrival_admit(const struct arrival *arrival, const struct route_state *state);

/* The share that the next connection goes to: SHARE itself, unless there is a good reason. Any thread. */
struct endpoint_share *fwd_arrival_choose(struct endpoint_share *share);

/* Counts an admitted one, which holds a reference to its endpoint from then on. Any thread. */
void fwd_arrival_count(const struct arrival *arrival);

/* Counts ARRIVAL, admitted, and sends it to the worker of TO, of the same route. False for lack of memory: nothing has changed. Any thread. */
bool fwd_arrival_hand_over(struct route_side *to, struct arrival arrival);

#endif
