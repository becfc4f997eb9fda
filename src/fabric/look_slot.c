/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a slot. Events only say that something happened; the builder asks the kernel how things are now, from a socket of
 * the host, without entering the namespace. Events that come while a look is under way make one more.
 *
 * The findings of a look are compared with the last report, so that nothing is reported twice, and a wrong hint not at all. A
 * carrier that went, by an event, and is back, by a look, is reported as both: another VM may have taken the TAP.
 *
 * Whether a VM had the TAP open when it was deleted is said by the event of the deletion alone. A VM that left just before is one whose
 * carrier was still reported.
 *
 * A look that did not come off is made again in time (trouble.c). One that finds a part of a sandbox's slot missing leads to a
 * repair, and so does each look at a failed slot, for its failure may be over.
 */
#include "fabric/look_slot.h"

#include "base/container_of.h"
#include "base/log.h"
#include "fabric/repair.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "fabric/trouble.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>

struct fabric_slot_look {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	const struct config_layout *layout;
	int nsid;
	bool veth_known; /* in: it is as it should be, and is not asked for */
	bool has_veth, has_tap, carrier, up;
	uint32_t carrier_downs;
};

static int fabric_slot_run_look(struct job *job)
{
	struct fabric_slot_look *look = container_of(job, struct fabric_slot_look, job);
	char name[CONFIG_LINK_SIZE];
	struct kern_link link;

	if (look->veth_known) {
		look->has_veth = look->up = true;
	} else if (kern_link_get(fabric_job_host(job), KERN_LINK_HERE, config_veth_name(look->layout, look->slot, name),
				 &link, &job->err) == 0) {
		look->has_veth = link.group == look->layout->link_group;
		look->up = link.flags & IFF_UP;
	} else if (job->err.code != ENODEV) {
		return -1;
	}
	if (look->nsid < 0)
		return 0;
	if (kern_link_get(fabric_job_host(job), look->nsid, TAP_NAME, &link, &job->err) == 0) {
		look->has_tap = link.tap;
		look->carrier = link.tap && link.carrier;
		look->carrier_downs = link.carrier_downs;
		look->up &= (link.flags & IFF_UP) != 0;
	} else if (job->err.code != ENODEV && job->err.code != EINVAL) {
		return -1;
	}
	return 0;
}

static void fabric_slot_report_carrier(struct slot *slot, bool carrier, uint32_t downs)
{
	const struct fabric_watcher *watcher = &slot->fabric->watcher;

	if (slot->carrier == carrier)
		return;
	slot->carrier = carrier;
	watcher->carrier(watcher->context, slot->number, carrier, fabric_slot_carrier_downs(downs));
}

/* The carrier went since the last look that saw it. The messages about that may come after this look, and are none to it then. */
static bool fabric_slot_has_blinked(const struct slot *slot, const struct fabric_slot_look *look)
{
	return slot->carrier && look->has_tap && slot->carrier_downs != CARRIER_DOWNS_UNKNOWN &&
	       (int32_t)(look->carrier_downs - slot->carrier_downs) > 0;
}

static void fabric_slot_judge_live(struct slot *slot, const struct fabric_slot_look *look)
{
	bool lost_under_vm = !look->has_tap && slot->carrier && !slot->tap_was_free;

	slot->blinked |= fabric_slot_has_blinked(slot, look);
	/* An event that came during this look may be newer than its answer, and the next look follows at once. */
	if (slot->blinked && look->carrier && slot->look_more)
		return;
	if (slot->blinked && look->carrier)
		fabric_slot_report_carrier(slot, false, look->carrier_downs);
	slot->blinked = false;
	slot->tap_was_free &= !look->has_tap;
	slot->carrier_downs = look->has_tap ? look->carrier_downs : CARRIER_DOWNS_UNKNOWN;
	fabric_slot_report_carrier(slot, look->has_tap && look->carrier, slot->carrier_downs);
	if (lost_under_vm)
		fabric_slot_fail(slot, FAILURE_TAP, FAILURE_TAP_REASON);
	else if (slot->phase == SLOT_FAILED || !look->has_veth || !look->has_tap || !look->up)
		fabric_slot_repair(slot);
}

static void fabric_slot_judge_unused(struct slot *slot, const struct fabric_slot_look *look)
{
	if (look->has_veth && look->has_tap && look->up && !look->carrier && !slot->blinked)
		return;
	/* It was altered while no sandbox had it, so it may not be as the pool's plan says. */
	slot_become(slot, SLOT_LEAVING, "altered while no sandbox had it");
}

