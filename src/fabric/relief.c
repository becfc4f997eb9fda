/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pauses of 1, 2, 4 ... 30 s are for troubles that stay. A shortage meets many objects at once, and whoever waits for one of them should
 * not wait for the rest of a pause when it is over. So whoever meets a shortage reports it, and the builder then asks the kernel two
 * short questions, ten times a second, until it gets an answer to both. Then troubles, teardowns and the pool are tried ahead of their time.
 *
 * This is bounded. Each of them is tried ahead of time a few times in one of its pauses at most, and such an attempt makes no pause longer;
 * and as long as attempts meet the next shortage, those ahead of time come ever later, up to a second.
 *
 * The question needs no memory of ours, as its job is a part of the record.
 */
#include "fabric/relief.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/spares.h"
#include "fabric/look_slot.h"
#include "fabric/pool.h"
#include "fabric/repair.h"
#include "fabric/rules/rules.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "fabric/teardown.h"
#include "fabric/trouble.h"
#include "kernel/link.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_MS = 100, LAST_MS = 1000, NEWS_MS = 2000 };

struct relief {
	struct job job; /* the question */
	struct fabric *fabric;
	struct timer timer;
	bool asking;       /* JOB is under way */
	unsigned pause_ms; /* before the next question */
	uint64_t met_ms;   /* when a shortage was met last */
};

static void fabric_relief_try_host_again(struct fabric *fabric, enum trouble_kind kind)
{
	switch (kind) {
	case TROUBLE_LINKS:
	case TROUBLE_ROUTE:
		fabric_suspect_routes(fabric, true);
		break;
	case TROUBLE_RULES:
		fabric_suspect_host(fabric);
		break;
	case TROUBLE_LOOK:
	case TROUBLE_KINDS:
		break; /* of slots alone */
	}
}

static void fabric_relief_try_slot_again(struct slot *slot, enum trouble_kind kind)
{
	switch (kind) {
	case TROUBLE_LOOK:
		fabric_slot_look(slot);
		break;
	case TROUBLE_LINKS:
	case TROUBLE_ROUTE:
		fabric_slot_repair(slot);
		break;
	case TROUBLE_RULES:
		fabric_suspect_slot(slot);
		break;
	case TROUBLE_KINDS:
		break;
	}
}

static void fabric_relief_try_due(struct fabric *fabric)
{
	struct trouble *trouble;

	while ((trouble = fabric_trouble_take_due(fabric))) {
		struct slot *slot = fabric_slot_find(fabric, trouble->slot);

		if (slot)
			fabric_relief_try_slot_again(slot, trouble->kind);
		else if (!trouble->slot)
			fabric_relief_try_host_again(fabric, trouble->kind);
	}
}

void fabric_relief_tick(struct fabric *fabric)
{
	fabric_trouble_tick(fabric);
	fabric_relief_try_due(fabric);
}

/* ---- The end of a shortage ---- */

static int fabric_relief_run_question(struct job *job)
{
	struct kern_link link;
	uint32_t generation;

	base_spares_fill();
	if (base_spares_are_short())
		return err_set(&job->err, EMFILE, "spare descriptors");
	if (kern_link_get(fabric_job_host(job), KERN_LINK_HERE, "lo", &link, &job->err) < 0)
		return -1;
	return rules_generation(-1, &generation, &job->err);
}

static void fabric_relief_finish_question(struct job *job)
{
	struct relief *relief = container_of(job, struct relief, job);
	struct fabric *fabric = relief->fabric;

	relief->asking = false;
	if (fabric->stopping)
		return;
	if (job->failed) {
		relief->met_ms = clock_now_ms();
		timer_start(&relief->timer, FIRST_MS);
		return;
	}
	relief->pause_ms = base_backoff_next(relief->pause_ms, FIRST_MS, LAST_MS);
	fabric_troubles_hurry(fabric);
	fabric_relief_try_due(fabric);
	fabric_teardown_hurry(fabric);
	fabric_pool_hurry(fabric->pool);
}

static void fabric_relief_on_timer(void *context)
{
	struct relief *relief = context;

	if (relief->fabric->stopping)
		return;
	relief->asking = true;
	fabric_job_thread_post(relief->fabric->builder, &relief->job, JOB_LOOK);
}

static void fabric_relief_on_shortage(struct fabric *fabric)
{
	struct relief *relief = fabric->relief;
	uint64_t now = clock_now_ms();

	if (now - relief->met_ms > NEWS_MS)
		relief->pause_ms = FIRST_MS;
	relief->met_ms = now;
	if (!fabric->stopping && !relief->asking && !timer_is_armed(&relief->timer))
		timer_start(&relief->timer, relief->pause_ms);
}

struct relief *fabric_relief_new(struct fabric *fabric, struct err *err)
{
	struct relief *relief = calloc(1, sizeof(*relief));

	if (!relief) {
		err_set(err, ENOMEM, "relief");
		return NULL;
	}
	if (timer_init(&relief->timer, fabric->base, fabric_relief_on_timer, relief, err) < 0) {
		free(relief);
		return NULL;
	}
	relief->fabric = fabric;
	relief->pause_ms = FIRST_MS;
	relief->job.run = fabric_relief_run_question;
	relief->job.finish = fabric_relief_finish_question;
	fabric->met_shortage = fabric_relief_on_shortage;
	return relief;
}

void fabric_relief_free(struct relief *relief)
{
	if (!relief)
		return;
	timer_free(&relief->timer);
	free(relief);
}
