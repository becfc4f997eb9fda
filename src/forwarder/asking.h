/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ASKING_H
#define WEFT_FORWARDER_ASKING_H

/* Clients that would wake a paused guest, of whom the route reports one to main. */

#include "base/loop.h"
#include "forwarder/forwarder.h"

#include <stdbool.h>
#include <stddef.h>

struct fwd_route;
struct route_side;

/* A part of a route: under its lock, except where a member says otherwise. */
struct route_ask {
	bool any, endpoints;
	struct fwd_wake_port *ports; /* owned */
	size_t port_count;
	struct cidr4 *ignored; /* owned */
	size_t ignored_count;
	unsigned told;            /* the turn (route_state.h) of the last client that was reported */
	struct fwd_asking asking; /* that client */
	struct mail mail;         /* to main, while POSTED */
	bool posted;
	void (*asked)(void *context, const struct fwd_asking *asking); /* this and the next: main thread only */
	void *context;
};

/* The new ROUTE, and its end. Main thread. */
void fwd_ask_init(struct fwd_route *route);
void fwd_ask_free(struct fwd_route *route);

/* Copies the ports and networks of WAKE; NULL: no client wakes the guest. 0, or -1 for lack of memory: as before. Main thread. */
int fwd_ask_set(struct fwd_route *route, const struct fwd_wake *wake);

/* Whether a client of the guest's PORT would wake it, as SIDE's route is now. Its worker's thread. */
bool fwd_ask_counts(const struct route_side *side, enum proto proto, uint16_t port);

/* Whether CLIENT is in one of the networks that wake nobody. Its worker's thread. */
bool fwd_ask_ignores(const struct route_side *side, const struct addr *client);

/* ASKING waits for SIDE's guest. Reports it if main awaits a client, and this is the first that would wake the guest. Its worker's thread. */
void fwd_ask(struct route_side *side, const struct fwd_asking *asking);

#endif
