/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a slot. Events only say that something happened; what is the case now, the builder asks of the kernel, from a
 * socket of the host, without entering the namespace. Events that come while a look is under way make one more.
 *
 * What a look finds is compared with what was told last, so that nothing is told twice and a hint that was wrong is not told at
 * all. A carrier that an event saw go and a look found back is told as both: another VM may have taken the TAP.
 */
#include "fabric/state.h"

#include "base/log.h"
#include "fabric/slot/work.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

struct slot_look {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	int nsid;
	bool veth_known; /* to be as it should: not asked for */
	bool has_veth, has_tap, carrier, up;
	uint32_t carrier_downs;
};

static int run_look(struct job *job)
{
	struct slot_look *look = (struct slot_look *)job;
	const struct config *config = look->fabric->config;
	char name[CONFIG_LINK_SIZE];
	struct link_info link;

	if (look->veth_known) {
		look->has_veth = look->up = true;
	} else if (link_get(job_host(job), LINK_HERE, config_veth_name(config, look->slot, name), &link, &job->err) ==
		   0) {
		look->has_veth = link.group == config->names.link_group;
		look->up = link.flags & IFF_UP;
	} else if (job->err.code != ENODEV) {
		return -1;
	}
	if (look->nsid < 0)
		return 0;
	if (link_get(job_host(job), look->nsid, TAP_NAME, &link, &job->err) == 0) {
		look->has_tap = true;
		look->carrier = link.carrier;
		look->carrier_downs = link.carrier_downs;
		look->up &= (link.flags & IFF_UP) != 0;
	} else if (job->err.code != ENODEV && job->err.code != EINVAL) {
		return -1;
	}
	return 0;
}

static void tell_carrier(struct fabric *fabric, struct slot *slot, bool carrier)
{
	if (slot->carrier == carrier)
		return;
	slot->carrier = carrier;
	fabric->watcher.carrier(fabric->watcher.context, slot->number, carrier);
}

static void tell_broken(struct fabric *fabric, struct slot *slot, const char *what)
{
	if (slot->broken)
		return;
	slot->broken = true;
	log_error("slot broken", F_STR("sandbox", slot_sandbox(slot)), F_UINT("slot", slot->number),
		  F_STR("what", what));
	fabric->watcher.broken(fabric->watcher.context, slot->number, what);
}

static void judge_live(struct fabric *fabric, struct slot *slot, const struct slot_look *look)
{
	bool lost_under_vm = !look->has_tap && slot->carrier;

	/* An event that came during this look may be younger than what it saw: the next look, which follows, knows better. */
	if (slot->blinked && look->carrier && slot->look_more)
		return;
	if (slot->blinked && look->carrier)
		tell_carrier(fabric, slot, false);
	slot->blinked = false;
	slot->carrier_downs = look->has_tap ? look->carrier_downs : CARRIER_DOWNS_UNKNOWN;
	tell_carrier(fabric, slot, look->has_tap && look->carrier);
	if (slot->phase != SLOT_LIVE)
		return;
	if (lost_under_vm)
		tell_broken(fabric, slot, "tap0 was deleted under the VM");
	else if (!look->has_veth || !look->has_tap || !look->up)
		fabric_repair(fabric, slot);
}

static void judge(struct fabric *fabric, struct slot *slot, const struct slot_look *look)
{
	switch (slot->phase) {
	case SLOT_MAKING:
		break;
	case SLOT_LIVE:
	case SLOT_KEPT:
		judge_live(fabric, slot, look);
		break;
	case SLOT_READY:
	case SLOT_QUARANTINE:
		/* Somebody played with a slot that nobody has: it is not what the next tenant is promised. */
		if (look->has_veth && look->has_tap && look->up && !look->carrier && !slot->blinked)
			break;
		if (slot->phase == SLOT_READY)
			pool_remove_ready(fabric->pool, slot);
		timer_stop(&slot->patience);
		fabric_start_going(fabric, slot, slot->gone, slot->gone_context);
		break;
	case SLOT_GOING:
		if (!look->has_veth && !slot->vanished && slot->apart)
			fabric_slot_vanished(fabric, slot);
		break;
	}
}

static void finish_look(struct job *job)
{
	struct slot_look *look = (struct slot_look *)job;
	struct fabric *fabric = look->fabric;
	struct slot *slot = slot_find(fabric, look->slot);

	if (slot) {
		slot->looking = false;
		if (slot->late_look == job)
			slot->late_look = NULL;
		if (job->failed && job->err.code != ECANCELED)
			log_seldom(LOG_ERROR_LEVEL, "slot not looked at", F_UINT("slot", slot->number),
				   F_STR("error", job->err.text));
		/* A slot that was forgotten and made again meanwhile has another namespace. */
		if (!job->failed && look->nsid == slot->nsid)
			judge(fabric, slot, look);
	}
	slot = slot_find(fabric, look->slot);
	if (slot && slot->look_more)
		fabric_look(fabric, slot);
	free(look);
}

