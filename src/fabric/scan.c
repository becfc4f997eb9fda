/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scan at the start of the daemon, which the builder makes, and its report on the main thread. */
#include "fabric/slot/scan.h"
#include "base/cleanup.h"
#include "base/container_of.h"
#include "fabric/pool.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>

struct scanning {
	struct job job;
	struct fabric *fabric;
	fabric_scan_done *done;
	void *context;
	struct scan scan;
};

static int fabric_run_scan(struct job *job)
{
	struct scanning *scanning = container_of(job, struct scanning, job);

	return slot_scan_host(fabric_job_host(job), scanning->fabric->config, &scanning->scan, &job->err);
}

static void fabric_finish_scan(struct job *job)
{
	struct scanning *scanning = container_of(job, struct scanning, job);
	struct fabric *fabric = scanning->fabric;
	const struct scan *scan = &scanning->scan;

	for (size_t i = 0; !job->failed && i < scan->foreign.count; i++) {
		fabric->shunned[scan->foreign.items[i].slot] |= SHUN_FOREIGN;
		fabric->watcher.slot_foreign(fabric->watcher.context, scan->foreign.items[i].slot,
					     scan->foreign.items[i].why);
	}
	if (!job->failed) {
		free(fabric->numbers);
		fabric->numbers = steal_ptr(&scanning->scan.numbers);
	}
	if (job->failed)
		scanning->done(scanning->context, NULL, 0, &job->err);
	else
		scanning->done(scanning->context, scan->found.items, scan->found.count, NULL);
	slot_scan_clear(&scanning->scan);
	free(scanning);
}

void fabric_open(struct fabric *fabric)
{
	free(fabric->numbers);
	fabric->numbers = NULL;
	fabric_pool_open(fabric->pool);
}

void fabric_scan(struct fabric *fabric, fabric_scan_done *done, void *context)
{
	struct scanning *scanning = calloc(1, sizeof(*scanning));

	if (!scanning)
		abort(); /* the caller would wait for ever */
	scanning->job.run = fabric_run_scan;
	scanning->job.finish = fabric_finish_scan;
	scanning->fabric = fabric;
	scanning->done = done;
	scanning->context = context;
	fabric_job_thread_post(fabric->builder, &scanning->job, JOB_LOOK);
}