static void fabric_slot_judge(struct slot *slot, const struct fabric_slot_look *look)
{
	switch (slot->phase) {
	case SLOT_LIVE:
	case SLOT_FAILED:
	case SLOT_KEPT:
		fabric_slot_judge_live(slot, look);
		break;
	case SLOT_READY:
	case SLOT_SILENCING:
	case SLOT_QUARANTINE:
	case SLOT_RENEWING:
		fabric_slot_judge_unused(slot, look);
		break;
	case SLOT_DRAINING:
		if (!look->has_veth)
			slot_become(slot, SLOT_VANISHED, "its veth is gone");
		break;
	case SLOT_NEW:
	case SLOT_PREPARING:
	case SLOT_MAKING:
	case SLOT_ADOPTING:
	case SLOT_CLAIMING:
	case SLOT_LEAVING:
	case SLOT_TEARDOWN:
	case SLOT_STUCK:
	case SLOT_VANISHED:
	case SLOT_GONE:
	case SLOT_PHASES:
		break;
	}
}

static void fabric_slot_not_looked_at(struct slot *slot, const struct err *err)
{
	log_seldom(LOG_ERROR_LEVEL, "slot not looked at", F_UINT("slot", slot->number), F_STR("error", err->text));
	fabric_trouble_begin(slot, TROUBLE_LOOK, err);
}

static void fabric_slot_finish_look(struct job *job)
{
	struct fabric_slot_look *look = container_of(job, struct fabric_slot_look, job);
	struct fabric *fabric = look->fabric;
	struct slot *slot = fabric_slot_find(fabric, look->slot);

	if (slot) {
		if (slot->look == job)
			slot->look = NULL;
		if (job->failed && job->err.code != ECANCELED)
			fabric_slot_not_looked_at(slot, &job->err);
		if (!job->failed)
			fabric_trouble_end(slot, TROUBLE_LOOK);
		/* A slot that was forgotten and made again meanwhile has another namespace. */
		if (!job->failed && look->nsid == slot->nsid)
			fabric_slot_judge(slot, look);
	}
	slot = fabric_slot_find(fabric, look->slot);
	if (slot && slot->look_more)
		fabric_slot_look(slot);
	free(look);
}

static void fabric_slot_post_look(struct slot *slot, bool veth_known, enum job_urgency urgency)
{
	struct fabric *fabric = slot->fabric;
	struct fabric_slot_look *look;
	struct err err;

	if (fabric->stopping || slot->look) {
		slot->look_more = true;
		/* Something has happened by now: a look that stands behind thousands of removals is of no use. */
		if (slot->look && slot->look_urgency == JOB_REFILL && urgency == JOB_LOOK)
			fabric_job_thread_urge(fabric->builder, slot->look, JOB_REFILL, JOB_LOOK);
		return;
	}
	look = calloc(1, sizeof(*look));
	if (!look) {
		err_set(&err, ENOMEM, "look");
		fabric_slot_not_looked_at(slot, &err);
		return;
	}
	slot->look = &look->job;
	slot->look_urgency = urgency;
	slot->look_more = false;
	look->job.run = fabric_slot_run_look;
	look->job.finish = fabric_slot_finish_look;
	look->fabric = fabric;
	look->slot = slot->number;
	look->layout = slot->layout;
	look->nsid = slot->nsid;
	look->veth_known = veth_known;
	fabric_job_thread_post(fabric->builder, &look->job, urgency);
}

void fabric_slot_look(struct slot *slot)
{
	fabric_slot_post_look(slot, false, JOB_LOOK);
}

void fabric_slot_look_later(struct slot *slot)
{
	fabric_slot_post_look(slot, false, JOB_REFILL);
}

void fabric_slot_look_inside(struct slot *slot)
{
	fabric_slot_post_look(slot, !slot->veth_touched, JOB_LOOK);
}

void fabric_slot_look_at_all(struct fabric *fabric)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		if (fabric->slots[number])
			fabric_slot_look(fabric->slots[number]);
	}
}

void fabric_recheck(struct fabric *fabric, unsigned number)
{
	struct slot *slot = fabric_slot_find(fabric, number);

	if (!slot)
		return;
	fabric_slot_look(slot);
	fabric_suspect_slot(slot);
}
