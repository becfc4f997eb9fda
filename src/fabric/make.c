/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a slot comes into being on the main thread: a new one is a job of the builder, a ready one of the pool is handed over,
 * and one that a former run left is looked over by the builder. In the end all three are a live record, and the caller has
 * the descriptor that pins the namespace.
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

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct making {
	struct job job;
	struct fabric *fabric;
	struct slot *slot; /* stays while it is PREPARING, MAKING or ADOPTING */
	struct plan_share *plan;
	unsigned mtu;
	int (*work)(struct slot_work *work, struct err *err);
	struct scan_number number;
	struct slot_work result;
};

static int slot_run_making(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	build_init(&making->result, making->fabric->config, job_host(job), making->plan->plan, making->mtu);
	making->result.number = making->number;
	return making->work(&making->result, &job->err);
}

/* ---- it failed ---- */

/* It is tried again and again, and logged now and then. */
static void slot_warn_not_prepared(unsigned number, const struct err *err)
{
	static struct log_limit limit = { .burst = 3, .interval_ms = 60000 };
	uint64_t suppressed;

	if (log_limit_allows(&limit, &suppressed))
		log_warning("slot not prepared for the pool", F_UINT("slot", number), F_STR("error", err->text),
			    F_SOME("suppressed", suppressed));
}

static void slot_making_failed(struct making *making)
{
	struct fabric *fabric = making->fabric;
	struct slot *slot = making->slot;
	unsigned number = slot->number;
	fabric_slot_done *made = slot->made;
	void *context = slot->made_context;

	/* Left open where the claimer did not come to its half. */
	cleanup_fd(&making->result.netns_fd);
	if (slot->gone)
		fabric_answer(fabric, slot->gone, slot->gone_context, NULL);
	if (making->result.foreign)
		fabric->shunned[number] |= SHUN_FOREIGN;
	slot_forget(slot, making->job.err.text);
	if (making->result.foreign)
		fabric->watcher.slot_foreign(fabric->watcher.context, number, making->job.err.text);
	if (made)
		made(context, NULL, &making->job.err);
	else if (making->job.err.code != ECANCELED)
		slot_warn_not_prepared(number, &making->job.err);
}

/* ---- it is there ---- */

static void slot_take_result(struct slot *slot, const struct slot_work *result)
{
	slot->key = result->key;
	slot->veth_index = result->veth_index;
	slot->mtu = result->mtu;
	slot->carrier = result->carrier;
	if (slot_set_nsid(slot, result->nsid) < 0)
		log_error("carrier of a slot cannot be followed", F_UINT("slot", slot->number));
}

/* Of the pool's: ready, or claimed while it was being made. */
static void slot_prepared(struct slot *slot, int netns_fd)
{
	fabric_slot_done *made = slot->made;

	close(netns_fd);
	if (!slot->claimed) {
		slot_become(slot, SLOT_READY, "prepared");
		return;
	}
	slot->made = NULL;
	claim_slot(slot, made, slot->made_context);
}

static void slot_answer_maker(struct slot *slot, int netns_fd)
{
	fabric_slot_done *made = slot->made;
	struct fabric_slot result = {
		.slot = slot->number, .netns_fd = netns_fd, .carrier = slot->carrier, .mtu = slot->mtu
	};

	slot->made = NULL;
	made(slot->made_context, &result, NULL);
}

/* A caller's: live, or kept. */
static void slot_made(struct slot *slot, const struct making *making)
{
	const struct fabric_watcher *watcher = &slot->fabric->watcher;
	const struct slot_work *result = &making->result;

	slot->leftovers = making->work != build_slot;
	slot->netns_fd = result->netns_fd;
	if (making->work == adopt_unchanged) {
		plan_share_release(slot->plan);
		slot->plan = NULL;
		slot_become(slot, SLOT_KEPT, "a VM lives on it");
	} else {
		slot_become(slot, SLOT_LIVE, making->work == build_slot ? "made" : "adopted");
	}
	slot_answer_maker(slot, result->netns_fd);
	if (result->repaired[0])
		watcher->repaired(watcher->context, slot->number, result->repaired);
	if (slot_is_live(slot) && slot->plan && !result->named)
		slot_write_name(slot);
}

/* Between the builder's last look and now there may have been a change without an event. */
static void slot_look_after_making(struct slot *slot, const struct making *making)
{
	if (!slot_is_live(slot) && slot->phase != SLOT_KEPT)
		return;
	if (making->work == build_slot)
		slot_look_later(slot); /* no VM had heard of it */
	else
		slot_look_inside(slot);
}

