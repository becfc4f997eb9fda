/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a slot comes into being on the main thread: a new one is a job of the builder, a ready one of the pool is handed over,
 * and one that a former run left is looked over by the builder. In the end all three are a LIVE record, and whoever asked has
 * the descriptor that pins the namespace.
 */
#include "fabric/state.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "fabric/slot/plan.h"
#include "fabric/slot/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct making {
	struct job job;
	struct fabric *fabric;
	struct slot *slot; /* stays while it is MAKING */
	struct plan_share *plan;
	unsigned mtu;
	int (*work)(struct slot_work *work, struct err *err);
	struct scan_number number;
	struct slot_work result;
};

static int run_making(struct job *job)
{
	struct making *making = (struct making *)job;

	slot_work_init(&making->result, making->fabric->config, job_host(job), making->plan->plan, making->mtu);
	making->result.number = making->number;
	return making->work(&making->result, &job->err);
}

static void tell_maker(struct slot *slot, int netns_fd)
{
	fabric_slot_done *made = slot->made;
	struct fabric_slot told = {
		.slot = slot->number, .netns_fd = netns_fd, .carrier = slot->carrier, .mtu = slot->mtu
	};

	slot->made = NULL;
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): a slot that nobody waits for went to the pool before */
	made(slot->made_context, &told, NULL);
}

/* Tried again and again, and told now and then. */
static void warn_not_prepared(unsigned number, const struct err *err)
{
	static struct log_limit limit = { .burst = 3, .interval_ms = 60000 };
	uint64_t suppressed;

	if (log_limit_allows(&limit, &suppressed))
		log_warning("slot not prepared for the pool", F_UINT("slot", number), F_STR("error", err->text),
			    F_SOME("suppressed", suppressed));
}

static void making_failed(struct making *making)
{
	struct fabric *fabric = making->fabric;
	struct slot *slot = making->slot;
	unsigned number = slot->number;
	fabric_slot_done *made = slot->made;
	void *context = slot->made_context;
	bool was_claimed = slot->claimed != NULL;

	/* Left open where the claimer did not come to its half. */
	cleanup_fd(&making->result.netns_fd);
	if (slot->destroy_wanted)
		fabric_reply(fabric, slot->gone, slot->gone_context, NULL);
	slot_forget(fabric, slot);
	if (making->result.foreign)
		fabric->shunned[number] |= SHUN_FOREIGN;
	if (making->result.foreign)
		fabric->watcher.slot_foreign(fabric->watcher.context, number, making->job.err.text);
	if (made)
		made(context, NULL, &making->job.err);
	else if (making->job.err.code != ECANCELED)
		warn_not_prepared(number, &making->job.err);
	pool_kick(fabric->pool, !made || was_claimed);
}

static void take_result(struct making *making)
{
	struct slot *slot = making->slot;
	const struct slot_work *result = &making->result;

	slot->key = result->key;
	slot->veth_index = result->veth_index;
	slot->mtu = result->mtu;
	slot->carrier = result->carrier;
	if (slot_set_nsid(making->fabric, slot, result->nsid) < 0)
		log_error("carrier of a slot cannot be followed", F_UINT("slot", slot->number));
}

static void making_done(struct making *making)
{
	struct fabric *fabric = making->fabric;
	struct slot *slot = making->slot;

	take_result(making);
	if (slot->claimed) {
		/* Made for the pool, and claimed while it was being made. */
		fabric_slot_done *made = slot->made;

		slot->made = NULL;
		slot->phase = SLOT_READY;
		close(making->result.netns_fd);
		fabric_claim(fabric, slot, made, slot->made_context);
		return;
	}
	if (!slot->made && slot->phase == SLOT_MAKING) {
		close(making->result.netns_fd);
		pool_add_ready(fabric->pool, slot);
		return;
	}
	slot->phase = making->work == slot_look ? SLOT_KEPT : SLOT_LIVE;
	slot->leftovers = making->work != slot_build;
	if (slot->phase == SLOT_KEPT) {
		plan_share_release(slot->plan);
		slot->plan = NULL;
	}
	slot->netns_fd = making->result.netns_fd;
	tell_maker(slot, making->result.netns_fd);
	if (making->result.repaired[0])
		fabric->watcher.repaired(fabric->watcher.context, slot->number, making->result.repaired);
	if (slot->phase == SLOT_LIVE && slot->plan && !making->result.named)
		fabric_name_slot(fabric, slot);
}

static int run_rules(struct job *job)
{
	struct making *making = (struct making *)job;

	return slot_adopt_rules(&making->result, &job->err);
}

