/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A released slot, where there is a pool, is used again. It falls silent at once, and that is all that the caller waits for. After
 * the quarantine it is renewed and ready again; if it cannot be proven clean, or the pool is full, it is given up. It is given up
 * as well when others are being renewed already: renewing deletes rules, which waits for the kernel each time, and a new slot is
 * made in a tenth of it.
 *
 *	live --> silencing --> quarantine --> renewing --> ready, number free
 *	             `-------------`--- in doubt -`------> leaving
 */
#include "fabric/recycle.h"

#include "base/container_of.h"
#include "base/log.h"
#include "fabric/pool.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"

#include <stdlib.h>

struct recycling {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	bool published;
	struct plan_share *plan;
	struct slot_work work;
};

static void recycle_post(struct slot *slot, struct plan_share *plan, int (*run)(struct job *job),
			 void (*finish)(struct job *job), enum job_urgency urgency)
{
	struct recycling *recycling = calloc(1, sizeof(*recycling));

	if (!recycling)
		abort(); /* the caller would wait for ever */
	recycling->job.run = run;
	recycling->job.finish = finish;
	recycling->fabric = slot->fabric;
	recycling->slot = slot->number;
	recycling->plan = plan;
	recycling->published = slot->plan->plan->nat_count > 0;
	job_thread_post(slot->fabric->builder, &recycling->job, urgency);
}

/* The slot, if it is still in PHASE; NULL: it was given up meanwhile. */
static struct slot *recycle_find(const struct recycling *recycling, enum slot_phase phase)
{
	struct slot *slot = slot_find(recycling->fabric, recycling->slot);

	return slot && slot->phase == phase ? slot : NULL;
}

static void recycle_free(struct recycling *recycling)
{
	plan_share_release(recycling->plan);
	free(recycling);
}

/* ---- renewing ---- */

static int recycle_run_renew(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);

	build_init(&recycling->work, recycling->fabric->config, job_host(job), recycling->plan->plan,
		   recycling->work.mtu);
	return renew_slot(&recycling->work, &job->err);
}

static void recycle_finish_renew(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = recycle_find(recycling, SLOT_RENEWING);

	if (slot && !job->failed && kern_namespace_key_equal(&slot->key, &recycling->work.key)) {
		plan_share_release(slot->plan);
		slot->plan = plan_share_hold(recycling->plan);
		slot->leftovers = false;
		slot->carrier = false;
		slot->blinked = false;
		slot->denials_since_ms = 0;
		slot_become(slot, SLOT_READY, "renewed");
	} else if (slot && !fabric->stopping) {
		log_info("released slot not used again", F_UINT("slot", slot->number), F_STR("why", job->err.text));
		slot_become(slot, SLOT_LEAVING, "not used again");
	}
	recycle_free(recycling);
}

static void recycle_end_quarantine(struct slot *slot)
{
	struct fabric *fabric = slot->fabric;
	struct plan_share *plan = pool_wants_renewed(fabric->pool) ? pool_plan(fabric, slot->number) : NULL;

	if (!plan) {
		slot_become(slot, SLOT_LEAVING, "the pool does not want it");
		return;
	}
	slot_become(slot, SLOT_RENEWING, "its quarantine is over");
	recycle_post(slot, plan, recycle_run_renew, recycle_finish_renew, JOB_REFILL);
}

/* ---- silencing ---- */

static int recycle_run_silence(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);

	build_init(&recycling->work, recycling->fabric->config, job_host(job), recycling->plan->plan, 0);
	return renew_silence(&recycling->work, recycling->published, &job->err);
}

static void recycle_finish_silence(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = recycle_find(recycling, SLOT_SILENCING);

	if (slot && job->failed && !fabric->stopping) {
		/* Then the hard way, at whose end the caller is answered. */
		slot_become(slot, SLOT_LEAVING, job->err.text);
	} else if (slot) {
		fabric_done *gone = slot->gone;

		slot->gone = NULL;
		slot_become(slot, SLOT_QUARANTINE, "silent");
		slot_start_timeout(slot, fabric->config->pool.quarantine_ms, recycle_end_quarantine);
		if (gone)
			gone(slot->gone_context, job_failure(job));
	}
	recycle_free(recycling);
}

bool recycle_slot(struct slot *slot)
{
	struct fabric *fabric = slot->fabric;

	/* An owner of the TAP is replaced, but never taken away; and with a VM on it the slot comes to no rest here. */
	if (!slot->plan || !fabric->config->pool.size || fabric->stopping || slot->phase != SLOT_LIVE ||
	    slot->carrier || slot->repair || slot->leftovers ||
	    (slot->plan->plan->has_tap_owner && !fabric->config->pool.tap_owner.set))
		return false;
	slot->netns_fd = -1;
	slot_become(slot, SLOT_SILENCING, "destroyed");
	recycle_post(slot, plan_share_hold(slot->plan), recycle_run_silence, recycle_finish_silence, JOB_REMOVAL);
	return true;
}
