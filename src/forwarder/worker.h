/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_WORKER_H
#define WEFT_FORWARDER_WORKER_H

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "forwarder/endpoint.h"
#include "forwarder/forwarder.h"
#include "forwarder/poller.h"
#include "forwarder/wheel.h"

#include <pthread.h>
#include <stdatomic.h>

struct connection;
struct pipe_pool;
struct route_side;
struct slab;

enum {
	ACCEPTS_MAX = 64,       /* in one wake-up of one listening socket */
	COPY_SIZE = 16 * 1024,  /* read at once while copying: beyond it splicing is cheaper */
	PIPE_SIZE = 256 * 1024, /* a bigger pipe gains nothing */
	PIPES_KEPT = 16,        /* idle ones */
	PIPES_LENT_MAX = 128,   /* beyond these a direction copies */
	FINE_STEP_MS = 10,      /* of dialing and holding */
	COARSE_STEP_MS = 1000,  /* of open connections */
};

/* A connection that was accepted and has not begun. */
struct arrival {
	int fd;
	struct addr client;
	struct fwd_endpoint *endpoint; /* with a reference */
	struct route_side *side;
	uint64_t accepted_us; /* clock_now_us() */
};

/* One accepted by another thread. */
struct arrival_letter {
	struct mail mail;
	struct arrival arrival;
	const struct endpoint_share
	    *unasked; /* by main, which has not asked the limits of this share; NULL: by a worker */
};

/* What a worker counts: written by it alone, read by any. */
struct worker_stats {
	_Atomic uint64_t ended[CLOSE_REASONS];
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t connect_count[CONNECT_BUCKETS];
	_Atomic uint64_t connect_sum_us;
};

TAILQ_HEAD(connection_queue, connection);

/* One thread with a loop, and all that its connections share. Its thread's only, but for what says otherwise. */
struct worker {
	struct forwarder *forwarder;
	size_t index;
	pthread_t thread;
	struct poller *poller;
	struct mailbox *mailbox; /* any thread posts */
	struct poll_source letters;
	struct mail stop;
	bool stopping;

	uint64_t now_ms; /* of this turn */
	struct slab *slab;
	struct pipe_pool *pipes;
	size_t pipes_lent;
	size_t bulk_streams;           /* whose buffers in the kernel are bounded */
	LIST_HEAD(, route_side) sides; /* that a connection came to */
	struct connection_queue again; /* used up their budget: they go on at the end of the turn */
	size_t again_count;
	struct connection_queue dead; /* closed in this turn: freed at its end */
	struct wheel fine, coarse, flows;
	struct udp_batch *datagrams; /* NULL without UDP endpoints */
	char *buffer;                /* COPY_SIZE bytes: what is read and at once written on */

	struct log_limit lines;       /* of abnormal ends */
	struct log_limit limit_lines; /* "connection ended" for a limit, of those that never began */
	struct worker_stats stats;
	atomic_size_t load; /* connections; any thread */

	pthread_mutex_t accepting; /* held while accepting: main takes it to end that */
	size_t arrival_count;
	struct arrival arrivals[ACCEPTS_MAX]; /* accepted in this wake-up */
};

/* Starts the thread. NULL with ERR. */
struct worker *worker_new(struct forwarder *forwarder, size_t index, struct err *err);

/* Asks the thread to reset what it has and to end. Main thread; nothing may be posted after that. */
void worker_stop(struct worker *worker);

/* Waits for the end of the thread, and frees. */
void worker_free(struct worker *worker);

/* The guest answered to what was accepted at ACCEPTED_US: for the histogram. Worker's thread. */
void worker_count_connect(struct worker *worker, uint64_t accepted_us);

/* Looks at the clock. Worker's thread. */
static inline void worker_tick(struct worker *worker)
{
	worker->now_ms = clock_now_ms();
}

/* Adds to a counter that this worker alone writes: no locked instruction is needed. */
static inline void count_add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
			      memory_order_relaxed);
}

/* One more has ended: the last that is told of it, so that whoever sees it counted finds it gone from all other sums. */
static inline void count_ended(struct worker *worker, enum close_reason reason)
{
	_Atomic uint64_t *counter = &worker->stats.ended[reason];

	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_release);
}

#endif
