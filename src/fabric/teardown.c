/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a slot goes, on the main thread. Taking it apart is quick; that the kernel drops the namespace is not, and it holds RTNL
 * for a whole lot of them meanwhile. So only so many are on their way at a time, and the next is begun when the host has seen
 * the veth of one go. A VMM or somebody's shell that holds the namespace is waited for a second; then the links are deleted
 * under it.
 *
 *	take apart --> veth gone (look_slot.c) --> forget its flows --> told, number free
 *	     `--> 1 s --> name the holder, delete links --> veth gone ...
 */
#include "fabric/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/destroy.h"
#include "kernel/holders.h"
#include "kernel/tap.h"

#include <errno.h>
#include <stdlib.h>

struct going {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct slot_remains remains;
	struct namespace_key key;
	int veth_index; /* 0: not known */
	char holders[HOLDERS_TEXT_SIZE];
};

static struct going *going_new(struct fabric *fabric, const struct slot *slot, int (*run)(struct job *job),
			       void (*finish)(struct job *job))
{
	struct going *going = calloc(1, sizeof(*going));

	if (!going)
		abort(); /* who waits could not be told */
	going->job.run = run;
	going->job.finish = finish;
	going->fabric = fabric;
	going->slot = slot->number;
	going->key = slot->key;
	going->veth_index = slot->veth_index;
	going->remains = (struct slot_remains){
		.slot = slot->number,
		.nsid = slot->nsid,
		.leftovers = slot->leftovers,
		.published = !slot->plan || slot->plan->plan->nat_count,
	};
	return going;
}

static void tell_gone(struct slot *slot, const struct err *err)
{
	fabric_done *gone = slot->gone;

	slot->gone = NULL;
	if (gone)
		gone(slot->gone_context, err);
}

/* The slot stays as it is, GOING, and is tried again: its number is not free before it is gone. */
static void stuck(struct slot *slot, const struct err *err)
{
	if (err->code != ECANCELED)
		log_seldom(LOG_ERROR_LEVEL, "slot not taken apart; trying again", F_STR("sandbox", slot_sandbox(slot)),
			   F_UINT("slot", slot->number), F_STR("error", err->text));
	tell_gone(slot, err);
	if (err->code != ECANCELED)
		timer_start(&slot->patience, FABRIC_RETRY_MS);
}

static void leave_lot(struct fabric *fabric, struct slot *slot)
{
	if (slot->counted)
		fabric->going--;
	slot->counted = false;
}

/* ---- its flows are forgotten: nothing is left ---- */

static int run_flush(struct job *job)
{
	struct going *going = (struct going *)job;

	/* What was counted of its link would stay listed for a day. */
	if (nft_host_forget(going->veth_index, &job->err) < 0)
		return -1;
	return conntrack_flush_host(config_host_ip(going->fabric->config, going->slot), &job->err);
}

static void finish_flush(struct job *job)
{
	struct going *going = (struct going *)job;
	struct fabric *fabric = going->fabric;
	struct slot *slot = slot_find(fabric, going->slot);
	unsigned number = going->slot;

	if (job->failed && job->err.code != ECANCELED)
		log_error("flows and counters of a slot not forgotten", F_UINT("slot", number),
			  F_STR("error", job->err.text));
	free(going);
	tell_gone(slot, NULL);
	slot_forget(fabric, slot);
	fabric->watcher.slot_free(fabric->watcher.context, number);
	pool_kick(fabric->pool, false);
}

void fabric_slot_vanished(struct fabric *fabric, struct slot *slot)
{
	struct going *going = going_new(fabric, slot, run_flush, finish_flush);

	slot->vanished = true;
	timer_stop(&slot->patience);
	leave_lot(fabric, slot);
	job_thread_post(fabric->claimer, &going->job, JOB_REFILL);
	fabric_feed_deletions(fabric);
}

/* ---- somebody holds it ---- */

static int run_force(struct job *job)
{
	struct going *going = (struct going *)job;

	if (!holders_of_tap(&going->key, TAP_NAME, going->holders))
		holders_of_namespace(&going->key, going->holders);
	return slot_delete_links(job_host(job), going->fabric->config, &going->remains, &job->err);
}

static void finish_force(struct job *job)
{
	struct going *going = (struct going *)job;
	struct fabric *fabric = going->fabric;
	struct slot *slot = slot_find(fabric, going->slot);

	if (slot && !slot->vanished) {
		if (!job->failed)
			log_warning("namespace is held; its links were deleted under the holder",
				    F_STR("sandbox", slot_sandbox(slot)), F_UINT("slot", slot->number),
				    F_STR("holder", going->holders[0] ? going->holders : "unknown"));
		if (job->failed) {
			stuck(slot, &job->err);
		} else {
			timer_start(&slot->patience, FABRIC_RETRY_MS);
			fabric_look(fabric, slot);
		}
	}
	free(going);
}

static void force(struct fabric *fabric, struct slot *slot)
{
	struct going *going = going_new(fabric, slot, run_force, finish_force);

	job_thread_post(fabric->builder, &going->job, JOB_CLAIM);
}

/* ---- taking apart ---- */

static int run_take_apart(struct job *job)
{
	struct going *going = (struct going *)job;

	return slot_take_apart(job_host(job), going->fabric->config, &going->remains, &job->err);
}

static void retry(struct fabric *fabric, struct slot *slot);

static void finish_take_apart(struct job *job)
{
	struct going *going = (struct going *)job;
	struct fabric *fabric = going->fabric;
	struct slot *slot = slot_find(fabric, going->slot);

	if (job->failed) {
		leave_lot(fabric, slot);
		slot->out_of_patience = retry;
		stuck(slot, &job->err);
	} else if (!going->remains.had_veth) {
		fabric_slot_vanished(fabric, slot);
	} else {
		slot->apart = true;
		slot->out_of_patience = force;
		timer_start(&slot->patience, FABRIC_PATIENCE_MS);
		/* The event may have come before we were told what to wait for. */
		fabric_look(fabric, slot);
	}
	free(going);
	fabric_feed_deletions(fabric);
}

static void begin(struct fabric *fabric, struct slot *slot)
{
	struct going *going = going_new(fabric, slot, run_take_apart, finish_take_apart);

	slot->counted = true;
	fabric->going++;
	job_thread_post(fabric->builder, &going->job, JOB_REMOVAL);
}

void fabric_feed_deletions(struct fabric *fabric)
{
	struct slot *slot;

	while (fabric->going < FABRIC_LOT && (slot = TAILQ_FIRST(&fabric->deletions))) {
		TAILQ_REMOVE(&fabric->deletions, slot, next);
		begin(fabric, slot);
	}
}

static void retry(struct fabric *fabric, struct slot *slot)
{
	TAILQ_INSERT_TAIL(&fabric->deletions, slot, next);
	fabric_feed_deletions(fabric);
}

void fabric_start_going(struct fabric *fabric, struct slot *slot, fabric_done *gone, void *context)
{
	if (slot->phase == SLOT_QUARANTINE)
		pool_quarantined(fabric->pool, false);
	/* Nobody's, but its number may be given to anybody. */
	if (!gone && (slot->phase == SLOT_READY || slot->phase == SLOT_MAKING))
		fabric->watcher.slot_going(fabric->watcher.context, slot->number);
	timer_stop(&slot->patience);
	slot->phase = SLOT_GOING;
	slot->netns_fd = -1;
	slot->gone = gone;
	slot->gone_context = context;
	if (job_thread_waiting(fabric->builder, JOB_CLAIM))
		fabric->deferred_total++;
	TAILQ_INSERT_TAIL(&fabric->deletions, slot, next);
	fabric_feed_deletions(fabric);
}

void fabric_destroy(struct fabric *fabric, unsigned number, fabric_done *done, void *context)
{
	struct slot *slot = slot_find(fabric, number);
	struct err err;

	if (!slot && number >= 1 && number <= CONFIG_SLOT_MAX) {
		/* Nothing of it was known; the kernel may know more, and who made it may have left sockets inside. */
		slot = slot_new(fabric, number, SLOT_LIVE);
		if (slot)
			slot->leftovers = true;
	}
	if (!slot) {
		err_set(&err, EINVAL, "slot %u", number);
		fabric_reply(fabric, done, context, &err);
		return;
	}
	if (slot->gone) {
		err_set(&err, EALREADY, "slot %u", number);
		fabric_reply(fabric, done, context, &err);
		return;
	}
	switch (slot->phase) {
	case SLOT_MAKING:
		slot->destroy_wanted = true;
		slot->gone = done;
		slot->gone_context = context;
		return;
	case SLOT_LIVE:
		if (slot->plan && recycle_takes(fabric, slot, done, context))
			return;
		break;
	case SLOT_READY:
		pool_remove_ready(fabric->pool, slot);
		break;
	case SLOT_KEPT:
	case SLOT_QUARANTINE:
		break;
	case SLOT_GOING:
		slot->gone = done;
		slot->gone_context = context;
		return;
	}
	fabric_start_going(fabric, slot, done, context);
}