static void finish_making(struct job *job)
{
	struct making *making = (struct making *)job;
	struct fabric *fabric = making->fabric;
	unsigned number = making->slot->number;
	bool of_pool = making->slot->of_pool;
	struct slot *slot;

	making->slot->refill = NULL;
	if (job->failed)
		making_failed(making);
	else
		making_done(making);
	slot = slot_find(fabric, number);
	/* Between the builder's last look and now something may have happened that no event told us of. */
	if (!job->failed && slot && (slot->phase == SLOT_LIVE || slot->phase == SLOT_KEPT)) {
		if (making->work == slot_build)
			fabric_look_later(fabric, slot); /* nobody had heard of it */
		else
			fabric_look_inside(fabric, slot);
	}
	if (!job->failed && slot && slot->destroy_wanted && slot->phase == SLOT_LIVE)
		fabric_start_going(fabric, slot, slot->gone, slot->gone_context);
	if (of_pool)
		pool_made(fabric->pool);
	plan_share_release(making->plan);
	free(making);
	fabric_feed_deletions(fabric);
}

static void finish_links(struct job *job)
{
	struct making *making = (struct making *)job;

	if (job->failed) {
		finish_making(job);
		return;
	}
	job->run = run_rules;
	job->finish = finish_making;
	job_thread_post(making->fabric->claimer, job, JOB_CLAIM);
}

static void start_work(struct fabric *fabric, struct slot *slot, enum job_urgency urgency,
		       int (*work)(struct slot_work *work, struct err *err))
{
	struct making *making = calloc(1, sizeof(*making));

	if (!making)
		abort(); /* as in post_reply() */
	making->job.run = run_making;
	making->job.finish = work == slot_adopt ? finish_links : finish_making;
	making->fabric = fabric;
	making->slot = slot;
	making->plan = plan_share_hold(slot->plan);
	making->mtu = fabric->mtu;
	making->work = work;
	if (urgency == JOB_REFILL)
		slot->refill = &making->job;
	if (work == slot_adopt && fabric->numbers)
		making->number = fabric->numbers[slot->number];
	job_thread_post(fabric->builder, &making->job, urgency);
}

void fabric_start_making(struct fabric *fabric, struct slot *slot, enum job_urgency urgency)
{
	start_work(fabric, slot, urgency, slot_build);
}

/* A record for a slot that somebody waits for; NULL with ERR. */
static struct slot *begin(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context,
			  struct err *err)
{
	struct slot *slot;

	if (plan->slot < 1 || plan->slot > config_slot_max(fabric->config)) {
		err_set(err, EINVAL, "slot %u", plan->slot);
		return NULL;
	}
	slot = slot_find(fabric, plan->slot);
	if (slot) {
		err_set(err, slot->phase == SLOT_GOING ? EBUSY : EEXIST, "slot %u", plan->slot);
		return NULL;
	}
	slot = slot_new(fabric, plan->slot, SLOT_MAKING);
	if (slot)
		slot->plan = plan_share_new(plan);
	if (!slot || !slot->plan) {
		err_set(err, ENOMEM, "slot %u", plan->slot);
		if (slot)
			slot_forget(fabric, slot);
		return NULL;
	}
	slot->made = done;
	slot->made_context = context;
	return slot;
}

void fabric_make(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	struct err err;
	struct slot *slot = slot_find(fabric, plan->slot);

	if (slot && (slot->phase == SLOT_READY || (slot->phase == SLOT_MAKING && !slot->made))) {
		struct plan_share *claimed = plan_share_new(plan);

		if (!claimed) {
			err_set(&err, ENOMEM, "slot %u", plan->slot);
			fabric_reply_slot(fabric, done, context, &err);
			return;
		}
		slot->claimed = claimed;
		if (slot->phase == SLOT_READY) {
			fabric_claim(fabric, slot, done, context);
			return;
		}
		slot->made = done;
		slot->made_context = context;
		if (slot->refill)
			job_thread_urge(fabric->builder, slot->refill, JOB_REFILL, JOB_CLAIM);
		return;
	}
	slot = begin(fabric, plan, done, context, &err);
	if (!slot) {
		fabric_reply_slot(fabric, done, context, &err);
		return;
	}
	pool_count_cold(fabric->pool);
	fabric_start_making(fabric, slot, JOB_CLAIM);
}

void fabric_adopt(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	struct err err;
	struct slot *slot = begin(fabric, plan, done, context, &err);

	if (!slot) {
		fabric_reply_slot(fabric, done, context, &err);
		return;
	}
	start_work(fabric, slot, JOB_CLAIM, slot_adopt);
}

void fabric_keep(struct fabric *fabric, unsigned number, fabric_slot_done *done, void *context)
{
	struct err err;
	struct fabric_plan nothing = { .slot = number };
	struct slot *slot = begin(fabric, &nothing, done, context, &err);

	if (!slot) {
		fabric_reply_slot(fabric, done, context, &err);
		return;
	}
	start_work(fabric, slot, JOB_CLAIM, slot_look);
}
