/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's loop. At the end of each iteration connections that used up their budget go on, the wheels turn, and closed
 * connections are freed. They are never freed earlier, because callers up the stack may still hold them.
 */
#include "forwarder/worker.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/slab.h"
#include "forwarder/connection.h"
#include "forwarder/door_refuse.h"
#include "forwarder/door_visit.h"
#include "forwarder/life.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/udp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Enough to see the cause, not enough to fill a disk. */
const struct log_limit fwd_end_lines = { .burst = 100, .interval_ms = 5000 };

enum {
	TIMEOUT_MAX_MS = 60 * 1000,
	HALT_TURN_S = 1, /* how often a worker that stands still counts a turn */
};

/* ---- An iteration ---- */

static void fwd_worker_free_dead(struct worker *worker)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&worker->dead))) {
		TAILQ_REMOVE(&worker->dead, connection, queue);
		base_slab_free(worker->slab, connection);
	}
}

/* As many as are queued now; those that they queue again wait for the next iteration. */
static void fwd_worker_go_on(struct worker *worker)
{
	size_t count = worker->again_count;

	while (count-- && worker->again_count) {
		struct connection *connection = TAILQ_FIRST(&worker->again);

		fwd_connection_dequeue(connection);
		connection->state->go_on(connection);
	}
}

static void fwd_worker_turn_wheels(struct worker *worker)
{
	fwd_wheel_turn(&worker->fine, worker->now_ms);
	fwd_wheel_turn(&worker->coarse, worker->now_ms);
	fwd_wheel_turn(&worker->flows, worker->now_ms);
	fwd_wheel_turn(&worker->unheard, worker->now_ms);
	fwd_wheel_turn(&worker->visits_wheel, worker->now_ms);
	fwd_wheel_turn(&worker->refused_wheel, worker->now_ms);
}

static uint64_t fwd_worker_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * How long nothing has to be done, in milliseconds; -1: until something happens. To be asked when all wheels have turned, because
 * an entry that expires on one may wait on another.
 */
static int fwd_worker_timeout_ms(const struct worker *worker)
{
	uint64_t connections_ms = fwd_worker_earlier(worker->fine.next_ms, worker->coarse.next_ms);
	uint64_t udp_ms = fwd_worker_earlier(worker->flows.next_ms, worker->unheard.next_ms);
	uint64_t door_ms = fwd_worker_earlier(worker->visits_wheel.next_ms, worker->refused_wheel.next_ms);
	uint64_t next_ms = fwd_worker_earlier(door_ms, fwd_worker_earlier(connections_ms, udp_ms));

	if (worker->again_count)
		return 0;
	if (next_ms == WHEEL_NEVER)
		return -1;
	if (next_ms <= worker->now_ms)
		return 0;
	return next_ms - worker->now_ms < TIMEOUT_MAX_MS ? (int)(next_ms - worker->now_ms) : TIMEOUT_MAX_MS;
}

static void fwd_worker_loop(struct worker *worker)
{
	while (!worker->leaves) {
		base_thread_turn(&worker->thread);
		fwd_poller_wait(worker->poller, fwd_worker_timeout_ms(worker));
		fwd_worker_tick(worker);
		fwd_poller_dispatch(worker->poller);
		fwd_worker_go_on(worker);
		fwd_worker_turn_wheels(worker);
		fwd_worker_free_dead(worker);
	}
}

/* ---- A standstill ---- */

static void fwd_worker_on_halt(struct mail *mail)
{
	struct worker *worker = container_of(mail, struct worker, halt.order);

	worker->halt.ordered = true;
	worker->leaves = true;
}

/* Waits for main, and shows the watchdog meanwhile that it is alive. */
static void fwd_worker_wait_for_end(struct worker *worker)
{
	struct worker_halt *halt = &worker->halt;
	struct timespec until;

	while (!halt->end) {
		base_thread_turn(&worker->thread);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += HALT_TURN_S;
		pthread_cond_timedwait(&halt->ended, &halt->lock, &until);
	}
}

static void fwd_worker_stand_still(struct worker *worker)
{
	struct worker_halt *halt = &worker->halt;
	void (*end)(struct worker *);

	fwd_worker_tick(worker);
	halt->begun(worker, halt->context);
	pthread_mutex_lock(&halt->lock);
	fwd_worker_wait_for_end(worker);
	end = halt->end;
	halt->end = NULL;
	pthread_mutex_unlock(&halt->lock);
	fwd_worker_tick(worker);
	end(worker);
	fwd_worker_free_dead(worker);
	halt->ordered = false;
	worker->leaves = worker->stopping;
}

void fwd_worker_halt(struct worker *worker, void (*begun)(struct worker *worker, void *context), void *context)
{
	worker->halt.begun = begun;
	worker->halt.context = context;
	base_mailbox_post(worker->mailbox, &worker->halt.order);
}

void fwd_worker_end_halt(struct worker *worker, void (*end)(struct worker *worker))
{
	pthread_mutex_lock(&worker->halt.lock);
	worker->halt.end = end;
	pthread_cond_signal(&worker->halt.ended);
	pthread_mutex_unlock(&worker->halt.lock);
}

