/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ROUTE_H
#define WEFT_FORWARDER_ROUTE_H

#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/asking.h"
#include "forwarder/forwarder.h"
#include "forwarder/route_side.h"
#include "forwarder/route_state.h"
#include "forwarder/tally.h"

#include <pthread.h>

/* A route. Main thread's, except where a member says otherwise. */
struct fwd_route {
	LIST_ENTRY(fwd_route) link;
	LIST_ENTRY(fwd_route) of_source;                /* sources.h; unless SOURCE_IP is 0 */
	LIST_ENTRY(fwd_route) of_door_id, of_door_name; /* door_table.h: if AT_DOOR; and DOOR_NAME is not empty */
	struct forwarder *forwarder;
	char *id; /* "": holds the clients of the default endpoint while that has no backend. Constant: any thread */
	unsigned slot;
	uint32_t guest_ip;  /* host order; constant once it has a namespace: any thread */
	uint32_t source_ip; /* host order, of the guest as the host sees it; under the lock of sources.h; 0: none */
	bool at_door;       /* under the lock of door_table.h, and the next */
	char door_name[FWD_NAME_MAX + 1]; /* "": none */
	size_t first_worker;              /* of those that accept for it */

	pthread_mutex_t lock;
	struct route_state state; /* main writes, under LOCK; main may read without */

	struct route_ask ask;
	unsigned wake_turns; /* that there were */
	bool resumed;        /* from a pause, and no probe was answered since */

	struct route_tally tally; /* any thread */

	LIST_HEAD(, fwd_probe) probes;
	LIST_HEAD(, fwd_listener) listeners;
	bool holds_namespace; /* its descriptor is counted: it stays open until the end */
	bool dying;           /* its end was asked for */
	struct timer drain;
	size_t sides_busy;   /* that have not reported `empty` */
	size_t barriers_out; /* that are not back */
	struct mail closed;  /* to main itself, where no worker was concerned */
	void (*answered)(void *context, uint16_t port,
			 enum proto proto); /* NULL: nobody asks. Constant once it has a namespace: any thread */
	void *answered_context;
	void (*done)(void *context);
	void *done_context;
	struct route_side *sides[]; /* by worker; NULL: no connection came there yet */
};

/* The fields `sandbox` and `name` of a line in the log; the clients of the default endpoint may have neither. Its worker's thread. */
#define F_SIDE(side)                                                                                                   \
	F_STR("sandbox", (side)->route->id[0] ? (side)->route->id : NULL),                                             \
	    F_STR("name", (side)->state.name[0] ? (side)->state.name : NULL)

/* The value of a field `direction`, which only the rarer one has. */
#define F_DIRECTION(direction) ((direction) == DIRECTION_OUT ? fwd_direction_name(direction) : NULL)

/* The share of WORKER, made if need be. NULL only for lack of memory. */
struct route_side *fwd_route_side_at(struct fwd_route *route, size_t worker);

/* Frees at once: when the workers are gone. */
void fwd_route_destroy(struct fwd_route *route);

#endif
