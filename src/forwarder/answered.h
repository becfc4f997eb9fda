/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ANSWERED_H
#define WEFT_FORWARDER_ANSWERED_H

/*
 * Notes which ports of a guest have answered the forwarder since its carrier came, and reports each to main once. Only ports behind
 * endpoints on loopback addresses count, so there are no more than a sandbox publishes.
 */

#include "base/addr.h"
#include "base/loop.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fwd_endpoint;
struct route_side;

/* A side's. */
struct answered {
	struct mail news; /* to main: there are ports that were not reported */
	bool posted;      /* under the route's lock, as the rest is written; the side's worker may read it without */
	unsigned losses;  /* of the carrier, before these ports answered */
	size_t told;
	struct {
		VEC_OF(uint32_t);
	} ports;
};

/* Main thread, with a new side, and with one that is freed. */
void fwd_answered_init(struct route_side *side);
void fwd_answered_free(struct route_side *side);

/* The guest behind ENDPOINT has answered over PROTO. Worker's thread, for each connection and each flow. */
void fwd_answered_note(struct route_side *side, const struct fwd_endpoint *endpoint, enum proto proto);

/* SIDE has read another state of its route. Worker's thread. */
void fwd_answered_follow(struct route_side *side);

#endif
