/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A released slot, where there is a pool, is used again. It falls silent at once, and that is all that the caller waits for.
 * After the quarantine it is renewed and ready again; if it cannot be proven clean, or the pool is full, it is given up. It
 * is given up as well when others are being renewed already: renewing deletes rules, which waits for the kernel each time,
 * and a new slot is made in a tenth of it.
 *
 *	live --> silencing --> quarantine --> renewing --> ready, number free
 *	             `-------------`--- in doubt -`------> leaving
 */
#include "fabric/recycle.h"

#include "base/container_of.h"
#include "base/log.h"
#include "fabric/pool.h"
#include "fabric/repair.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"

#include <stdlib.h>

struct recycling {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	bool published;
	unsigned mtu;
	struct plan_share *plan, *former;
	struct slot_work work;
};

/* A job for SLOT, which holds PLAN from then on; not posted. NULL: no memory. */
static struct recycling *fabric_recycling_new(const struct slot *slot, struct plan_share *plan,
					      int (*run)(struct job *job), void (*finish)(struct job *job))
{
	struct recycling *recycling = calloc(1, sizeof(*recycling));

	if (!recycling)
		return NULL;
	recycling->job.run = run;
	recycling->job.finish = finish;
	recycling->fabric = slot->fabric;
	recycling->slot = slot->number;
	recycling->plan = plan;
	recycling->former = slot_plan_share_hold(slot->plan);
	recycling->mtu = slot->mtu;
	recycling->published = slot->plan->plan->nat_count > 0;
	return recycling;
}

/* The slot, if it is still in PHASE; NULL: it was given up meanwhile. */
static struct slot *fabric_recycle_find(const struct recycling *recycling, enum slot_phase phase)
{
	struct slot *slot = fabric_slot_find(recycling->fabric, recycling->slot);

	return slot && slot->phase == phase ? slot : NULL;
}

static void fabric_recycle_free(struct recycling *recycling)
{
	slot_plan_share_release(recycling->plan);
	slot_plan_share_release(recycling->former);
	free(recycling);
}

/* ---- renewing ---- */

static int fabric_recycle_run_renew(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);

	slot_build_init(&recycling->work, recycling->fabric->config, fabric_job_host(job), recycling->plan->plan,
			recycling->mtu);
	recycling->work.former = recycling->former->plan;
	return slot_renew_slot(&recycling->work, &job->err);
}

static void fabric_recycle_finish_renew(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = fabric_recycle_find(recycling, SLOT_RENEWING);

	if (slot && !job->failed && slot->mtu != atomic_load(&fabric->mtu)) {
		slot_become(slot, SLOT_LEAVING, "its MTU is not the uplink's any more");
	} else if (slot && !job->failed && kern_namespace_key_equal(&slot->key, &recycling->work.key)) {
		slot_plan_share_release(slot->plan);
		slot->plan = slot_plan_share_hold(recycling->plan);
		slot->leftovers = false;
		slot->carrier = false;
		slot->carrier_downs = recycling->work.carrier_downs;
		slot->blinked = false;
		slot->denials_since_ms = 0;
		slot_become(slot, SLOT_READY, "renewed");
	} else if (slot && !fabric->stopping) {
		log_info("released slot not used again", F_UINT("slot", slot->number), F_STR("why", job->err.text));
		slot_become(slot, SLOT_LEAVING, "not used again");
	}
	fabric_recycle_free(recycling);
}

static void fabric_recycle_end_quarantine(struct slot *slot)
{
	struct fabric *fabric = slot->fabric;
	struct plan_share *plan =
	    fabric_pool_wants_renewed(fabric->pool) ? fabric_pool_plan(fabric, slot->number) : NULL;
	struct recycling *recycling;

	if (plan && slot->mtu != atomic_load(&fabric->mtu)) {
		slot_plan_share_release(plan);
		slot_become(slot, SLOT_LEAVING, "its MTU is not the uplink's any more");
		return;
	}
	if (!plan) {
		slot_become(slot, SLOT_LEAVING, "the pool does not want it");
		return;
	}
	recycling = fabric_recycling_new(slot, plan, fabric_recycle_run_renew, fabric_recycle_finish_renew);
	if (!recycling) {
		slot_plan_share_release(plan);
		slot_become(slot, SLOT_LEAVING, "no memory to renew it");
		return;
	}
	slot_become(slot, SLOT_RENEWING, "its quarantine is over");
	fabric_job_thread_post(fabric->builder, &recycling->job, JOB_REFILL);
}

/* ---- silencing ---- */

static int fabric_recycle_run_silence(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);

	slot_build_init(&recycling->work, recycling->fabric->config, fabric_job_host(job), recycling->plan->plan, 0);
	return slot_renew_silence(&recycling->work, recycling->published, &job->err);
}

static void fabric_recycle_finish_silence(struct job *job)
{
	struct recycling *recycling = container_of(job, struct recycling, job);
	struct fabric *fabric = recycling->fabric;
	struct slot *slot = fabric_recycle_find(recycling, SLOT_SILENCING);

	if (slot && job->failed && !fabric->stopping) {
		/* Then the hard way, at whose end the caller is answered. */
		slot_become(slot, SLOT_LEAVING, job->err.text);
	} else if (slot) {
		fabric_done *gone = slot->gone;

		slot->gone = NULL;
		slot_become(slot, SLOT_QUARANTINE, "silent");
		fabric_slot_start_timeout(slot, fabric->config->pool.quarantine_ms, fabric_recycle_end_quarantine);
		if (gone)
			gone(slot->gone_context, fabric_job_failure(job));
	}
	fabric_recycle_free(recycling);
}

bool fabric_recycle_slot(struct slot *slot)
{
	struct fabric *fabric = slot->fabric;
	struct recycling *recycling;

	/* An owner of the TAP is replaced, but never taken away; and with a VM on it the slot comes to no rest here. */
	if (!slot->plan || !fabric->config->pool.size || fabric->stopping || slot->phase != SLOT_LIVE ||
	    slot->carrier || slot->leftovers || (slot->repair && slot->repair_urgency != JOB_REFILL) ||
	    (slot->plan->plan->has_tap_owner && !fabric->config->pool.tap_owner.set))
		return false;
	recycling = fabric_recycling_new(slot, slot->plan, fabric_recycle_run_silence, fabric_recycle_finish_silence);
	if (!recycling)
		return false;
	slot_plan_share_hold(slot->plan);
	fabric_slot_stop_repair(slot);
	slot->netns_fd = -1;
	slot_become(slot, SLOT_SILENCING, "destroyed");
	fabric_job_thread_post(fabric->builder, &recycling->job, JOB_REMOVAL);
	return true;
}