static void look_at(struct fabric *fabric, struct slot *slot, bool veth_known, enum job_urgency urgency)
{
	struct slot_look *look;

	if (fabric->stopping || slot->looking) {
		slot->look_more = true;
		/* Something has happened by now: a look that stands behind thousands of removals is of no use. */
		if (slot->late_look && urgency == JOB_LOOK)
			job_thread_urge(fabric->builder, slot->late_look, JOB_REFILL, JOB_LOOK);
		return;
	}
	look = calloc(1, sizeof(*look));
	if (!look) {
		log_seldom(LOG_ERROR_LEVEL, "slot not looked at: no memory", F_UINT("slot", slot->number));
		return;
	}
	slot->looking = true;
	slot->look_more = false;
	look->job.run = run_look;
	look->job.finish = finish_look;
	look->fabric = fabric;
	look->slot = slot->number;
	look->nsid = slot->nsid;
	look->veth_known = veth_known;
	slot->late_look = urgency == JOB_REFILL ? &look->job : NULL;
	job_thread_post(fabric->builder, &look->job, urgency);
}

void fabric_look(struct fabric *fabric, struct slot *slot)
{
	look_at(fabric, slot, false, JOB_LOOK);
}

void fabric_look_later(struct fabric *fabric, struct slot *slot)
{
	look_at(fabric, slot, false, JOB_REFILL);
}

void fabric_look_inside(struct fabric *fabric, struct slot *slot)
{
	look_at(fabric, slot, !slot->veth_touched, JOB_LOOK);
}

void fabric_look_at_all(struct fabric *fabric)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		if (fabric->slots[number])
			fabric_look(fabric, fabric->slots[number]);
	}
}

void fabric_recheck(struct fabric *fabric, unsigned number)
{
	struct slot *slot = slot_find(fabric, number);

	if (!slot)
		return;
	fabric_look(fabric, slot);
	patrol_suspect(fabric->patrol, slot);
}

/* ---- repair ---- */

struct repair {
	struct job job;
	struct fabric *fabric;
	unsigned slot;
	struct plan_share *plan;
	int netns_fd;
	bool attached; /* as was told last */
	struct slot_work work;
};

static int run_repair(struct job *job)
{
	struct repair *repair = (struct repair *)job;

	slot_work_init(&repair->work, repair->fabric->config, job_host(job), repair->plan->plan, repair->work.mtu);
	repair->work.netns_fd = repair->netns_fd;
	repair->work.attached = repair->attached;
	return slot_repair(&repair->work, &job->err);
}

static void finish_repair(struct job *job)
{
	struct repair *repair = (struct repair *)job;
	struct fabric *fabric = repair->fabric;
	struct slot *slot = slot_find(fabric, repair->slot);

	if (slot && slot->phase == SLOT_LIVE && slot->plan == repair->plan) {
		slot->repairing = false;
		if (job->failed && job->err.code != ECANCELED) {
			/* The VM may have ended while the repair waited: then nothing is made under it. */
			if (repair->attached && !slot->carrier)
				fabric_repair(fabric, slot);
			else
				tell_broken(fabric, slot, job->err.text);
		} else if (!job->failed) {
			slot->veth_index = repair->work.veth_index;
			/* Rules that hang on a link went with it. */
			if (repair->work.repaired[0])
				patrol_suspect(fabric->patrol, slot);
			if (repair->work.repaired[0])
				fabric->watcher.repaired(fabric->watcher.context, slot->number, repair->work.repaired);
		}
	} else if (slot) {
		slot->repairing = false;
	}
	plan_share_release(repair->plan);
	close(repair->netns_fd);
	free(repair);
}

void fabric_repair(struct fabric *fabric, struct slot *slot)
{
	struct repair *repair;
	struct err err;
	int netns_fd;

	if (slot->repairing || slot->broken || slot->phase != SLOT_LIVE || !slot->plan)
		return;
	netns_fd = slot_open_netns(fabric, slot, &err);
	if (netns_fd < 0) {
		tell_broken(fabric, slot, err.text);
		return;
	}
	repair = calloc(1, sizeof(*repair));
	if (!repair) {
		close(netns_fd);
		return;
	}
	slot->repairing = true;
	repair->job.run = run_repair;
	repair->job.finish = finish_repair;
	repair->fabric = fabric;
	repair->slot = slot->number;
	repair->plan = plan_share_hold(slot->plan);
	repair->netns_fd = netns_fd;
	/* Its address went with a TAP that is deleted, and who hears of that first comes here before any look. */
	repair->attached = slot->carrier;
	repair->work.mtu = slot->mtu;
	job_thread_post(fabric->builder, &repair->job, JOB_CLAIM);
}
