/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a used slot new. Nothing of the former tenant may survive, so everything it could have left is either looked for or
 * made anew. The rules with their counters are replaced whole, tracked flows are forgotten and then counted, and sockets are
 * ended. A part that is not as the list has it, or anything that the list does not have (clean.c), is reason enough to give the slot up.
 * The TAP has to be free before and after.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/answers.h"
#include "fabric/slot/clean.h"
#include "kernel/conntrack.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/sock_kill.h"
#include "kernel/tap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int slot_renew_silence(struct slot_work *work, bool published, struct err *err)
{
	unsigned slot = work->plan->slot;
	struct kern_route route = {
		.to = { .ip = config_host_ip(work->layout, slot), .length = 32 },
		.gateway = config_veth_guest_ip(work->layout, slot),
	};
	char name[CONFIG_LINK_SIZE];
	struct kern_link link;

	config_veth_name(work->layout, slot, name);
	if (kern_link_get(work->host, KERN_LINK_HERE, name, &link, err) < 0)
		return -1;
	route.index = link.index;
	if (kern_route_remove(work->host, &route, NULL, err) < 0)
		return -1;
	if (published && rules_host_publish(work->layout, slot, NULL, 0, err) < 0)
		return -1;
	if (work->plan->paused && rules_host_wake(work->layout, slot, work->plan->wake, NULL, err) < 0)
		return -1;
	if (link.alias[0] && kern_link_set_alias(work->host, link.index, name, "", err) < 0)
		return -1;
	return kern_conntrack_flush_host(route.to.ip, err);
}

/* Without an owner in the plan the TAP must never have had one, for the kernel cannot take an owner away. */
static int slot_renew_own_tap(struct slot_work *work, const struct kern_link *tap, struct err *err)
{
	const struct fabric_plan *plan = work->plan;
	struct kern_tap_owner owner = { .uid = plan->tap_uid, .gid = plan->tap_gid };

	if (!plan->has_tap_owner && (tap->owner != (uid_t)-1 || tap->owner_group != (gid_t)-1))
		return err_set(err, EPERM, "link %s belongs to somebody", TAP_NAME);
	if (!plan->has_tap_owner || (tap->owner == owner.uid && tap->owner_group == owner.gid))
		return 0;
	return kern_tap_make(work->netns_fd, &owner, err);
}

static int slot_renew_expect_free(struct slot_work *work, struct err *err)
{
	struct kern_link tap;

	if (kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &tap, err) < 0)
		return -1;
	if (tap.carrier)
		return err_set(err, EBUSY, "link %s is in use", TAP_NAME);
	/* On older kernels, to set the owner raises the carrier for a moment. */
	if (slot_renew_own_tap(work, &tap, err) < 0 ||
	    kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &tap, err) < 0)
		return -1;
	work->carrier_downs = tap.carrier_downs;
	return 0;
}

/* All that the slot is made of is as the former tenant got it, and there is nothing else. */
static int slot_renew_expect_unaltered(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_build_host_end,
		slot_build_inside,
		slot_build_tap,
		slot_build_limit,
	};
	struct slot_list wanted = work->list;

	slot_list_put_limits(&work->list, work->former->bandwidth);
	work->looking = true;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i](work, err) < 0)
			return -1;
	work->looking = false;
	work->list = wanted;
	if (work->repaired[0])
		return err_set(err, 0, "altered: %s", work->repaired);
	if (work->rivalled)
		return err_set(err, EEXIST, "another's route or rule in front of the %s", work->rival.what);
	return slot_clean_check(work, err);
}

static int slot_renew_route(struct slot_work *work, struct err *err)
{
	/* The second time it is there, and what stands in front of it shows. */
	if (slot_build_route(work, err) < 0 || slot_build_route(work, err) < 0)
		return -1;
	return work->rivalled ? err_set(err, EEXIST, "another's route to the host address") : 0;
}

static int slot_renew_expect_no_flows(struct slot_work *work, struct err *err)
{
	unsigned flows;

	if (kern_sock_kill_all(work->netns_fd, err) < 0 || kern_conntrack_flush(work->netns_fd, err) < 0 ||
	    kern_conntrack_count(work->netns_fd, &flows, err) < 0)
		return -1;
	return flows ? err_set(err, 0, "%u tracked flows are left", flows) : 0;
}

static int slot_renew_parts(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_renew_expect_free,
		slot_renew_expect_no_flows,
		slot_renew_expect_unaltered,
		slot_build_limit,
	};

	if (kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	if (work->former->paused && slot_answers_set(work->netns_fd, false, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i](work, err) < 0)
			return -1;
	if (rules_slot_apply(work->netns_fd, work->config, work->plan, err) < 0 ||
	    rules_host_forget(work->veth_index, err) < 0)
		return -1;
	return slot_renew_route(work, err);
}

int slot_renew_slot(struct slot_work *work, struct err *err)
{
	int result;

	if (slot_adopt_unchanged(work, err) < 0)
		return -1;
	work->adopting = true;
	result = slot_renew_parts(work, err);
	kern_rtnl_close(&work->inside);
	close(work->netns_fd);
	work->netns_fd = -1;
	return result < 0 ? err_wrap(err, "slot %u", work->plan->slot) : 0;
}
