/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A handover at the end of a run. The workers prepare all sockets first, while bytes still flow (freeze_prepare.c). Then main orders
 * each to stand still. Each describes its own connections, at the same time as the others, and reports to main, which writes the record
 * of all. The connections stay as they are until main says how it went on: they are forgotten, or the workers go on with them as if
 * nothing had been.
 */
#include "forwarder/freeze.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "forwarder/accept_pause.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/door_refuse.h"
#include "forwarder/door_visit.h"
#include "forwarder/handover.h"
#include "forwarder/handover_record.h"
#include "forwarder/route_side.h"
#include "forwarder/thaw_wait.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>

/* One worker's part: its own while it describes, main's before and after. */
struct freeze_part {
	struct freeze *freeze;
	struct worker *worker;
	struct mail prepare;
	struct mail answer;
	struct frozen_list routes;
	bool failed; /* there is no memory */
};

struct freeze {
	struct forwarder *forwarder;
	void (*done)(void *context, const struct fwd_handover *handover, const struct err *err);
	void *context;
	struct record_head head;
	struct record_bytes bytes;
	struct record_fds fds;
	struct record_fds pollers; /* each watches a worker's sockets, and its close takes a microsecond for each */
	struct frozen_list routes;
	struct fwd_handover handover;
	bool preparing; /* and not given up */
	bool halted;    /* the workers were told to stand still, and not yet to go on */
	size_t waiting; /* for so many workers' answers */
	struct freeze_part parts[];
};

/* ---- How it goes on ---- */

/* The sockets stay prepared: the close of each looks after that. */
static void fwd_freeze_go_on(struct worker *worker)
{
	(void)worker;
}

static void fwd_freeze_end_left(struct worker *worker)
{
	struct route_side *side;

	fwd_freeze_unwatch(worker);
	fwd_door_visit_drop(worker);
	fwd_door_refused_drop(worker);
	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		while (!LIST_EMPTY(&side->connections))
			fwd_connection_leave(LIST_FIRST(&side->connections));
	}
}

static void fwd_freeze_end(struct freeze *freeze, void (*end)(struct worker *worker))
{
	struct forwarder *forwarder = freeze->forwarder;

	if (!freeze->halted)
		return;
	freeze->halted = false;
	fwd_freeze_forget(&freeze->routes);
	vec_free(&freeze->bytes);
	vec_free(&freeze->fds);
	vec_free(&freeze->pollers);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		fwd_worker_end_halt(forwarder->workers[i], end);
}

void fwd_freeze_undo(struct forwarder *forwarder)
{
	fwd_freeze_end(forwarder->freeze, fwd_freeze_go_on);
}

void fwd_freeze_leave(struct forwarder *forwarder)
{
	fwd_freeze_end(forwarder->freeze, fwd_freeze_end_left);
	fwd_thaw_wait_leave(forwarder);
}

/* ---- The record ---- */

/* As many as there is memory for. */
static void fwd_freeze_list_pollers(struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->forwarder->worker_count; i++) {
		int *fd = vec_push(&freeze->pollers);

		if (fd)
			*fd = fwd_poller_fd(freeze->forwarder->workers[i]->poller);
	}
}

static int fwd_freeze_write(struct freeze *freeze)
{
	struct forwarder *forwarder = freeze->forwarder;
	const struct frozen_list *waiting = fwd_thaw_wait_list(forwarder);
	const struct frozen_route *route;
	struct fwd_handover *handover = &freeze->handover;

	fwd_freeze_list_pollers(freeze);
	freeze->head.last_id = fwd_connection_last_id();
	if (fwd_record_write(&freeze->routes, waiting, &freeze->head, &freeze->bytes, &freeze->fds) < 0)
		return -1;
	*handover = (struct fwd_handover){ .record = freeze->bytes.items,
					   .record_size = freeze->bytes.count,
					   .fds = freeze->fds.items,
					   .fd_count = freeze->fds.count,
					   .burden = freeze->pollers.items,
					   .burden_count = freeze->pollers.count };
	STAILQ_FOREACH(route, &freeze->routes, next)
	{
		handover->connections += route->count;
		for (size_t i = 0; i < route->count; i++)
			handover->bytes += fwd_frozen_bytes(&route->items[i]);
	}
	handover->connections += fwd_thaw_waiting(forwarder);
	return 0;
}

static void fwd_freeze_fail(struct freeze *freeze)
{
	struct err err;

	err_set(&err, ENOMEM, "record of the connections");
	fwd_freeze_undo(freeze->forwarder);
	freeze->done(freeze->context, NULL, &err);
}

