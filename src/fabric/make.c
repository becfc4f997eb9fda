/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a slot comes into being, on the main thread. The builder makes a new slot; a ready slot of the pool is claimed (claim.c); of a
 * slot that a former run left, the builder adopts the links and then the claimer the rules. In the end the record is live, or
 * kept, and the caller has the descriptor that pins the namespace.
 */
#include "fabric/make.h"

#include "base/cleanup.h"
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/answer.h"
#include "fabric/claim.h"
#include "fabric/look_slot.h"
#include "fabric/name.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "fabric/trouble.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct making {
	struct job job;
	struct fabric *fabric;
	struct slot *slot; /* stays while it is PREPARING, MAKING or ADOPTING */
	struct plan_share *plan;
	int (*work)(struct slot_work *work, struct err *err);
	struct scan_number number;
	struct slot_work result;
};

static int fabric_slot_run_making(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	slot_build_init(&making->result, making->fabric->config, fabric_job_host(job), making->plan->plan,
			atomic_load(&making->fabric->mtu));
	making->result.number = making->number;
	return making->work(&making->result, &job->err);
}

/* ---- it failed ---- */

/* It is tried again and again, and logged now and then. */
static void fabric_slot_warn_not_prepared(unsigned number, const struct err *err)
{
	static const struct log_limit limit = { .burst = 3, .interval_ms = 60000 };

	log_limited(&limit, LOG_WARNING_LEVEL, "slot not prepared for the pool", F_UINT("slot", number),
		    F_STR("error", err->text));
}

static void fabric_slot_making_failed(struct making *making)
{
	struct fabric *fabric = making->fabric;
	struct slot *slot = making->slot;
	unsigned number = slot->number;
	fabric_slot_done *made = slot->made;
	void *context = slot->made_context;
	enum failure failure;
	bool foreign;

	/* Left open where the claimer did not come to its half. */
	cleanup_fd(&making->result.netns_fd);
	if (slot->gone)
		fabric_answer(fabric, slot->gone, slot->gone_context, NULL);
	/* A number that a caller has is not skipped for a foreign object, but tried again by the caller. */
	foreign = making->result.foreign && slot->phase != SLOT_ADOPTING;
	failure = slot->phase == SLOT_ADOPTING ? making->result.failure : FAILURE_NONE;
	if (foreign)
		fabric->shunned[number] |= SHUN_FOREIGN;
	if (err_is_shortage(&making->job.err))
		fabric->met_shortage(fabric);
	fabric_slot_forget(slot, making->job.err.text);
	if (failure)
		fabric->watcher.failed(fabric->watcher.context, number, failure, making->result.why.text);
	if (foreign)
		fabric->watcher.slot_foreign(fabric->watcher.context, number, making->job.err.text);
	if (made)
		made(context, NULL, &making->job.err);
	else if (making->job.err.code != ECANCELED)
		fabric_slot_warn_not_prepared(number, &making->job.err);
}

/* ---- it is there ---- */

static void fabric_slot_take_result(struct slot *slot, const struct slot_work *result)
{
	slot->key = result->key;
	slot->veth_index = result->veth_index;
	slot->mtu = result->mtu;
	slot->carrier = result->carrier;
	slot->carrier_downs = result->carrier_downs;
	if (fabric_slot_set_nsid(slot, result->nsid) < 0)
		log_error("carrier of a slot cannot be followed", F_UINT("slot", slot->number));
}

/* The caller that wanted a slot of the pool's cannot have it. */
static void fabric_slot_drop_claim(struct slot *slot)
{
	slot_plan_share_release(slot->claimed);
	slot->claimed = NULL;
}

/* Of the pool's: ready, or claimed while it was being made. */
static void fabric_slot_prepared(struct slot *slot, int netns_fd)
{
	fabric_slot_done *made = slot->made;
	void *context = slot->made_context;
	struct err err;

	close(netns_fd);
	slot->made = NULL;
	if (slot->claimed && fabric_claim_slot(slot, made, context))
		return;
	fabric_slot_drop_claim(slot);
	if (slot->gone)
		fabric_answer(slot->fabric, slot->gone, slot->gone_context, NULL);
	slot->gone = NULL;
	slot_become(slot, SLOT_READY, "prepared");
	err_set(&err, ENOMEM, "slot %u", slot->number);
	if (made)
		made(context, NULL, &err);
}

