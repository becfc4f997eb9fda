/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_LIFE_H
#define WEFT_FORWARDER_LIFE_H

/* Birth of a connection, and the end of many at once. The worker's thread. */

#include "base/addr.h"
#include "base/loop.h"

#include <stdint.h>

struct fwd_endpoint;
struct route_side;
struct worker;

/* A connection that was accepted and has not begun. */
struct arrival {
	int fd;
	struct addr client;
	struct fwd_endpoint *endpoint; /* with a reference */
	struct route_side *side;
	uint64_t accepted_us; /* clock_now_us() */
};

/* Takes over what ARRIVAL owns, and begins. On failure the client is reset. */
void life_begin(struct worker *worker, const struct arrival *arrival);

/* Resets the connections that came through ENDPOINT (reason: unregistered). */
void life_reset_endpoint(struct worker *worker, const struct fwd_endpoint *endpoint);

/* Delivers a worker's `stop`: resets all its connections (reason: shutdown) and ends its loop. */
void life_on_stop(struct mail *mail);

#endif
