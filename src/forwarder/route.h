/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ROUTE_H
#define WEFT_FORWARDER_ROUTE_H

#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/forwarder.h"

#include <pthread.h>
#include <stdatomic.h>

struct connection;
struct route_side;
struct worker;

/*
 * What a worker must know of a route. Main changes it and tells the workers; one that is told late sees the last state only, so
 * what must not be missed (a carrier that went and came back) is counted.
 */
struct route_state {
	int netns_fd; /* -1: none */
	bool gone;    /* there was a namespace, and it went */
	bool up;
	bool ready;
	bool paused;
	bool closing;             /* `empty` is to be told once no connection is left */
	bool reset_all;           /* none may be left */
	enum close_reason reason; /* of reset_all */
	unsigned carrier_losses;  /* outside of pauses */
	unsigned flow_resets;     /* resumes that do not keep the flows */
	unsigned refused_grace_ms;
	unsigned connections_for_all; /* of all routes together; 0: no limit */
	struct limits limits;
	uint64_t pace; /* bytes a second that a client is sent at most; 0: no limit */
};

/* One worker's share of a route. Its thread's only, but for what says otherwise. Made when a connection may come there. */
struct route_side {
	struct fwd_route *route;
	struct worker *worker;
	LIST_ENTRY(route_side) of_worker;
	bool known;               /* on its worker's list */
	struct route_state state; /* as last told */
	uint64_t paused_at_ms;
	uint64_t woken_ms; /* when those that wait for an answer last were made to dial at once */
	LIST_HEAD(, connection) connections;
	LIST_HEAD(, udp_port) udp_ports;
	size_t count;         /* of connections, UDP endpoints and their flows */
	atomic_size_t coming; /* connections that another thread accepted and that are still in a letter; any thread */
	bool empty_told;

	struct mail update;      /* read the state anew */
	bool update_posted;      /* under the route's lock */
	struct route_side *lead; /* the same; of the route to nowhere only: where its clients go now. NULL: they stay */
	struct mail empty;       /* to main: no connection is left, and none will come */
	struct mail farewell;    /* to the worker and back: no other letter is under way */

	/* Written by this worker alone, read by any. */
	atomic_size_t held;
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t active_ms; /* clock_now_ms() of the last byte; 0: none */
};

struct fwd_route {
	LIST_ENTRY(fwd_route) link;
	struct forwarder *forwarder;
	char *id; /* "": the way to nowhere */
	unsigned slot;
	size_t first_worker; /* of those that accept for it */

	pthread_mutex_t lock;
	struct route_state state; /* main writes, under LOCK; main may read without */

	_Atomic uint64_t total;    /* connections ever; any thread */
	atomic_size_t connections; /* accepted and not yet ended; main adds, workers subtract */

	LIST_HEAD(, probe) probes;
	bool dying; /* its end was asked for */
	struct timer drain;
	size_t sides_busy;  /* that have not told `empty` */
	size_t sides_there; /* that have not answered the farewell */
	struct mail closed; /* to main itself, where no worker was concerned */
	void (*done)(void *context);
	void *done_context;
	struct route_side *sides[]; /* by worker; NULL: no connection came there yet */
};

/* The share of WORKER, made if need be. NULL only for lack of memory. Main thread. */
struct route_side *route_side_at(struct fwd_route *route, size_t worker);

/* Frees at once: when the workers are gone. */
void route_destroy(struct fwd_route *route);

/* Where the clients at the default endpoint wait go now. Main thread. */
void route_lead_on(struct fwd_route *nowhere, struct fwd_route *route);

/* Whether the guest may be dialed. */
bool route_may_dial(const struct route_state *state);

/* SIDE is in use from now on. Worker's thread. */
void route_side_know(struct route_side *side);

/* A connection comes to SIDE. Worker's thread. */
void route_side_add(struct route_side *side, struct connection *connection);

/* A worker's connection left ROUTE's share: tells main where that was awaited. Worker's thread. */
void route_side_check_empty(struct route_side *side);

/* What a worker does about a new state: hold.c. Worker's thread. */
void route_side_update(struct route_side *side);

#endif
