/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scan at the start of the daemon, which the builder makes, and its report on the main thread. Until the kernel's state is known
 * nothing can be taken over, so a scan that failed is made again after 1, 2, 4 ... 30 s. All that it needs here is made together with
 * the fabric.
 */
#include "fabric/slot/scan.h"
#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/pool.h"
#include "fabric/scan_start.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <errno.h>
#include <stdlib.h>

enum { SCAN_RETRY_MS = 1000, SCAN_RETRY_MAX_MS = 30000 };

struct scanning {
	struct job job;
	struct fabric *fabric;
	fabric_scan_done *done; /* NULL: none is under way */
	void *context;
	struct scan scan;
	struct timer again;
	unsigned retry_ms; /* of the last pause; 0: none yet */
};

static int fabric_run_scan(struct job *job)
{
	struct scanning *scanning = container_of(job, struct scanning, job);

	return slot_scan_host(fabric_job_host(job), scanning->fabric->config, &scanning->scan, &job->err);
}

static void fabric_report_scan(struct scanning *scanning, const struct err *err)
{
	fabric_scan_done *done = scanning->done;
	const struct scan *scan = &scanning->scan;

	scanning->done = NULL;
	if (err)
		done(scanning->context, NULL, 0, err);
	else
		done(scanning->context, scan->found.items, scan->found.count, NULL);
}

static void fabric_take_scan(struct scanning *scanning)
{
	struct fabric *fabric = scanning->fabric;
	const struct scan *scan = &scanning->scan;

	for (size_t i = 0; i < scan->foreign.count; i++) {
		fabric->shunned[scan->foreign.items[i].slot] |= SHUN_FOREIGN;
		fabric->watcher.slot_foreign(fabric->watcher.context, scan->foreign.items[i].slot,
					     scan->foreign.items[i].why);
	}
	free(fabric->numbers);
	fabric->numbers = steal_ptr(&scanning->scan.numbers);
	fabric_report_scan(scanning, NULL);
}

static void fabric_retry_scan(struct scanning *scanning)
{
	log_seldom(LOG_ERROR_LEVEL, "kernel state not read; trying again", F_STR("error", scanning->job.err.text));
	scanning->retry_ms = base_backoff_next(scanning->retry_ms, SCAN_RETRY_MS, SCAN_RETRY_MAX_MS);
	timer_start(&scanning->again, scanning->retry_ms);
}

static void fabric_finish_scan(struct job *job)
{
	struct scanning *scanning = container_of(job, struct scanning, job);

	if (!job->failed) {
		fabric_take_scan(scanning);
		return;
	}
	slot_scan_clear(&scanning->scan);
	if (job->err.code == ECANCELED || scanning->fabric->stopping)
		fabric_report_scan(scanning, &job->err);
	else
		fabric_retry_scan(scanning);
}

void fabric_open(struct fabric *fabric)
{
	free(fabric->numbers);
	fabric->numbers = NULL;
	slot_scan_clear(&fabric->scanning->scan);
	fabric_pool_open(fabric->pool);
	fabric->opened = true;
	fabric_suspect_wake(fabric);
}

static void fabric_post_scan(void *context)
{
	struct scanning *scanning = context;

	fabric_job_thread_post(scanning->fabric->builder, &scanning->job, JOB_LOOK);
}

void fabric_scan(struct fabric *fabric, fabric_scan_done *done, void *context)
{
	struct scanning *scanning = fabric->scanning;

	scanning->done = done;
	scanning->context = context;
	scanning->retry_ms = 0;
	fabric_post_scan(scanning);
}

struct scanning *fabric_scanning_new(struct fabric *fabric, struct err *err)
{
	struct scanning *scanning = calloc(1, sizeof(*scanning));

	if (!scanning) {
		err_set(err, ENOMEM, "scan");
		return NULL;
	}
	scanning->job.run = fabric_run_scan;
	scanning->job.finish = fabric_finish_scan;
	scanning->fabric = fabric;
	if (timer_init(&scanning->again, fabric->base, fabric_post_scan, scanning, err) < 0) {
		free(scanning);
		return NULL;
	}
	return scanning;
}

void fabric_scanning_free(struct scanning *scanning)
{
	struct err err;

	if (!scanning)
		return;
	err_set(&err, ECANCELED, "weftd is stopping");
	if (scanning->done)
		fabric_report_scan(scanning, &err);
	timer_free(&scanning->again);
	slot_scan_clear(&scanning->scan);
	free(scanning);
}
