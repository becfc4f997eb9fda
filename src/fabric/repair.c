/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repairing the links of a live slot. The builder compares each part with the slot's plan and changes only those that
 * differ, so a repair without a cause is harmless. A TAP that was deleted under a VM cannot be given back to it: that fails
 * the slot.
 */
#include "fabric/repair.h"

#include "base/container_of.h"
#include "base/err.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct repair {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct plan_share *plan;
	int netns_fd;
	bool attached; /* a VM has the TAP, as was reported last */
	struct slot_work work;
};

static int fabric_slot_run_repair(struct job *job)
{
	struct repair *repair = container_of(job, struct repair, job);

	slot_build_init(&repair->work, repair->fabric->config, fabric_job_host(job), repair->plan->plan,
			repair->work.mtu);
	repair->work.netns_fd = repair->netns_fd;
	repair->work.attached = repair->attached;
	return slot_adopt_repair(&repair->work, &job->err);
}

static void fabric_slot_repair_failed(struct slot *slot, const struct repair *repair)
{
	if (repair->job.err.code == ECANCELED)
		return;
	/* The VM may have ended while the repair waited: then nothing is made under it. */
	if (repair->attached && !slot->carrier)
		fabric_slot_repair(slot);
	else if (slot->phase == SLOT_LIVE)
		slot_become(slot, SLOT_FAILED, repair->job.err.text);
}

static void fabric_slot_repair_done(struct slot *slot, const struct repair *repair)
{
	const struct fabric_watcher *watcher = &slot->fabric->watcher;

	slot->veth_index = repair->work.veth_index;
	if (!repair->work.repaired[0])
		return;
	/* Rules that hang on a link went with it. */
	fabric_suspect_slot(slot);
	watcher->repaired(watcher->context, slot->number, repair->work.repaired);
}

static void fabric_slot_finish_repair(struct job *job)
{
	struct repair *repair = container_of(job, struct repair, job);
	struct slot *slot = fabric_slot_find(repair->fabric, repair->slot);

	if (slot && slot->repair == job)
		slot->repair = NULL;
	if (slot && fabric_slot_is_live(slot) && slot->plan == repair->plan) {
		if (job->failed)
			fabric_slot_repair_failed(slot, repair);
		else
			fabric_slot_repair_done(slot, repair);
	}
	slot_plan_share_release(repair->plan);
	close(repair->netns_fd);
	free(repair);
}

void fabric_slot_repair(struct slot *slot)
{
	struct repair *repair;
	struct err err;
	int netns_fd;

	if (slot->repair || slot->phase != SLOT_LIVE || !slot->plan)
		return;
	netns_fd = fabric_slot_open_netns(slot, &err);
	if (netns_fd < 0) {
		slot_become(slot, SLOT_FAILED, err.text);
		return;
	}
	repair = calloc(1, sizeof(*repair));
	if (!repair) {
		close(netns_fd);
		return;
	}
	slot->repair = &repair->job;
	repair->job.run = fabric_slot_run_repair;
	repair->job.finish = fabric_slot_finish_repair;
	repair->fabric = slot->fabric;
	repair->slot = slot->number;
	repair->plan = slot_plan_share_hold(slot->plan);
	repair->netns_fd = netns_fd;
	/* Its address goes with a TAP that is deleted, and the event of that may lead here before any look does. */
	repair->attached = slot->carrier;
	repair->work.mtu = slot->mtu;
	fabric_job_thread_post(slot->fabric->builder, &repair->job, JOB_CLAIM);
}
