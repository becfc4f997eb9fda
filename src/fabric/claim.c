/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claiming a ready slot. It was made with the configuration's defaults; where the plan asks for nothing else, claiming is
 * opening its namespace and no more. Another policy, or ports of the host, are a batch of the claimer's; another owner of the
 * TAP, or a rate, need the builder.
 *
 * Whoever claims one slot mostly claims more. While claims follow each other the threads are hushed: what is not urgent, such as
 * names and refills, leaves the processors and the kernel's locks to those who wait. That has its limits, in time and when the
 * pool runs low, for then the claims to come would pay.
 */
#include "fabric/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/plan.h"
#include "fabric/slot/work.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { HUSH_MS = 5, HUSH_MOST_MS = 50 };

struct claim {
	struct job job;
	struct fabric *fabric;
	struct slot *slot; /* stays while it is MAKING */
	struct plan_share *plan, *former;
	fabric_slot_done *done;
	void *context;
	int netns_fd;
	unsigned mtu;
	bool wants_rules, wants_links;
};

static void hush(struct fabric *fabric)
{
	uint64_t now = clock_now_ms(), limit = fabric->hush_from_ms + HUSH_MOST_MS;

	if (pool_is_low(fabric->pool))
		return;
	if (now >= fabric->hush_until_ms) {
		/* One that came to its limit is followed by as long a rest. */
		if (fabric->hush_until_ms == limit && now < limit + HUSH_MOST_MS)
			return;
		fabric->hush_from_ms = now;
		limit = now + HUSH_MOST_MS;
	}
	fabric->hush_until_ms = now + HUSH_MS < limit ? now + HUSH_MS : limit;
	job_thread_hush(fabric->builder, fabric->hush_until_ms);
	job_thread_hush(fabric->claimer, fabric->hush_until_ms);
}

static void succeed(struct claim *claim)
{
	struct fabric *fabric = claim->fabric;
	struct slot *slot = claim->slot;
	struct fabric_slot told = {
		.slot = slot->number, .netns_fd = claim->netns_fd, .carrier = slot->carrier, .mtu = slot->mtu
	};

	slot->phase = SLOT_LIVE;
	slot->netns_fd = claim->netns_fd;
	claim->done(claim->context, &told, NULL);
	fabric_look_later(fabric, slot);
	fabric_name_slot(fabric, slot);
	if (slot->destroy_wanted && slot->phase == SLOT_LIVE)
		fabric_start_going(fabric, slot, slot->gone, slot->gone_context);
}

/* The slot is not what was asked for, and perhaps half of it: nobody gets it. */
static void fail(struct claim *claim)
{
	struct slot *slot = claim->slot;

	if (claim->netns_fd >= 0)
		close(claim->netns_fd);
	if (claim->job.err.code == ECANCELED) {
		if (slot->destroy_wanted)
			fabric_reply(claim->fabric, slot->gone, slot->gone_context, &claim->job.err);
		slot->phase = SLOT_READY;
	} else {
		fabric_start_going(claim->fabric, slot, slot->destroy_wanted ? slot->gone : NULL, slot->gone_context);
	}
	claim->done(claim->context, NULL, &claim->job.err);
}

static void end(struct claim *claim)
{
	plan_share_release(claim->plan);
	plan_share_release(claim->former);
	free(claim);
}

static int run_links(struct job *job)
{
	struct claim *claim = (struct claim *)job;
	struct slot_work work;

	slot_work_init(&work, claim->fabric->config, job_host(job), claim->plan->plan, claim->mtu);
	work.netns_fd = claim->netns_fd;
	return slot_fit(&work, claim->former->plan, &job->err);
}

static int run_rules(struct job *job)
{
	struct claim *claim = (struct claim *)job;
	const struct fabric_plan *plan = claim->plan->plan;

	if (nft_slot_claim(claim->netns_fd, plan, &job->err) < 0)
		return -1;
	if (!plan->nat_count)
		return 0;
	return nft_host_publish(claim->fabric->config, plan->slot, plan->nat, plan->nat_count, &job->err);
}

static void finish(struct job *job);

/* The next thing the claim needs. */
static void go_on(struct claim *claim)
{
	if (claim->wants_rules) {
		claim->wants_rules = false;
		claim->job.run = run_rules;
		job_thread_post(claim->fabric->claimer, &claim->job, JOB_CLAIM);
		return;
	}
	if (claim->wants_links) {
		claim->wants_links = false;
		claim->job.run = run_links;
		job_thread_post(claim->fabric->builder, &claim->job, JOB_CLAIM);
		return;
	}
	succeed(claim);
	end(claim);
}

static void finish(struct job *job)
{
	struct claim *claim = (struct claim *)job;

	if (!job->failed) {
		go_on(claim);
		return;
	}
	fail(claim);
	end(claim);
}

static void deliver_late(struct mail *mail)
{
	struct claim *claim = (struct claim *)((char *)mail - offsetof(struct claim, job.mail));

	finish(&claim->job);
}

static void decide(struct claim *claim)
{
	const struct fabric_plan *wanted = claim->plan->plan, *ready = claim->former->plan;

	claim->wants_rules = !plan_same_egress(wanted, ready) || wanted->nat_count ||
			     !plan_same_rate(&wanted->bandwidth->from_guest, &ready->bandwidth->from_guest);
	claim->wants_links =
	    !plan_same_owner(wanted, ready) || !plan_same_bandwidth(wanted->bandwidth, ready->bandwidth);
}

void fabric_claim(struct fabric *fabric, struct slot *slot, fabric_slot_done *done, void *context)
{
	struct claim *claim = calloc(1, sizeof(*claim));

	if (!claim)
		abort(); /* whoever waits could not be told */
	hush(fabric);
	pool_remove_ready(fabric->pool, slot);
	slot->phase = SLOT_MAKING;
	slot->counts = (struct fabric_counts){ 0 }; /* a former tenant's */
	slot->still = 0;
	slot->made = done; /* so that nobody claims it twice */
	slot->made_context = context;
	claim->job.finish = finish;
	claim->fabric = fabric;
	claim->slot = slot;
	claim->former = slot->plan;
	claim->plan = plan_share_hold(slot->claimed);
	slot->plan = slot->claimed;
	slot->claimed = NULL;
	claim->done = done;
	claim->context = context;
	claim->mtu = slot->mtu;
	claim->netns_fd = slot_open_netns(fabric, slot, &claim->job.err);
	if (claim->netns_fd < 0)
		claim->job.failed = true;
	decide(claim);
	/* Never before the caller has returned. */
	claim->job.mail.deliver = deliver_late;
	mailbox_post(fabric->mailbox, &claim->job.mail);
}
