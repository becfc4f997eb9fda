/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_LIFE_H
#define WEFT_FORWARDER_LIFE_H

/* Birth of a connection, and the end of many at once. The worker's thread. */

#include "base/loop.h"
#include "forwarder/arrival.h"

struct fwd_endpoint;
struct worker;

/* Makes the connection of ARRIVAL, counted, and takes over its descriptor and reference. On failure the client is reset. */
void fwd_life_begin(struct worker *worker, const struct arrival *arrival);

/* Resets the connections that came through ENDPOINT (reason: unregistered). */
void fwd_life_reset_endpoint(struct worker *worker, const struct fwd_endpoint *endpoint);

/* Delivers a worker's `stop`: resets all its connections (reason: shutdown) and ends its loop. */
void fwd_life_on_stop(struct mail *mail);

#endif
