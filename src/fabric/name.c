/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox's name on its veth and in its table, for people who look. It is written after the reply, when no caller waits, and
 * nothing depends on it; where the veth has it already, neither is written. The builder does both in one job, so that the claimer
 * is free for callers meanwhile.
 */
#include "fabric/name.h"

#include "base/cleanup.h"
#include "base/container_of.h"
#include "base/log.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "kernel/namespace.h"

#include <stdlib.h>

struct naming {
	struct job job;
	struct fabric *fabric;
	struct plan_share *plan;
	struct kern_namespace_key key;
};

static int fabric_slot_run_naming(struct job *job)
{
	struct naming *naming = container_of(job, struct naming, job);
	const struct fabric_plan *plan = naming->plan->plan;
	const struct config_layout *layout = config_layout_or_new(naming->fabric->config, plan->layout);
	char path[CONFIG_PATH_SIZE];
	bool changed;

	if (slot_build_alias(fabric_job_host(job), layout, plan, &changed, &job->err) < 0)
		return -1;
	if (!changed)
		return 0;
	AUTO_FD int fd =
	    kern_namespace_open_known(config_netns_path(layout, plan->slot, path), &naming->key, &job->err);
	return fd < 0 ? -1 : rules_slot_comment(fd, plan->id, &job->err);
}

static void fabric_slot_finish_naming(struct job *job)
{
	struct naming *naming = container_of(job, struct naming, job);

	/* A slot that was given up meanwhile gets no name. */
	if (job->failed)
		log_debug("slot not named", F_UINT("slot", naming->plan->plan->slot), F_STR("error", job->err.text));
	slot_plan_share_release(naming->plan);
	free(naming);
}

void fabric_slot_write_name(struct slot *slot)
{
	struct naming *naming = calloc(1, sizeof(*naming));

	if (!naming)
		return;
	naming->job.run = fabric_slot_run_naming;
	naming->job.finish = fabric_slot_finish_naming;
	naming->fabric = slot->fabric;
	naming->plan = slot_plan_share_hold(slot->plan);
	naming->key = slot->key;
	fabric_job_thread_post(slot->fabric->builder, &naming->job, JOB_REMOVAL); /* never after its own removal */
}