static void fabric_slot_answer_maker(struct slot *slot, int netns_fd)
{
	fabric_slot_done *made = slot->made;
	struct fabric_slot result = fabric_slot_result(slot, netns_fd);

	slot->made = NULL;
	made(slot->made_context, &result, NULL);
}

/* A caller's: live, or kept. */
static void fabric_slot_made(struct slot *slot, const struct making *making)
{
	const struct slot_work *result = &making->result;

	slot->leftovers = making->work != slot_build_slot && !result->anew;
	/* An adopted namespace may have looked foreign to the scan. */
	slot->fabric->shunned[slot->number] &= (uint8_t)~SHUN_FOREIGN;
	slot->netns_fd = result->netns_fd;
	if (making->work == slot_adopt_unchanged) {
		slot_plan_share_release(slot->plan);
		slot->plan = NULL;
		slot_become(slot, SLOT_KEPT, "a VM lives on it");
	} else {
		slot_become(slot, SLOT_LIVE, making->work == slot_build_slot ? "made" : "adopted");
	}
	if (result->failure)
		fabric_slot_fail(slot, result->failure, result->why.text);
	fabric_slot_answer_maker(slot, result->netns_fd);
	if (result->repaired[0])
		fabric_report_repair(slot->fabric, slot->number, result->repaired);
	/* Before all are taken over, the sets are not looked at. */
	if (slot->fabric->opened && slot->plan && slot->plan->plan->paused)
		fabric_suspect_wake(slot->fabric);
	if (result->rivalled && fabric_slot_is_live(slot))
		fabric_trouble_begin_rival(slot, &result->rival);
	/* Of a failed one the name may be on another's link. */
	if (slot->phase == SLOT_LIVE && slot->plan && !result->named)
		fabric_slot_write_name(slot);
}

/* Between the builder's last look and now there may have been a change without an event. */
static void fabric_slot_look_after_making(struct slot *slot, const struct making *making)
{
	if (!fabric_slot_is_live(slot) && slot->phase != SLOT_KEPT)
		return;
	if (making->work == slot_build_slot)
		fabric_slot_look_later(slot); /* no VM had heard of it */
	else
		fabric_slot_look_inside(slot);
}

static void fabric_slot_finish_making(struct job *job)
{
	struct making *making = container_of(job, struct making, job);
	struct slot *slot = making->slot;
	unsigned number = slot->number;

	slot->refill = NULL;
	if (job->failed) {
		fabric_slot_making_failed(making);
	} else {
		fabric_slot_take_result(slot, &making->result);
		if (slot->phase == SLOT_PREPARING)
			fabric_slot_prepared(slot, making->result.netns_fd);
		else
			fabric_slot_made(slot, making);
		/* A caller that was answered may have had it taken apart. */
		slot = fabric_slot_find(making->fabric, number);
		if (slot)
			fabric_slot_look_after_making(slot, making);
		if (slot && slot->gone && fabric_slot_is_live(slot))
			slot_become(slot, SLOT_LEAVING, "destroyed while it was made");
	}
	slot_plan_share_release(making->plan);
	free(making);
}

/* ---- the other half of adopting ---- */

static int fabric_slot_run_adopt_rules(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	return slot_adopt_rules(&making->result, &job->err);
}

static void fabric_slot_finish_adopt_links(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	if (job->failed) {
		fabric_slot_finish_making(job);
		return;
	}
	job->run = fabric_slot_run_adopt_rules;
	job->finish = fabric_slot_finish_making;
	fabric_job_thread_post(making->fabric->claimer, job, JOB_CLAIM);
}

/* ---- beginning ---- */

/* WORK on SLOT, which has its plan; not begun. NULL: no memory. */
static struct making *fabric_making_new(struct slot *slot, int (*work)(struct slot_work *work, struct err *err))
{
	struct fabric *fabric = slot->fabric;
	struct making *making = calloc(1, sizeof(*making));

	if (!making)
		return NULL;
	making->job.run = fabric_slot_run_making;
	making->job.finish = work == slot_adopt_links ? fabric_slot_finish_adopt_links : fabric_slot_finish_making;
	making->fabric = fabric;
	making->slot = slot;
	making->plan = slot_plan_share_hold(slot->plan);
	making->work = work;
	making->result.netns_fd = -1; /* the job may be cancelled before it runs */
	if (work == slot_adopt_links && fabric->numbers)
		making->number = fabric->numbers[slot->number];
	return making;
}

