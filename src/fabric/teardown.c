/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The teardown of a slot, on the main thread. Taking it apart is quick; the kernel's dropping of the namespace is not, and it
 * holds RTNL for a whole lot of them meanwhile. So only so many are on their way at a time, and the next is begun when the host
 * has seen the veth of one go. A VMM or a shell that holds the namespace is given a second; then the links are deleted
 * under it.
 *
 *	leaving --> teardown --> draining --> vanished: flows are forgotten --> gone, number free
 *	   ^            |           `-- 1 s: name the holder, delete links
 *	   `-- stuck <--'
 *
 * What does not come off is tried again after 1, 2, 4 ... 30 s, whatever the reason, and the caller waits.
 */
#include "fabric/teardown.h"

#include "base/backoff.h"
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/look_slot.h"
#include "fabric/repair.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/destroy.h"
#include "fabric/state.h"
#include "kernel/conntrack.h"
#include "kernel/holders.h"
#include "kernel/tap.h"

#include <errno.h>
#include <stdlib.h>

enum { TEARDOWN_PAUSE_MIN = 1, TEARDOWN_PAUSE_MAX = 30, FLUSHES_MAX = 4 }; /* pauses in seconds */

struct teardown {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct slot_remains remains;
	struct kern_namespace_key key;
	int veth_index; /* 0: not known */
	char holders[KERN_HOLDERS_TEXT_SIZE];
};

/* Posts the job; without memory AGAIN is called after a while. */
static void fabric_teardown_post(struct slot *slot, struct job_thread *thread, int (*run)(struct job *job),
				 void (*finish)(struct job *job), enum job_urgency urgency,
				 void (*again)(struct slot *slot))
{
	struct teardown *teardown = calloc(1, sizeof(*teardown));

	if (!teardown) {
		log_seldom(LOG_ERROR_LEVEL, "slot not taken apart; trying again", F_UINT("slot", slot->number),
			   F_STR("error", "no memory"));
		fabric_slot_start_timeout(slot, TEARDOWN_MEMORY_RETRY_MS, again);
		return;
	}
	teardown->job.run = run;
	teardown->job.finish = finish;
	teardown->fabric = slot->fabric;
	teardown->slot = slot->number;
	teardown->key = slot->key;
	teardown->veth_index = slot->veth_index;
	teardown->remains = (struct slot_remains){
		.slot = slot->number,
		.layout = slot->layout,
		.nsid = slot->nsid,
		.leftovers = slot->leftovers,
		.published = !slot->plan || slot->plan->plan->nat_count,
		.asleep = !slot->plan || slot->plan->plan->paused,
	};
	fabric_job_thread_post(thread, &teardown->job, urgency);
}

static void fabric_teardown_answer(struct slot *slot, const struct err *err)
{
	fabric_done *gone = slot->gone;

	slot->gone = NULL;
	if (gone)
		gone(slot->gone_context, err);
}

static void fabric_teardown_wait(struct slot *slot, const struct err *err, void (*timed_out)(struct slot *slot))
{
	if (!slot->teardown_ahead) {
		slot->teardown_hurries = 0;
		slot->teardown_pause =
		    (uint8_t)base_backoff_next(slot->teardown_pause, TEARDOWN_PAUSE_MIN, TEARDOWN_PAUSE_MAX);
	}
	slot->teardown_ahead = false;
	fabric_slot_start_timeout(slot, slot->teardown_pause * UINT64_C(1000), timed_out);
	slot->teardown_waits = true;
	if (err_is_shortage(err))
		slot->fabric->met_shortage(slot->fabric);
}

void fabric_teardown_hurry(struct fabric *fabric)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		struct slot *slot = fabric->slots[number];

		if (!slot || !slot->teardown_waits || !timer_is_armed(&slot->timeout) ||
		    slot->teardown_hurries == FABRIC_HURRIES_MAX)
			continue;
		timer_stop(&slot->timeout);
		slot->teardown_waits = false;
		slot->teardown_hurries++;
		slot->teardown_ahead = true;
		slot->timed_out(slot);
	}
}

/*
 * The slot stays as it is, and is tried again: its number is not free before it is gone. The caller waits on, unless we stop, or
 * a foreign object was proved to be in the way.
 */
static void fabric_teardown_try_later(struct slot *slot, const struct teardown *teardown,
				      void (*timed_out)(struct slot *slot))
{
	const struct fabric_watcher *watcher = &slot->fabric->watcher;
	const struct err *err = &teardown->job.err;

	if (err->code == ECANCELED) {
		fabric_teardown_answer(slot, err);
		return;
	}
	log_seldom(LOG_ERROR_LEVEL, "slot not taken apart; trying again", F_STR("sandbox", fabric_slot_sandbox(slot)),
		   F_UINT("slot", slot->number), F_STR("error", err->text));
	fabric_teardown_wait(slot, err, timed_out);
	if (!teardown->remains.refused || !slot->gone)
		return;
	watcher->failed(watcher->context, slot->number, FAILURE_TEARDOWN, err->text);
	fabric_teardown_answer(slot, err);
}

/* ---- its flows are forgotten: nothing is left ---- */

static int fabric_teardown_run_flush(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);

	/* The counters of its link would stay listed for a day. */
	if (rules_host_forget(teardown->veth_index, &job->err) < 0)
		return -1;
	return kern_conntrack_flush_host(config_host_ip(teardown->remains.layout, teardown->slot), &job->err);
}

static void fabric_teardown_flush(struct slot *slot);

