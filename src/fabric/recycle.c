/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a released slot where there is a pool. It falls silent at once, which is all that whoever released it waits
 * for; after the quarantine it is renewed, and ready again, or, if it cannot be proven clean or the pool is full, it goes. It goes
 * as well when others are being renewed already: that deletes rules, which waits for the kernel each time, and a new slot is made
 * in a tenth of it.
 *
 *	LIVE --> QUARANTINE: silent, waits --> renewed --> READY, number free
 *	                 `-------- in doubt ------------> GOING
 */
#include "fabric/state.h"

#include "base/log.h"
#include "fabric/slot/work.h"

#include <errno.h>
#include <stdlib.h>

struct recycling {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	bool published;
	struct plan_share *plan;
	struct slot_work work;
};

static void post(struct fabric *fabric, struct slot *slot, struct plan_share *plan, int (*run)(struct job *job),
		 void (*finish)(struct job *job), enum job_urgency urgency)
{
	struct recycling *recycling = calloc(1, sizeof(*recycling));

	if (!recycling)
		abort(); /* who waits could not be told */
	recycling->job.run = run;
	recycling->job.finish = finish;
	recycling->fabric = fabric;
	recycling->slot = slot->number;
	recycling->plan = plan;
	recycling->published = slot->plan->plan->nat_count > 0;
	job_thread_post(fabric->builder, &recycling->job, urgency);
}

/* The slot, if it is still in quarantine. */
static struct slot *quarantined(const struct recycling *recycling)
{
	struct slot *slot = slot_find(recycling->fabric, recycling->slot);

	return slot && slot->phase == SLOT_QUARANTINE ? slot : NULL;
}

static void recycling_free(struct recycling *recycling)
{
	plan_share_release(recycling->plan);
	free(recycling);
}

static int run_renew(struct job *job)
{
	struct recycling *recycling = (struct recycling *)job;

	slot_work_init(&recycling->work, recycling->fabric->config, job_host(job), recycling->plan->plan,
		       recycling->work.mtu);
	return slot_renew(&recycling->work, &job->err);
}

static void finish_renew(struct job *job)
{
	struct recycling *recycling = (struct recycling *)job;
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = quarantined(recycling);

	pool_renewing(fabric->pool, false);
	if (slot && !job->failed && namespace_key_equal(&slot->key, &recycling->work.key)) {
		plan_share_release(slot->plan);
		slot->plan = plan_share_hold(recycling->plan);
		slot->leftovers = false;
		slot->carrier = false;
		slot->blinked = false;
		slot->denials_since_ms = 0;
		pool_quarantined(fabric->pool, false);
		pool_add_ready(fabric->pool, slot);
		fabric->watcher.slot_free(fabric->watcher.context, slot->number);
	} else if (slot && !fabric->stopping) {
		log_info("released slot not used again", F_UINT("slot", slot->number), F_STR("why", job->err.text));
		fabric_start_going(fabric, slot, NULL, NULL);
	}
	recycling_free(recycling);
}

static void end_of_quarantine(struct fabric *fabric, struct slot *slot)
{
	struct plan_share *plan = pool_wants_renewed(fabric->pool) ? pool_plan(fabric, slot->number) : NULL;

	if (!plan) {
		fabric_start_going(fabric, slot, NULL, NULL);
		return;
	}
	pool_renewing(fabric->pool, true);
	post(fabric, slot, plan, run_renew, finish_renew, JOB_REFILL);
}

static int run_silence(struct job *job)
{
	struct recycling *recycling = (struct recycling *)job;

	slot_work_init(&recycling->work, recycling->fabric->config, job_host(job), recycling->plan->plan, 0);
	return slot_silence(&recycling->work, recycling->published, &job->err);
}

static void finish_silence(struct job *job)
{
	struct recycling *recycling = (struct recycling *)job;
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = quarantined(recycling);

	if (slot) {
		fabric_done *gone = slot->gone;

		slot->gone = NULL;
		if (job->failed && !fabric->stopping) {
			/* Then the hard way, which whoever waits is told of. */
			fabric_start_going(fabric, slot, gone, slot->gone_context);
		} else {
			timer_start(&slot->patience, fabric->config->pool.quarantine_ms);
			if (gone)
				gone(slot->gone_context, job_failure(job));
		}
	}
	recycling_free(recycling);
}

bool recycle_takes(struct fabric *fabric, struct slot *slot, fabric_done *gone, void *context)
{
	/* An owner of the TAP is replaced, but never taken away; and a VM that is still on it comes to no rest here. */
	if (!fabric->config->pool.size || fabric->stopping || slot->broken || slot->carrier || slot->repairing ||
	    slot->leftovers || (slot->plan->plan->has_tap_owner && !fabric->config->pool.tap_owner.set))
		return false;
	slot->phase = SLOT_QUARANTINE;
	slot->netns_fd = -1;
	slot->gone = gone;
	slot->gone_context = context;
	slot->out_of_patience = end_of_quarantine;
	pool_quarantined(fabric->pool, true);
	post(fabric, slot, plan_share_hold(slot->plan), run_silence, finish_silence, JOB_REMOVAL);
	return true;
}
