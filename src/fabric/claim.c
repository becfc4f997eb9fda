/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claiming a ready slot. It was made with the configuration's defaults; where the plan asks for nothing else, claiming is
 * opening its namespace and no more. Another policy, or ports of the host, are a batch of the claimer's; another owner of the
 * TAP, or a rate, need the builder.
 */
#include "fabric/claim.h"

#include "base/container_of.h"
#include "fabric/answer.h"
#include "fabric/defer.h"
#include "fabric/look_slot.h"
#include "fabric/name.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct claim {
	struct job job;
	struct fabric *fabric;
	struct slot *slot; /* main's alone; stays while it is CLAIMING */
	struct plan_share *plan, *former;
	fabric_slot_done *done;
	void *context;
	int netns_fd;
	unsigned mtu;
	bool wants_rules, wants_links;
};

static void fabric_claim_succeed(struct claim *claim)
{
	struct slot *slot = claim->slot;
	/* On older kernels, to set the owner raises the carrier for a moment. */
	if (!slot_plan_same_owner(claim->plan->plan, claim->former->plan))
		slot->carrier_downs = CARRIER_DOWNS_UNKNOWN;
	struct fabric_slot result = fabric_slot_result(slot, claim->netns_fd);

	slot->netns_fd = claim->netns_fd;
	slot_become(slot, SLOT_LIVE, "claimed");
	claim->done(claim->context, &result, NULL);
	fabric_slot_look_later(slot);
	fabric_slot_write_name(slot);
	if (slot->gone && fabric_slot_is_live(slot))
		slot_become(slot, SLOT_LEAVING, "destroyed while it was claimed");
}

/* There was no room for a descriptor of its namespace: nothing is wrong with the slot, and nothing was done to it. */
static bool fabric_claim_lacked_room(const struct claim *claim)
{
	return claim->netns_fd < 0 && err_code_is_exhaustion(claim->job.err.code);
}

static void fabric_claim_restore_plan(struct claim *claim)
{
	struct slot *slot = claim->slot;

	slot_plan_share_release(slot->plan);
	slot->plan = slot_plan_share_hold(claim->former);
}

/* The slot may be half of what the caller asked for, so no sandbox gets it. */
static void fabric_claim_fail(struct claim *claim)
{
	struct slot *slot = claim->slot;

	if (claim->netns_fd >= 0)
		close(claim->netns_fd);
	if (claim->job.err.code == ECANCELED || fabric_claim_lacked_room(claim)) {
		if (slot->gone)
			fabric_answer(slot->fabric, slot->gone, slot->gone_context, &claim->job.err);
		slot->gone = NULL;
		fabric_claim_restore_plan(claim);
		slot_become(slot, SLOT_READY, "the claim was not begun");
	} else {
		slot_become(slot, SLOT_LEAVING, claim->job.err.text);
	}
	claim->done(claim->context, NULL, &claim->job.err);
}

static void fabric_claim_free(struct claim *claim)
{
	slot_plan_share_release(claim->plan);
	slot_plan_share_release(claim->former);
	free(claim);
}

static int fabric_claim_run_links(struct job *job)
{
	struct claim *claim = container_of(job, struct claim, job);
	struct slot_work work;

	slot_build_init(&work, claim->fabric->config, fabric_job_host(job), claim->plan->plan, claim->mtu);
	work.netns_fd = claim->netns_fd;
	return slot_build_fit(&work, claim->former->plan, &job->err);
}

static int fabric_claim_run_rules(struct job *job)
{
	struct claim *claim = container_of(job, struct claim, job);
	const struct fabric_plan *plan = claim->plan->plan;

	if (rules_slot_claim(claim->netns_fd, plan, &job->err) < 0)
		return -1;
	if (!plan->nat_count)
		return 0;
	return rules_host_publish(config_layout_or_new(claim->fabric->config, plan->layout), plan->slot, plan->nat,
				  plan->nat_count, &job->err);
}

/* Posts the next job that the claim needs; without one it has succeeded. */
static void fabric_claim_go_on(struct claim *claim)
{
	struct fabric *fabric = claim->fabric;

	if (claim->wants_rules) {
		claim->wants_rules = false;
		claim->job.run = fabric_claim_run_rules;
		fabric_job_thread_post(fabric->claimer, &claim->job, JOB_CLAIM);
		return;
	}
	if (claim->wants_links) {
		claim->wants_links = false;
		claim->job.run = fabric_claim_run_links;
		fabric_job_thread_post(fabric->builder, &claim->job, JOB_CLAIM);
		return;
	}
	fabric_claim_succeed(claim);
	fabric_claim_free(claim);
}

static void fabric_claim_finish(struct job *job)
{
	struct claim *claim = container_of(job, struct claim, job);

	if (!job->failed) {
		fabric_claim_go_on(claim);
		return;
	}
	fabric_claim_fail(claim);
	fabric_claim_free(claim);
}

static void fabric_claim_deliver(struct mail *mail)
{
	fabric_claim_finish(container_of(mail, struct job, mail));
}

static void fabric_claim_compare_plans(struct claim *claim)
{
	const struct fabric_plan *wanted = claim->plan->plan, *ready = claim->former->plan;

	claim->wants_rules = !slot_plan_same_egress(wanted, ready) || wanted->nat_count ||
			     !slot_plan_same_rate(&wanted->bandwidth->from_guest, &ready->bandwidth->from_guest);
	claim->wants_links =
	    !slot_plan_same_owner(wanted, ready) || !slot_plan_same_bandwidth(wanted->bandwidth, ready->bandwidth);
}

bool fabric_claim_slot(struct slot *slot, fabric_slot_done *done, void *context)
{
	struct claim *claim = calloc(1, sizeof(*claim));

	if (!claim)
		return false;
	fabric_defer_background(slot->fabric);
	slot->counts = (struct fabric_counts){ 0 }; /* a former tenant's */
	slot->still = 0;
	slot->activity = (struct slot_activity){ 0 };
	claim->job.finish = fabric_claim_finish;
	claim->fabric = slot->fabric;
	claim->slot = slot;
	claim->former = slot->plan;
	claim->plan = slot_plan_share_hold(slot->claimed);
	slot->plan = slot->claimed;
	slot->claimed = NULL;
	slot_become(slot, SLOT_CLAIMING, "claimed");
	claim->done = done;
	claim->context = context;
	claim->mtu = slot->mtu;
	claim->netns_fd = fabric_slot_open_netns(slot, &claim->job.err);
	if (claim->netns_fd < 0)
		claim->job.failed = true;
	fabric_claim_compare_plans(claim);
	/* DONE must not be called before the caller has returned. */
	claim->job.mail.deliver = fabric_claim_deliver;
	base_mailbox_post(slot->fabric->mailbox, &claim->job.mail);
	return true;
}
