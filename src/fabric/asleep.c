/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pausing and resuming a live slot, on the claimer. From the call on, the slot's plan says how it is to be. So the patrol finds whatever
 * fails here like any other difference, and puts it right.
 *
 * A resume that keeps no flows first installs the rules that refuse their later packets, then ends the host's own clients, and forgets the
 * flows last, so that the resets of those clients still get to the guest.
 */
#include "base/clock.h"
#include "base/container_of.h"
#include "config/config.h"
#include "fabric/answer.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/answers.h"
#include "fabric/slot/forget.h"
#include "fabric/slot/plan.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* One pause or resume. */
struct turn {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct plan_share *plan, *former;
	bool keep; /* flows, at a resume */
	int netns_fd;
	fabric_done *done;
	void *context;
};

static int fabric_turn_host(const struct turn *turn, struct err *err)
{
	const struct fabric_plan *plan = turn->plan->plan;
	const struct fabric_wake *former = slot_plan_wake(turn->former->plan), *wake = slot_plan_wake(plan);

	if (!former && !wake)
		return 0;
	return rules_host_wake(config_layout_or_new(turn->fabric->config, plan->layout), plan->slot, former, wake, err);
}

/* *SLEEP: the mark of flows that began while it slept. To be called before the rules are others. */
static int fabric_turn_read_sleep(const struct turn *turn, uint32_t *sleep, struct err *err)
{
	*sleep = turn->former->plan->sleep;
	return *sleep || turn->keep ? 0 : rules_forward_read_sleep(turn->netns_fd, sleep, err);
}

/* Each part is done even if one before it failed. ERR is the first failure's. */
static int fabric_turn_run(struct job *job)
{
	struct turn *turn = container_of(job, struct turn, job);
	const struct fabric_plan *plan = turn->plan->plan;
	struct err later = { 0 };
	uint32_t sleep, host_ip = config_host_ip(config_layout_or_new(turn->fabric->config, plan->layout), plan->slot);
	int status = 0;
#define STEP(call)                                                                                                     \
	do {                                                                                                           \
		struct err *err = status < 0 ? &later : &job->err;                                                     \
		if ((call) < 0)                                                                                        \
			status = -1;                                                                                   \
	} while (0)

	STEP(fabric_turn_read_sleep(turn, &sleep, err));
	STEP(slot_answers_set(turn->netns_fd, plan->paused, err));
	STEP(rules_slot_turn(turn->netns_fd, turn->fabric->config, plan, err));
	STEP(fabric_turn_host(turn, err));
	if (!plan->paused && !turn->keep)
		STEP(slot_forget_flows(turn->netns_fd, host_ip, sleep, err));
#undef STEP
	return status;
}

static void fabric_turn_finish(struct job *job)
{
	struct turn *turn = container_of(job, struct turn, job);
	struct slot *slot = fabric_slot_find(turn->fabric, turn->slot);

	if (job->failed && slot && slot->plan == turn->plan) {
		fabric_suspect_slot(slot);
		fabric_suspect_wake(turn->fabric);
	}
	turn->done(turn->context, fabric_job_failure(job));
	close(turn->netns_fd);
	slot_plan_share_release(turn->plan);
	slot_plan_share_release(turn->former);
	free(turn);
}

/* SLOT is to be like PLAN from now on. Returns what the job needs that does it; NULL with ERR. */
static struct turn *fabric_turn_new(struct slot *slot, const struct fabric_plan *plan, struct err *err)
{
	struct turn *turn = calloc(1, sizeof(*turn));
	struct plan_share *share = turn ? slot_plan_share_new(plan) : NULL;

	if (!share) {
		free(turn);
		err_set(err, ENOMEM, "slot %u", plan->slot);
		return NULL;
	}
	turn->former = slot->plan;
	turn->plan = share;
	slot->plan = slot_plan_share_hold(share);
	turn->netns_fd = fabric_slot_open_netns(slot, err);
	if (turn->netns_fd >= 0)
		return turn;
	fabric_suspect_slot(slot);
	fabric_suspect_wake(slot->fabric);
	slot_plan_share_release(turn->plan);
	slot_plan_share_release(turn->former);
	free(turn);
	return NULL;
}

static void fabric_turn(struct fabric *fabric, const struct fabric_plan *plan, bool keep, fabric_done *done,
			void *context)
{
	struct slot *slot = fabric_slot_find(fabric, plan->slot);
	struct turn *turn = NULL;
	struct err err;

	if (!slot || !fabric_slot_is_live(slot) || !slot->plan) {
		err_set(&err, 0, "slot %u is still being made or taken over, or is taken apart already", plan->slot);
		err.code = ENOENT;
	} else {
		turn = fabric_turn_new(slot, plan, &err);
	}
	if (!turn) {
		fabric_answer(fabric, done, context, &err);
		return;
	}
	turn->job.run = fabric_turn_run;
	turn->job.finish = fabric_turn_finish;
	turn->fabric = fabric;
	turn->slot = slot->number;
	turn->keep = keep;
	turn->done = done;
	turn->context = context;
	fabric_job_thread_post(fabric->claimer, &turn->job, JOB_CLAIM);
}

void fabric_pause(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context)
{
	const struct slot *slot = fabric_slot_find(fabric, plan->slot);
	const struct fabric_plan *former = slot && slot->plan ? slot->plan->plan : NULL;
	struct fabric_plan paused = *plan;

	paused.paused = true;
	paused.strict = false;
	/* A pause that is asked for again is the same one: what began since is none of the former flows. */
	paused.sleep = former && former->paused && former->sleep ? former->sleep : (uint32_t)clock_now_ms() | 1;
	fabric_turn(fabric, &paused, true, done, context);
}

void fabric_resume(struct fabric *fabric, const struct fabric_plan *plan, bool keep, fabric_done *done, void *context)
{
	struct fabric_plan resumed = *plan;

	resumed.paused = false;
	resumed.strict = !keep;
	fabric_turn(fabric, &resumed, keep, done, context);
}
