/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_CORE_H
#define WEFT_FORWARDER_CORE_H

#include "base/addr.h"
#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/accept_pause.h"
#include "forwarder/admission.h"
#include "forwarder/door_table.h"
#include "forwarder/fair_share.h"
#include "forwarder/flow_table.h"
#include "forwarder/forwarder.h"
#include "forwarder/services.h"
#include "forwarder/sources.h"
#include "forwarder/tally.h"

#include <stdatomic.h>

struct freeze;
struct thaw;
struct worker;

/*
 * The forwarder itself, in parts that their own files keep. Main thread only, except where a part says otherwise. Files of the
 * workers come here by the functions of those parts.
 */
struct forwarder {
	struct event_base *base;
	const struct config *config;
	struct mailbox *mailbox; /* from the workers to main */

	struct worker **workers;
	size_t worker_count;
	size_t next_worker; /* where the search for the least loaded begins */
	size_t next_first;  /* where the next route's workers begin */

	LIST_HEAD(, fwd_listener) listeners;
	LIST_HEAD(, fwd_route) routes;
	struct fwd_route *no_backend;    /* holds the clients of the default endpoint while that has no backend */
	struct fwd_route *default_route; /* the default endpoint's backend; NULL: none */
	struct services services;
	struct sources sources;
	struct door_table door_table;

	struct {
		size_t count; /* of UDP sockets that workers are to close */
		void (*done)(void *context);
		void *context;
	} closing;

	struct flow_seed seed; /* of the tables of UDP flows. Constant: any thread */
	struct tally tally;    /* any thread */
	struct fair_share fair_share;
	struct admission admission; /* any thread */
	struct accept_pause accept_pause;

	atomic_bool stopping; /* no more messages to workers; any thread */
	struct {
		struct timer timer;
		uint64_t until_ms;
		void (*done)(void *context); /* NULL: no drain */
		void *context;
	} drain;

	struct freeze *freeze; /* the handover to the next run; NULL: none */
	struct thaw *thaw;     /* what the former run has handed over; NULL: nothing */
};

/* The worker with the fewest connections. */
struct worker *fwd_pick_worker(struct forwarder *forwarder);

/* How many workers hear one listening socket. Of that which hears of services, these are the first ones. */
size_t fwd_accepting_workers(const struct forwarder *forwarder);

/* Waits until no worker is in the middle of accepting. Main thread. */
void fwd_wait_for_accepting(struct forwarder *forwarder);

/* The address of port PORT of ROUTE's guest. Any thread, once the route has a namespace. */
struct addr fwd_guest(const struct fwd_route *route, uint16_t port);

#endif