static void fabric_teardown_finish_flush(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);
	struct slot *slot = fabric_slot_find(teardown->fabric, teardown->slot);

	if (job->failed && job->err.code != ECANCELED)
		log_seldom(LOG_ERROR_LEVEL, "flows and counters of a slot not forgotten",
			   F_UINT("slot", teardown->slot), F_STR("error", job->err.text));
	/* A tenant of the number must not inherit them. But a kernel that cannot forget must not keep the number for ever. */
	if (job->failed && job->err.code != ECANCELED && slot->flushes++ < FLUSHES_MAX) {
		fabric_teardown_wait(slot, &job->err, fabric_teardown_flush);
		free(teardown);
		return;
	}
	free(teardown);
	fabric_teardown_answer(slot, NULL);
	fabric_slot_forget(slot, "taken apart");
}

static void fabric_teardown_flush(struct slot *slot)
{
	fabric_teardown_post(slot, slot->fabric->claimer, fabric_teardown_run_flush, fabric_teardown_finish_flush,
			     JOB_REFILL, fabric_teardown_flush);
}

/* ---- a process holds it ---- */

static void fabric_teardown_force(struct slot *slot);

static int fabric_teardown_run_force(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);

	if (kern_holders_of_tap(&teardown->key, TAP_NAME, teardown->holders) <= 0)
		kern_holders_of_namespace(&teardown->key, teardown->holders);
	return slot_destroy_links(fabric_job_host(job), &teardown->remains, &job->err);
}

static void fabric_teardown_finish_force(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);
	struct slot *slot = fabric_slot_find(teardown->fabric, teardown->slot);

	if (slot && slot->phase == SLOT_DRAINING && job->failed) {
		fabric_teardown_try_later(slot, teardown, fabric_teardown_force);
	} else if (slot && slot->phase == SLOT_DRAINING) {
		log_warning("namespace is held; its links were deleted under the holder",
			    F_STR("sandbox", fabric_slot_sandbox(slot)), F_UINT("slot", slot->number),
			    F_STR("holder", teardown->holders[0] ? teardown->holders : "unknown"));
		fabric_slot_start_timeout(slot, TEARDOWN_RETRY_MS, fabric_teardown_force);
		fabric_slot_look(slot);
	}
	free(teardown);
}

static void fabric_teardown_force(struct slot *slot)
{
	fabric_teardown_post(slot, slot->fabric->builder, fabric_teardown_run_force, fabric_teardown_finish_force,
			     JOB_CLAIM, fabric_teardown_force);
}

/* ---- taking apart ---- */

static int fabric_teardown_run_destroy(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);

	return slot_destroy_slot(fabric_job_host(job), &teardown->remains, &job->err);
}

/* Begins as many teardowns as the lot has room for. */
static void fabric_teardown_feed(struct fabric *fabric);

static void fabric_teardown_retry(struct slot *slot)
{
	slot_become(slot, SLOT_LEAVING, "another attempt");
}

static void fabric_teardown_finish_destroy(struct job *job)
{
	struct teardown *teardown = container_of(job, struct teardown, job);
	struct fabric *fabric = teardown->fabric;
	struct slot *slot = fabric_slot_find(fabric, teardown->slot);

	if (job->failed) {
		slot_become(slot, SLOT_STUCK, job->err.text);
		fabric_teardown_try_later(slot, teardown, fabric_teardown_retry);
	} else if (!teardown->remains.had_veth) {
		slot_become(slot, SLOT_VANISHED, "it had no veth");
	} else {
		slot_become(slot, SLOT_DRAINING, "taken apart");
		fabric_slot_start_timeout(slot, TEARDOWN_TIMEOUT_MS, fabric_teardown_force);
		/* The event may have come before this report, in another phase. */
		fabric_slot_look(slot);
	}
	free(teardown);
	fabric_teardown_feed(fabric);
}

static void fabric_teardown_destroy(struct slot *slot)
{
	fabric_teardown_post(slot, slot->fabric->builder, fabric_teardown_run_destroy, fabric_teardown_finish_destroy,
			     JOB_REMOVAL, fabric_teardown_destroy);
}

static void fabric_teardown_feed(struct fabric *fabric)
{
	struct slot *slot;

	while (fabric_slot_count_teardowns(&fabric->states) < TEARDOWN_LOT &&
	       (slot = TAILQ_FIRST(&fabric->teardowns))) {
		TAILQ_REMOVE(&fabric->teardowns, slot, next);
		slot_become(slot, SLOT_TEARDOWN, "the lot has room");
		fabric_teardown_destroy(slot);
	}
}

static void fabric_teardown_on_move(void *context, struct slot *slot, enum slot_phase from, const char *cause)
{
	struct fabric *fabric = context;

	(void)cause;
	if (slot->phase == SLOT_LEAVING) {
		timer_stop(&slot->timeout);
		fabric_slot_stop_repair(slot);
		slot->netns_fd = -1;
		if (from != SLOT_STUCK && fabric_job_thread_waiting(fabric->builder, JOB_CLAIM))
			fabric->deferred_total++;
		TAILQ_INSERT_TAIL(&fabric->teardowns, slot, next);
		fabric_teardown_feed(fabric);
	} else if (slot->phase == SLOT_VANISHED) {
		timer_stop(&slot->timeout);
		fabric_teardown_flush(slot);
		fabric_teardown_feed(fabric);
	}
}

void fabric_teardown_listen(struct fabric *fabric)
{
	fabric_slot_listen(&fabric->states, fabric_teardown_on_move, fabric);
}