static void fwd_worker_init_halt(struct worker_halt *halt)
{
	pthread_condattr_t attributes;

	halt->order.deliver = fwd_worker_on_halt;
	pthread_mutex_init(&halt->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&halt->ended, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void *fwd_worker_run(void *arg)
{
	struct worker *worker = arg;

	fwd_worker_loop(worker);
	while (worker->halt.ordered) {
		fwd_worker_stand_still(worker);
		fwd_worker_loop(worker);
	}
	return NULL;
}

/* ---- Start and end ---- */

static void fwd_worker_on_messages(struct poll_source *source, uint32_t events)
{
	struct worker *worker = container_of(source, struct worker, messages);

	(void)events;
	base_mailbox_deliver(worker->mailbox);
}

static int fwd_worker_make_parts(struct worker *worker, struct err *err)
{
	worker->poller = fwd_poller_new(err);
	if (!worker->poller)
		return -1;
	worker->mailbox = base_mailbox_new(NULL, err);
	if (!worker->mailbox)
		return -1;
	worker->messages.happened = fwd_worker_on_messages;
	if (fwd_poller_add_readable(worker->poller, base_mailbox_fd(worker->mailbox), &worker->messages) < 0)
		return err_set(err, errno, "epoll");
	worker->slab = base_slab_new(sizeof(struct connection));
	worker->pipes = fwd_pipe_pool_new(PIPES_KEPT, PIPE_SIZE, fwd_tally_pipes(worker->forwarder));
	worker->buffer = malloc(COPY_SIZE);
	if (!worker->slab || !worker->pipes || !worker->buffer)
		return err_set(err, ENOMEM, "buffers");
	return 0;
}

static void fwd_worker_free_parts(struct worker *worker)
{
	base_mailbox_free(worker->mailbox);
	fwd_poller_free(worker->poller);
	base_slab_destroy(worker->slab);
	fwd_pipe_pool_free(worker->pipes);
	free(worker->buffer);
	free(worker->datagrams);
	pthread_mutex_destroy(&worker->accepting);
	pthread_mutex_destroy(&worker->halt.lock);
	pthread_cond_destroy(&worker->halt.ended);
	free(worker);
}

static void fwd_worker_on_stop(struct mail *mail)
{
	struct worker *worker = container_of(mail, struct worker, stop);

	fwd_door_visit_drop(worker);
	fwd_door_refused_drop(worker);
	fwd_life_on_stop(mail);
}

static void fwd_worker_on_asked(struct mail *mail)
{
	struct worker *worker = container_of(mail, struct worker, question);

	atomic_store(&worker->asked, false);
}

static void fwd_worker_ask(struct base_thread *thread)
{
	struct worker *worker = container_of(thread, struct worker, thread);

	if (!atomic_exchange(&worker->asked, true))
		base_mailbox_post(worker->mailbox, &worker->question);
}

struct worker *fwd_worker_new(struct forwarder *forwarder, size_t index, struct err *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker) {
		err_set(err, ENOMEM, "worker");
		return NULL;
	}
	worker->forwarder = forwarder;
	worker->index = index;
	worker->now_ms = clock_now_ms();
	worker->stop.deliver = fwd_worker_on_stop;
	worker->question.deliver = fwd_worker_on_asked;
	snprintf(worker->name, sizeof(worker->name), "weft-worker-%zu", index);
	worker->thread.name = worker->name;
	worker->thread.ask = fwd_worker_ask;
	pthread_mutex_init(&worker->accepting, NULL);
	LIST_INIT(&worker->sides);
	TAILQ_INIT(&worker->again);
	TAILQ_INIT(&worker->dead);
	TAILQ_INIT(&worker->visits);
	TAILQ_INIT(&worker->refused);
	fwd_wheel_init(&worker->fine, FINE_STEP_MS, worker->now_ms, fwd_connection_expired);
	fwd_wheel_init(&worker->coarse, COARSE_STEP_MS, worker->now_ms, fwd_connection_expired);
	fwd_wheel_init(&worker->flows, COARSE_STEP_MS, worker->now_ms, fwd_udp_flow_expired);
	fwd_wheel_init(&worker->visits_wheel, COARSE_STEP_MS, worker->now_ms, fwd_door_visit_expired);
	fwd_wheel_init(&worker->refused_wheel, COARSE_STEP_MS, worker->now_ms, fwd_door_refused_expired);
	fwd_wheel_init(&worker->unheard, COARSE_STEP_MS, worker->now_ms, fwd_udp_unheard_expired);

	fwd_worker_init_halt(&worker->halt);
	if (fwd_worker_make_parts(worker, err) < 0 ||
	    base_thread_start(&worker->thread, fwd_worker_run, worker, err) < 0) {
		fwd_worker_free_parts(worker);
		return NULL;
	}
	return worker;
}

void fwd_worker_stop(struct worker *worker)
{
	base_mailbox_post(worker->mailbox, &worker->stop);
}

void fwd_worker_free(struct worker *worker)
{
	base_thread_join(&worker->thread);
	fwd_worker_free_parts(worker);
}
