/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repairing the links of a live slot. The builder compares each part with the slot's list and changes only those that
 * differ, so a repair without a cause is harmless, and it serves as a look at a failed slot too. It is reported only after a
 * look that found nothing to do.
 *
 * Somebody may change the same part again and again. After some repairs of one part in a short time that is what is reported, once,
 * and the slot is left until its next turn in the back-off: two programs that fight cost the host more than either gains.
 *
 * A repair that does not come off is a trouble, which is tried again, unless the builder proved a failure on its way. Events that
 * come while a repair is under way make one more: whoever deletes several parts of a slot one after the other meets a repair half
 * way, whose error then says nothing.
 */
#include "fabric/repair.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "fabric/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PASSES = 3, RACES_MAX = 3, FIGHT_REPAIRS = 10, FIGHT_MS = 10000 };

struct repair {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct plan_share *plan;
	int netns_fd;
	int nsid, veth_index;
	bool attached; /* a VM has the TAP, as was reported last */
	unsigned mtu;
	char repaired[256]; /* the parts that were, "" if none */
	struct slot_work work;
};

static int fabric_slot_run_repair_once(struct repair *repair, bool looking, struct err *err)
{
	slot_build_init(&repair->work, repair->fabric->config, fabric_job_host(&repair->job), repair->plan->plan,
			repair->mtu);
	repair->work.netns_fd = repair->netns_fd;
	repair->work.nsid = repair->nsid;
	repair->work.veth_index = repair->veth_index;
	repair->work.attached = repair->attached;
	repair->work.looking = looking;
	return slot_adopt_repair(&repair->work, err);
}

/* Until a look finds nothing to repair. A first pass that changed nothing was such a look. */
static int fabric_slot_run_repair(struct job *job)
{
	struct repair *repair = container_of(job, struct repair, job);

	for (int pass = 0; pass < PASSES; pass++) {
		if (fabric_slot_run_repair_once(repair, false, &job->err) < 0)
			return -1;
		if (!repair->work.repaired[0])
			return 0;
		if (!repair->repaired[0])
			snprintf(repair->repaired, sizeof(repair->repaired), "%s", repair->work.repaired);
	}
	if (fabric_slot_run_repair_once(repair, true, &job->err) < 0)
		return -1;
	if (!repair->work.repaired[0])
		return 0;
	return err_set(&job->err, 0, "altered while it was repaired: %s", repair->work.repaired);
}

static void fabric_slot_repair_failed(struct slot *slot, const struct repair *repair, bool raced)
{
	const struct err *err = &repair->job.err;

	if (err->code == ECANCELED)
		return;
	/* The VM may have ended while the repair waited: then nothing is made under it. */
	if (repair->attached && !slot->carrier) {
		fabric_slot_repair(slot);
	} else if (repair->work.failure == FAILURE_TAP) {
		/* Whether the VM had left by then is known from the event of the deletion, which leads to a look that decides. */
		fabric_trouble_look_again(slot);
	} else if (repair->work.failure) {
		fabric_slot_fail(slot, repair->work.failure, err->text);
	} else if (raced && slot->repairs_raced < RACES_MAX) {
		slot->repairs_raced++;
		fabric_slot_repair(slot);
	} else {
		fabric_trouble_begin(slot, TROUBLE_LINKS, err);
	}
}

/* Counts this repair. Returns whether there were so many of the same parts lately that somebody undoes them. */
static bool fabric_slot_is_fought_over(struct slot *slot, const struct repair *repair)
{
	uint64_t now = clock_now_ms();

	if ((now - slot->repaired_ms > FIGHT_MS && !slot->fought_over) ||
	    strncmp(slot->repaired, repair->repaired, sizeof(slot->repaired) - 1) != 0)
		slot->repairs_lately = 0;
	snprintf(slot->repaired, sizeof(slot->repaired), "%.62s", repair->repaired);
	slot->repaired_ms = now;
	if (slot->repairs_lately < FIGHT_REPAIRS)
		slot->repairs_lately++;
	return slot->repairs_lately == FIGHT_REPAIRS;
}

/* Parts were put back, and a look found that they stayed. */
static void fabric_slot_tell_repair(struct slot *slot, const struct repair *repair)
{
	struct err err;

	/* Rules that hang on a link went with it. */
	fabric_suspect_slot(slot);
	if (!fabric_slot_is_fought_over(slot, repair)) {
		fabric_report_repair(slot->fabric, slot->number, repair->repaired);
		fabric_trouble_end(slot, TROUBLE_LINKS);
		return;
	}
	slot->fought_over = true;
	err_set(&err, 0, "put back %d times, and changed again each time by another program: %s", FIGHT_REPAIRS,
		repair->repaired);
	fabric_trouble_begin(slot, TROUBLE_LINKS, &err);
}