static void slot_finish_making(struct job *job)
{
	struct making *making = container_of(job, struct making, job);
	struct slot *slot = making->slot;
	unsigned number = slot->number;

	slot->refill = NULL;
	if (job->failed) {
		slot_making_failed(making);
	} else {
		slot_take_result(slot, &making->result);
		if (slot->phase == SLOT_PREPARING)
			slot_prepared(slot, making->result.netns_fd);
		else
			slot_made(slot, making);
		/* A caller that was answered may have had it taken apart. */
		slot = slot_find(making->fabric, number);
		if (slot)
			slot_look_after_making(slot, making);
		if (slot && slot->gone && slot_is_live(slot))
			slot_become(slot, SLOT_LEAVING, "destroyed while it was made");
	}
	plan_share_release(making->plan);
	free(making);
}

/* ---- the other half of adopting ---- */

static int slot_run_adopt_rules(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	return adopt_rules(&making->result, &job->err);
}

static void slot_finish_adopt_links(struct job *job)
{
	struct making *making = container_of(job, struct making, job);

	if (job->failed) {
		slot_finish_making(job);
		return;
	}
	job->run = slot_run_adopt_rules;
	job->finish = slot_finish_making;
	job_thread_post(making->fabric->claimer, job, JOB_CLAIM);
}

/* ---- beginning ---- */

static struct job *slot_start_work(struct slot *slot, enum job_urgency urgency,
				   int (*work)(struct slot_work *work, struct err *err))
{
	struct fabric *fabric = slot->fabric;
	struct making *making = calloc(1, sizeof(*making));

	if (!making)
		abort(); /* the caller would wait for ever */
	making->job.run = slot_run_making;
	making->job.finish = work == adopt_links ? slot_finish_adopt_links : slot_finish_making;
	making->fabric = fabric;
	making->slot = slot;
	making->plan = plan_share_hold(slot->plan);
	making->mtu = fabric->mtu;
	making->work = work;
	if (work == adopt_links && fabric->numbers)
		making->number = fabric->numbers[slot->number];
	job_thread_post(fabric->builder, &making->job, urgency);
	return &making->job;
}

void slot_prepare(struct slot *slot)
{
	slot->refill = slot_start_work(slot, JOB_REFILL, build_slot);
}

/* A record for a slot that a caller waits for; NULL with ERR. */
static struct slot *slot_begin(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done,
			       void *context, struct err *err)
{
	struct slot *slot;

	if (plan->slot < 1 || plan->slot > config_slot_max(fabric->config)) {
		err_set(err, EINVAL, "slot %u", plan->slot);
		return NULL;
	}
	slot = slot_find(fabric, plan->slot);
	if (slot) {
		err_set(err, slot_is_leaving(slot) ? EBUSY : EEXIST, "slot %u", plan->slot);
		return NULL;
	}
	slot = slot_new(fabric, plan->slot);
	if (slot)
		slot->plan = plan_share_new(plan);
	if (!slot || !slot->plan) {
		err_set(err, ENOMEM, "slot %u", plan->slot);
		if (slot)
			slot_forget(slot, "no memory");
		return NULL;
	}
	slot->made = done;
	slot->made_context = context;
	return slot;
}

/* Claims a slot of the pool's, which is ready, or being prepared and not claimed yet. */
static void slot_make_from_pool(struct slot *slot, const struct fabric_plan *plan, fabric_slot_done *done,
				void *context)
{
	struct err err;

	slot->claimed = plan_share_new(plan);
	if (!slot->claimed) {
		err_set(&err, ENOMEM, "slot %u", plan->slot);
		fabric_answer_slot(slot->fabric, done, context, &err);
		return;
	}
	if (slot->phase == SLOT_READY) {
		claim_slot(slot, done, context);
		return;
	}
	slot->made = done;
	slot->made_context = context;
	if (slot->refill)
		job_thread_urge(slot->fabric->builder, slot->refill, JOB_REFILL, JOB_CLAIM);
}

void fabric_make(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	struct err err;
	struct slot *slot = slot_find(fabric, plan->slot);

	if (slot && (slot->phase == SLOT_READY || (slot->phase == SLOT_PREPARING && !slot->claimed))) {
		slot_make_from_pool(slot, plan, done, context);
		return;
	}
	slot = slot_begin(fabric, plan, done, context, &err);
	if (!slot) {
		fabric_answer_slot(fabric, done, context, &err);
		return;
	}
	slot_become(slot, SLOT_MAKING, "asked for");
	slot_start_work(slot, JOB_CLAIM, build_slot);
}

static void slot_take_over(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context,
			   int (*work)(struct slot_work *work, struct err *err))
{
	struct err err;
	struct slot *slot = slot_begin(fabric, plan, done, context, &err);

	if (!slot) {
		fabric_answer_slot(fabric, done, context, &err);
		return;
	}
	slot_become(slot, SLOT_ADOPTING, "left by a former run");
	slot_start_work(slot, JOB_CLAIM, work);
}

void fabric_adopt(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	slot_take_over(fabric, plan, done, context, adopt_links);
}

void fabric_keep(struct fabric *fabric, unsigned number, fabric_slot_done *done, void *context)
{
	struct fabric_plan nothing = { .slot = number };

	slot_take_over(fabric, &nothing, done, context, adopt_unchanged);
}
