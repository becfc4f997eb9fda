/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox's name on its veth and its table, for people who look. It is written after the reply, when nobody else waits, and
 * nothing depends on it; where the veth has it already, nothing is written at all.
 */
#include "fabric/state.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "fabric/nft.h"
#include "fabric/slot_work.h"

#include <stdlib.h>

struct naming {
	struct job job;
	struct fabric *fabric;
	struct plan_share *plan;
	bool changed;
	int netns_fd; /* -1: not at the comment yet */
};

static int run_alias(struct job *job)
{
	struct naming *naming = (struct naming *)job;

	return slot_name(job_host(job), naming->fabric->config, naming->plan->plan, &naming->changed, &job->err);
}

static int run_comment(struct job *job)
{
	struct naming *naming = (struct naming *)job;

	return nft_slot_comment(naming->netns_fd, naming->plan->plan->id, &job->err);
}

static void finish_comment(struct job *job)
{
	struct naming *naming = (struct naming *)job;

	/* A slot that goes meanwhile gets no name. */
	if (job->failed)
		log_debug("slot not named", F_UINT("slot", naming->plan->plan->slot), F_STR("error", job->err.text));
	plan_share_release(naming->plan);
	cleanup_fd(&naming->netns_fd);
	free(naming);
}

static void finish_alias(struct job *job)
{
	struct naming *naming = (struct naming *)job;
	struct slot *slot = slot_find(naming->fabric, naming->plan->plan->slot);
	struct err ignored;

	if (!job->failed && naming->changed && slot && slot->phase == SLOT_LIVE)
		naming->netns_fd = slot_open_netns(naming->fabric, slot, &ignored);
	if (naming->netns_fd < 0) {
		finish_comment(job);
		return;
	}
	job->run = run_comment;
	job->finish = finish_comment;
	job_thread_post(naming->fabric->claimer, job, JOB_REFILL);
}

void fabric_name_slot(struct fabric *fabric, struct slot *slot)
{
	struct naming *naming = calloc(1, sizeof(*naming));

	if (!naming)
		return;
	naming->job.run = run_alias;
	naming->job.finish = finish_alias;
	naming->fabric = fabric;
	naming->plan = plan_share_hold(slot->plan);
	naming->netns_fd = -1;
	job_thread_post(fabric->builder, &naming->job, JOB_REMOVAL); /* never after its own */
}