static void fabric_slot_repair_done(struct slot *slot, const struct repair *repair)
{
	slot->veth_index = repair->work.veth_index;
	slot->repairs_raced = 0;
	fabric_slot_recover(slot);
	if (repair->repaired[0]) {
		fabric_slot_tell_repair(slot, repair);
	} else {
		slot->fought_over = false;
		fabric_trouble_end(slot, TROUBLE_LINKS);
	}
	if (repair->work.rivalled)
		fabric_trouble_begin_rival(slot, &repair->work.rival);
	else
		fabric_trouble_end(slot, TROUBLE_ROUTE);
}

static void fabric_slot_take_repair(struct slot *slot, const struct repair *repair, bool more)
{
	/* Its plan was changed meanwhile, and the parts were compared with the former one. */
	if (slot->plan != repair->plan) {
		fabric_slot_repair(slot);
	} else if (repair->job.failed) {
		fabric_slot_repair_failed(slot, repair, more);
	} else {
		fabric_slot_repair_done(slot, repair);
		if (more)
			fabric_slot_repair(slot);
	}
}

static void fabric_slot_finish_repair(struct job *job)
{
	struct repair *repair = container_of(job, struct repair, job);
	struct slot *slot = fabric_slot_find(repair->fabric, repair->slot);
	bool more = false;

	if (slot && slot->repair == job) {
		slot->repair = NULL;
		more = slot->repair_more;
		slot->repair_more = false;
	}
	if (slot && fabric_slot_is_live(slot))
		fabric_slot_take_repair(slot, repair, more);
	slot_plan_share_release(repair->plan);
	close(repair->netns_fd);
	free(repair);
}

static void fabric_slot_not_opened(struct slot *slot, const struct err *err)
{
	/* Our own descriptor is gone, and its name leads to another namespace. */
	if (err->code == ESTALE)
		fabric_slot_fail(slot, FAILURE_NAMESPACE, err->text);
	else
		fabric_trouble_begin(slot, TROUBLE_LINKS, err);
}

static void fabric_slot_post_repair(struct slot *slot, enum job_urgency urgency)
{
	struct repair *repair = calloc(1, sizeof(*repair));
	struct err err;

	if (!repair) {
		err_set(&err, ENOMEM, "repair");
		fabric_trouble_begin(slot, TROUBLE_LINKS, &err);
		return;
	}
	repair->netns_fd = fabric_slot_open_netns(slot, &err);
	if (repair->netns_fd < 0) {
		free(repair);
		fabric_slot_not_opened(slot, &err);
		return;
	}
	slot->repair = &repair->job;
	repair->job.run = fabric_slot_run_repair;
	repair->job.finish = fabric_slot_finish_repair;
	repair->fabric = slot->fabric;
	repair->slot = slot->number;
	repair->plan = slot_plan_share_hold(slot->plan);
	/* Its address goes with a TAP that is deleted, and the event of that may lead here before any look does. */
	repair->attached = slot->carrier;
	repair->nsid = slot->nsid;
	repair->veth_index = slot->veth_index;
	repair->mtu = slot->mtu;
	slot->repair_urgency = urgency;
	fabric_job_thread_post(slot->fabric->builder, &repair->job, urgency);
}

/* Whether a look at its links can lead to anything now. */
static bool fabric_slot_is_repairable(const struct slot *slot)
{
	return !slot->fabric->stopping && fabric_slot_is_live(slot) && slot->plan &&
	       !registry_failure_is_final(slot->failure) && !(slot->fought_over && slot->troubles[TROUBLE_LINKS].waits);
}

void fabric_slot_repair(struct slot *slot)
{
	if (!fabric_slot_is_repairable(slot))
		return;
	if (!slot->repair) {
		fabric_slot_post_repair(slot, JOB_CLAIM);
		return;
	}
	slot->repair_more = true;
	/* Something has happened by now: a look in turn stands behind whatever the builder has to do. */
	if (slot->repair_urgency == JOB_REFILL)
		fabric_job_thread_urge(slot->fabric->builder, slot->repair, JOB_REFILL, JOB_CLAIM);
	slot->repair_urgency = JOB_CLAIM;
}

bool fabric_slot_look_over(struct slot *slot)
{
	if (!fabric_slot_is_repairable(slot) || slot->repair)
		return false;
	fabric_slot_post_repair(slot, JOB_REFILL);
	return true;
}

void fabric_slot_stop_repair(struct slot *slot)
{
	slot->repair_more = false;
	if (slot->repair)
		fabric_job_thread_withdraw(slot->fabric->builder, slot->repair, slot->repair_urgency);
}
