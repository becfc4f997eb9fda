/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_CORE_H
#define WEFT_FORWARDER_CORE_H

#include "base/addr.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/forwarder.h"

#include <stdatomic.h>

struct worker;

/* The forwarder itself: what the main thread's files of this room share. Main thread only, but for what says otherwise. */
struct forwarder {
	struct event_base *base;
	const struct config *config;
	struct mailbox *mailbox; /* from the workers to main */

	struct worker **workers;
	size_t worker_count;
	size_t next_worker; /* where the search for the least loaded begins */
	size_t next_first;  /* where the next route's workers begin */

	LIST_HEAD(, listener) listeners;
	LIST_HEAD(, fwd_route) routes;
	struct fwd_route *nowhere;       /* who asks for the default endpoint while it leads nowhere is held here */
	struct fwd_route *default_route; /* NULL: nowhere */

	/* Any thread. */
	atomic_size_t connections;  /* accepted and not yet ended; UDP flows too */
	atomic_size_t flows;        /* of these, UDP: they end by silence alone, so no drain waits for them */
	atomic_size_t bulk_streams; /* of all workers */
	atomic_size_t promised;     /* of these, those without a socket to the guest: they need one descriptor more */

	/* Accepting pauses for all listeners together: descriptors are everybody's. */
	struct timer accept_pause;
	atomic_bool accept_paused;     /* any thread */
	struct mail pause_letter;      /* from the worker that paused it */
	atomic_int pause_error;        /* its errno; 0: the reserve is reached */
	atomic_int descriptors_usable; /* those with higher numbers are the reserve; any thread */
	uint64_t accept_pauses;
	struct log_limit pause_lines; /* "accept paused" */

	atomic_bool stopping; /* no letters to workers any more; any thread */
	struct timer drain_timer;
	uint64_t drain_until_ms;
	void (*drained)(void *context);
	void *drained_context;
};

/* The worker with the fewest connections. */
struct worker *forwarder_pick_worker(struct forwarder *forwarder);

/* The address of port PORT of every guest. */
struct addr forwarder_guest(const struct forwarder *forwarder, uint16_t port);

#endif