static void fwd_freeze_finish(struct freeze *freeze)
{
	bool failed = false;

	for (size_t i = 0; i < freeze->forwarder->worker_count; i++) {
		STAILQ_CONCAT(&freeze->routes, &freeze->parts[i].routes);
		failed |= freeze->parts[i].failed;
	}
	fwd_thaw_wait_age(freeze->forwarder, freeze->head.frozen_ms);
	if (failed || fwd_freeze_write(freeze) < 0)
		fwd_freeze_fail(freeze);
	else
		freeze->done(freeze->context, &freeze->handover, NULL);
}

/* Main thread. */
static void fwd_freeze_on_answer(struct mail *mail)
{
	struct freeze_part *part = container_of(mail, struct freeze_part, answer);
	struct freeze *freeze = part->freeze;

	if (--freeze->waiting == 0 && freeze->halted)
		fwd_freeze_finish(freeze);
}

/* ---- The order ---- */

/* Worker's thread. */
static void fwd_freeze_on_halted(struct worker *worker, void *context)
{
	struct freeze_part *part = context;

	part->failed = fwd_freeze_describe(worker, &part->routes) < 0;
	base_mailbox_post(worker->forwarder->mailbox, &part->answer);
}

static void fwd_freeze_order(struct freeze *freeze)
{
	struct forwarder *forwarder = freeze->forwarder;

	freeze->halted = true;
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		struct freeze_part *part = &freeze->parts[i];

		part->answer.deliver = fwd_freeze_on_answer;
		freeze->waiting++;
		fwd_worker_halt(forwarder->workers[i], fwd_freeze_on_halted, part);
	}
}

/* ---- The preparation ---- */

/* Main thread. */
static void fwd_freeze_on_prepared(struct mail *mail)
{
	struct freeze *freeze = container_of(mail, struct freeze_part, answer)->freeze;

	if (--freeze->waiting || !freeze->preparing)
		return;
	freeze->preparing = false;
	/* Before the order: a client that was accepted is on its way to its worker already. */
	fwd_accept_pause_for_ever(freeze->forwarder);
	freeze->head.frozen_ms = clock_now_ms();
	fwd_freeze_order(freeze);
}

/* Worker's thread. In pieces, between which the connections are served. */
static void fwd_freeze_on_prepare(struct mail *mail)
{
	struct freeze_part *part = container_of(mail, struct freeze_part, prepare);
	bool more = fwd_freeze_prepare(part->worker);

	base_mailbox_post(more ? part->worker->mailbox : part->freeze->forwarder->mailbox,
			  more ? &part->prepare : &part->answer);
}

static void fwd_freeze_prepare_all(struct freeze *freeze)
{
	struct forwarder *forwarder = freeze->forwarder;

	freeze->preparing = true;
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		struct freeze_part *part = &freeze->parts[i];

		part->freeze = freeze;
		part->worker = forwarder->workers[i];
		part->prepare.deliver = fwd_freeze_on_prepare;
		part->answer.deliver = fwd_freeze_on_prepared;
		STAILQ_INIT(&part->routes);
		freeze->waiting++;
	}
	for (size_t i = 0; i < forwarder->worker_count; i++)
		base_mailbox_post(forwarder->workers[i]->mailbox, &freeze->parts[i].prepare);
}

static struct freeze *fwd_freeze_new(struct forwarder *forwarder)
{
	struct freeze *freeze = calloc(1, sizeof(*freeze) + forwarder->worker_count * sizeof(freeze->parts[0]));

	if (!freeze)
		return NULL;
	freeze->forwarder = forwarder;
	STAILQ_INIT(&freeze->routes);
	return freeze;
}

int fwd_freeze(struct forwarder *forwarder,
	       void (*done)(void *context, const struct fwd_handover *handover, const struct err *err), void *context,
	       struct err *err)
{
	struct freeze *freeze = fwd_freeze_new(forwarder);

	if (!freeze)
		return err_set(err, ENOMEM, "record of the connections");
	forwarder->freeze = freeze;
	freeze->done = done;
	freeze->context = context;
	fwd_freeze_prepare_all(freeze);
	return 0;
}

void fwd_freeze_cancel(struct forwarder *forwarder)
{
	if (!forwarder->freeze)
		return;
	forwarder->freeze->preparing = false;
	fwd_freeze_undo(forwarder);
}

void fwd_freeze_free(struct forwarder *forwarder)
{
	struct freeze *freeze = forwarder->freeze;

	if (!freeze)
		return;
	for (size_t i = 0; i < forwarder->worker_count; i++)
		fwd_freeze_forget(&freeze->parts[i].routes);
	free(freeze);
	forwarder->freeze = NULL;
}
