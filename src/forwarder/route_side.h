/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ROUTE_SIDE_H
#define WEFT_FORWARDER_ROUTE_SIDE_H

#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/answered.h"
#include "forwarder/route_state.h"
#include "forwarder/tally.h"

#include <stddef.h>

struct connection;
struct fwd_route;
struct worker;

/*
 * One worker's share of a route. Made by main when a connection may come there; from then on its worker's only, except where a
 * member says otherwise. All functions: its worker's thread.
 */
struct route_side {
	struct fwd_route *route;
	struct worker *worker;
	LIST_ENTRY(route_side) of_worker;
	bool known;               /* on its worker's list */
	struct route_state state; /* as last read */
	uint64_t paused_at_ms;
	unsigned asked_turn; /* main was told of a client in this turn; see asking.h */
	uint64_t woken_ms;   /* the last time that an answer made the others dial at once */
	LIST_HEAD(, connection) connections;
	LIST_HEAD(, udp_port) udp_ports;
	size_t count; /* of connections, UDP endpoints and their flows */
	bool empty_reported;
	struct side_tally tally;
	struct answered answered;

	struct mail update;         /* to the worker: the state has changed */
	bool update_posted;         /* under the route's lock */
	struct route_side *backend; /* the same; the backend of the default endpoint. NULL: none, its clients wait */
	struct mail empty;          /* to main: no connection is left, and none will come */
	struct mail barrier;        /* to the worker and back: no other message is under way */
};

/* Reads the state that main has written last. */
void fwd_route_side_read(struct route_side *side);

/*
 * The default endpoint's backend, if SIDE holds that endpoint's clients, as main has it now. It is newer than the last
 * message, so a client that connects after a change goes to the new backend. NULL: none.
 */
struct route_side *fwd_route_side_backend(struct route_side *side);

/* Whether SIDE is of the route that holds clients of the default endpoint while that has no backend. */
bool fwd_route_side_has_no_backend(const struct route_side *side);

/* SIDE is in use from now on. */
void fwd_route_side_know(struct route_side *side);

/* CONNECTION comes to SIDE, or leaves its side. */
void fwd_route_side_add(struct route_side *side, struct connection *connection);
void fwd_route_side_remove(struct connection *connection);

/* To be called when something of SIDE has ended: reports to main that the side is empty, where main waits for that. */
void fwd_route_side_check_empty(struct route_side *side);

/* Delivers `update`: route_apply.c. */
void fwd_route_apply_on_message(struct mail *mail);

#endif
