/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a former layout, when its last slot has gone. The claimer drops it and makes the host's rules without it in one job, so
 * that the patrol, on the same thread, never finds the rules of a layout that is gone and calls them altered. Then the builder
 * removes the routes.
 */
#include "base/container_of.h"
#include "config/layouts.h"
#include "fabric/answer.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/host.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>

struct dropping {
	struct job job;
	struct fabric *fabric;
	const struct config_layout *layout;
	fabric_done *done;
	void *context;
};

bool fabric_has_layout(const struct fabric *fabric, const struct config_layout *layout)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++)
		if (fabric->slots[number] && fabric->slots[number]->layout == layout)
			return true;
	return false;
}

static int fabric_layout_run_rules(struct job *job)
{
	struct dropping *dropping = container_of(job, struct dropping, job);

	config_layout_drop(dropping->fabric->config, dropping->layout);
	return rules_host_apply(dropping->fabric->config, &job->err);
}

static int fabric_layout_run_routes(struct job *job)
{
	struct dropping *dropping = container_of(job, struct dropping, job);

	return slot_build_host_forget(fabric_job_host(job), dropping->fabric->config, dropping->layout, &job->err);
}

static void fabric_layout_finish_routes(struct job *job)
{
	struct dropping *dropping = container_of(job, struct dropping, job);

	dropping->done(dropping->context, fabric_job_failure(job));
	free(dropping);
}

static void fabric_layout_finish_rules(struct job *job)
{
	struct dropping *dropping = container_of(job, struct dropping, job);

	if (job->failed) {
		fabric_layout_finish_routes(job);
		return;
	}
	job->run = fabric_layout_run_routes;
	job->finish = fabric_layout_finish_routes;
	fabric_job_thread_post(dropping->fabric->builder, job, JOB_REMOVAL);
}

void fabric_drop_layout(struct fabric *fabric, const struct config_layout *layout, fabric_done *done, void *context)
{
	struct dropping *dropping = calloc(1, sizeof(*dropping));
	struct err err;

	if (!dropping) {
		err_set(&err, ENOMEM, "layout");
		fabric_answer(fabric, done, context, &err);
		return;
	}
	dropping->job.run = fabric_layout_run_rules;
	dropping->job.finish = fabric_layout_finish_rules;
	dropping->fabric = fabric;
	dropping->layout = layout;
	dropping->done = done;
	dropping->context = context;
	fabric_job_thread_post(fabric->claimer, &dropping->job, JOB_REMOVAL);
}
