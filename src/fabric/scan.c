/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scan at the start, told on main. */
#include "fabric/state.h"

#include "base/cleanup.h"
#include "fabric/slot/scan.h"

#include <errno.h>
#include <stdlib.h>

struct scanning {
	struct job job;
	struct fabric *fabric;
	fabric_scan_done *done;
	void *context;
	struct scan scan;
};

static int run_scan(struct job *job)
{
	struct scanning *scanning = (struct scanning *)job;

	return scan_host(job_host(job), scanning->fabric->config, &scanning->scan, &job->err);
}

static void finish_scan(struct job *job)
{
	struct scanning *scanning = (struct scanning *)job;
	struct fabric *fabric = scanning->fabric;
	const struct scan *scan = &scanning->scan;

	for (size_t i = 0; !job->failed && i < scan->foreign_count; i++) {
		fabric->shunned[scan->foreign[i].slot] |= SHUN_FOREIGN;
		fabric->watcher.slot_foreign(fabric->watcher.context, scan->foreign[i].slot, scan->foreign[i].why);
	}
	if (!job->failed) {
		free(fabric->numbers);
		fabric->numbers = steal_ptr(&scanning->scan.numbers);
	}
	if (job->failed)
		scanning->done(scanning->context, NULL, 0, &job->err);
	else
		scanning->done(scanning->context, scan->found, scan->found_count, NULL);
	scan_clear(&scanning->scan);
	free(scanning);
}

void fabric_open(struct fabric *fabric)
{
	free(fabric->numbers);
	fabric->numbers = NULL;
	pool_open(fabric->pool);
}

void fabric_scan(struct fabric *fabric, fabric_scan_done *done, void *context)
{
	struct scanning *scanning = calloc(1, sizeof(*scanning));

	if (!scanning)
		abort(); /* who waits could not be told */
	scanning->job.run = run_scan;
	scanning->job.finish = finish_scan;
	scanning->fabric = fabric;
	scanning->done = done;
	scanning->context = context;
	job_thread_post(fabric->builder, &scanning->job, JOB_LOOK);
}
