/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_WORKER_H
#define WEFT_FORWARDER_WORKER_H

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "base/thread.h"
#include "forwarder/arrival.h"
#include "forwarder/forwarder.h"
#include "forwarder/poller.h"
#include "forwarder/tally.h"
#include "forwarder/wheel.h"

#include <pthread.h>

struct connection;
struct door_refused;
struct door_visit;
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

TAILQ_HEAD(connection_queue, connection);

/* The limit of the lines about abnormal ends of connections and flows. */
extern const struct log_limit fwd_end_lines;

/*
 * A standstill of a worker between two of its iterations, which main orders and ends. Events, messages and times that come meanwhile
 * wait. Readiness that was not asked for yet is not lost: the kernel keeps it until then.
 */
struct worker_halt {
	struct mail order;                                   /* to the worker */
	bool ordered;                                        /* the worker's: the order has come */
	void (*begun)(struct worker *worker, void *context); /* called on its thread when it stands still */
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* Under LOCK; called on its thread when it goes on. NULL: it does not yet. */
	void (*end)(struct worker *worker);
};

/* One thread with a loop, and all that its connections share. Its thread's only, except where a member says otherwise. */
struct worker {
	struct forwarder *forwarder;
	size_t index;
	char name[16]; /* of the thread */
	struct base_thread thread;
	struct poller *poller;
	struct mailbox *mailbox; /* any thread posts */
	struct poll_source messages;
	struct mail stop;
	bool stopping;
	bool leaves; /* its loop, for either of the two: its end or a standstill */
	struct worker_halt halt;
	struct mail question; /* whether it goes on */
	atomic_bool asked;    /* the question is on its way; main asks, the worker clears */

	uint64_t now_ms; /* of this iteration */
	struct slab *slab;
	struct pipe_pool *pipes;
	size_t pipes_lent;
	LIST_HEAD(, route_side) sides; /* that a connection came to */
	struct connection_queue again; /* used up their budget: they go on at the end of the iteration */
	size_t again_count;
	struct connection_queue dead;    /* closed in this iteration: freed at its end */
	TAILQ_HEAD(, door_visit) visits; /* the oldest first, and so the next */
	TAILQ_HEAD(, door_refused) refused;
	struct wheel fine, coarse, flows, visits_wheel, refused_wheel;
	struct wheel unheard;        /* of UDP endpoints for whose event there was no memory */
	struct udp_batch *datagrams; /* NULL without UDP endpoints */
	char *buffer;                /* COPY_SIZE bytes, read and at once written on */

	struct worker_tally tally; /* any thread reads */

	pthread_mutex_t accepting; /* held while accepting: main takes it to end that */
	size_t arrival_count;
	struct arrival arrivals[ACCEPTS_MAX]; /* accepted in this wake-up */
};

/* Starts the thread. NULL with ERR. */
struct worker *fwd_worker_new(struct forwarder *forwarder, size_t index, struct err *err);

/* Has it stand still after this iteration. Main thread; once until fwd_worker_end_halt(). */
void fwd_worker_halt(struct worker *worker, void (*begun)(struct worker *worker, void *context), void *context);

/* Has it call END and go on. Main thread; may come before it stands still. */
void fwd_worker_end_halt(struct worker *worker, void (*end)(struct worker *worker));

/* Asks the thread to reset its connections and to end. Main thread; no message may be posted after that. */
void fwd_worker_stop(struct worker *worker);

/* Waits for the end of the thread, and frees. */
void fwd_worker_free(struct worker *worker);

/* Looks at the clock. Worker's thread. */
static inline void fwd_worker_tick(struct worker *worker)
{
	worker->now_ms = clock_now_ms();
}

#endif