bool fabric_slot_prepare(struct slot *slot)
{
	struct making *making = fabric_making_new(slot, slot_build_slot);

	if (!making)
		return false;
	slot_become(slot, SLOT_PREPARING, "the pool has room");
	slot->refill = &making->job;
	fabric_job_thread_post(slot->fabric->builder, &making->job, JOB_REFILL);
	return true;
}

/* WORK on a new record of a slot that a caller waits for; not begun. NULL with ERR. */
static struct making *fabric_making_for(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done,
					void *context, int (*work)(struct slot_work *work, struct err *err),
					struct err *err)
{
	struct making *making = NULL;
	struct slot *slot;

	if (plan->slot < 1 || plan->slot > config_slot_max(config_layout_or_new(fabric->config, plan->layout))) {
		err_set(err, EINVAL, "slot %u", plan->slot);
		return NULL;
	}
	slot = fabric_slot_find(fabric, plan->slot);
	if (slot) {
		err_set(err, fabric_slot_is_leaving(slot) ? EBUSY : EEXIST, "slot %u", plan->slot);
		return NULL;
	}
	slot = fabric_slot_new(fabric, plan->slot, plan->layout);
	if (slot)
		slot->plan = slot_plan_share_new(plan);
	if (slot && slot->plan)
		making = fabric_making_new(slot, work);
	if (!making) {
		err_set(err, ENOMEM, "slot %u", plan->slot);
		if (slot)
			fabric_slot_forget(slot, "no memory");
		return NULL;
	}
	slot->made = done;
	slot->made_context = context;
	return making;
}

/* Claims a slot of the pool's, which is ready, or being prepared and not claimed yet. */
static void fabric_slot_make_from_pool(struct slot *slot, const struct fabric_plan *plan, fabric_slot_done *done,
				       void *context)
{
	struct err err;

	slot->claimed = slot_plan_share_new(plan);
	if (!slot->claimed || (slot->phase == SLOT_READY && !fabric_claim_slot(slot, done, context))) {
		fabric_slot_drop_claim(slot);
		err_set(&err, ENOMEM, "slot %u", plan->slot);
		fabric_answer_slot(slot->fabric, done, context, &err);
		return;
	}
	if (slot->phase != SLOT_PREPARING)
		return;
	slot->made = done;
	slot->made_context = context;
	if (slot->refill)
		fabric_job_thread_urge(slot->fabric->builder, slot->refill, JOB_REFILL, JOB_CLAIM);
}

void fabric_make(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	struct slot *slot = fabric_slot_find(fabric, plan->slot);
	struct making *making;
	struct err err;

	if (slot && (slot->phase == SLOT_READY || (slot->phase == SLOT_PREPARING && !slot->claimed))) {
		fabric_slot_make_from_pool(slot, plan, done, context);
		return;
	}
	making = fabric_making_for(fabric, plan, done, context, slot_build_slot, &err);
	if (!making) {
		fabric_answer_slot(fabric, done, context, &err);
		return;
	}
	slot_become(making->slot, SLOT_MAKING, "asked for");
	fabric_job_thread_post(fabric->builder, &making->job, JOB_CLAIM);
}

static void fabric_slot_take_over(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done,
				  void *context, int (*work)(struct slot_work *work, struct err *err))
{
	struct err err;
	struct making *making = fabric_making_for(fabric, plan, done, context, work, &err);

	if (!making) {
		fabric_answer_slot(fabric, done, context, &err);
		return;
	}
	slot_become(making->slot, SLOT_ADOPTING, "left by a former run");
	fabric_job_thread_post(fabric->builder, &making->job, JOB_CLAIM);
}

void fabric_adopt(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	fabric_slot_take_over(fabric, plan, done, context, slot_adopt_links);
}

void fabric_keep(struct fabric *fabric, unsigned number, const struct config_layout *layout, fabric_slot_done *done,
		 void *context)
{
	struct fabric_plan nothing = { .slot = number, .layout = layout };

	fabric_slot_take_over(fabric, &nothing, done, context, slot_adopt_unchanged);
}
