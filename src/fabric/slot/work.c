/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a slot beside its links (links.c): tables, published ports, the route of the host address, the sandbox's name. Each may
 * be applied to a slot that has it already: then it looks first, and notes what it had to repair.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/fault.h"
#include "fabric/slot/flows.h"
#include "fabric/slot/plan.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void slot_build_init(struct slot_work *work, const struct config *config, struct kern_rtnl *host,
		     const struct fabric_plan *plan, unsigned mtu)
{
	memset(work, 0, sizeof(*work));
	work->config = config;
	work->layout = config_layout_or_new(config, plan->layout);
	work->host = host;
	work->plan = plan;
	work->mtu = plan->mtu ? plan->mtu : mtu;
	slot_list_init(&work->list, work->layout, plan, work->mtu);
	work->inside = (struct kern_rtnl)KERN_RTNL_CLOSED;
	work->netns_fd = -1;
	work->nsid = -1;
}

int slot_build_rules(struct slot_work *work, struct err *err)
{
	bool intact = false;

	if (work->adopting) {
		if (rules_slot_check(work->netns_fd, work->config, work->plan, &intact, err) < 0)
			return -1;
		if (intact)
			return 0;
		if (!slot_build_must(work, "nft table"))
			return 0;
		if (rules_slot_repair(work->netns_fd, work->config, work->plan, NULL, err) < 0)
			return -1;
		return slot_flows_renew_inside(work->netns_fd, work->config, work->plan, err);
	}
	return rules_slot_apply(work->netns_fd, work->config, work->plan, err);
}

int slot_build_publish(struct slot_work *work, struct err *err)
{
	const struct fabric_plan *plan = work->plan;
	struct err ignored;

	/* A new slot has no published ports, for those of its predecessor went with that. */
	if (!plan->nat_count && !work->adopting)
		return 0;
	if (rules_host_publish(work->layout, plan->slot, plan->nat, plan->nat_count, err) == 0)
		return 0;
	/* It may have been done if the kernel's answer was lost, and ports that lead to no slot would be in the next one's way. */
	if (!work->adopting)
		rules_host_publish(work->layout, plan->slot, NULL, 0, &ignored);
	return -1;
}

int slot_build_route(struct slot_work *work, struct err *err)
{
	struct kern_route route = work->list.to_sandbox;

	route.index = work->veth_index;
	if (work->adopting)
		return slot_build_check_route(work, work->host, &route, SLOT_ROUTE_NAME, err);
	/* On a new slot a foreign route is left alone. */
	route.shared = true;
	if (kern_route_ensure(work->host, &route, NULL, err) == 0)
		return 0;
	work->foreign = err->code == EEXIST;
	return -1;
}

static void slot_build_write_alias(const struct fabric_plan *plan, char alias[static KERN_LINK_ALIAS_SIZE])
{
	snprintf(alias, KERN_LINK_ALIAS_SIZE, "%s%s", KERN_LINK_ALIAS_PREFIX, plan->id);
}

bool slot_build_is_named(const struct fabric_plan *plan, const struct kern_link *veth)
{
	char alias[KERN_LINK_ALIAS_SIZE];

	slot_build_write_alias(plan, alias);
	return strcmp(alias, veth->alias) == 0;
}

int slot_build_alias(struct kern_rtnl *host, const struct config_layout *layout, const struct fabric_plan *plan,
		     bool *changed, struct err *err)
{
	char name[CONFIG_LINK_SIZE], alias[KERN_LINK_ALIAS_SIZE];
	struct kern_link link;

	config_veth_name(layout, plan->slot, name);
	if (kern_link_get(host, KERN_LINK_HERE, name, &link, err) < 0)
		return -1;
	*changed = !slot_build_is_named(plan, &link);
	if (!*changed)
		return 0;
	slot_build_write_alias(plan, alias);
	return kern_link_set_alias(host, link.index, name, alias, err);
}

int slot_build_fit(struct slot_work *work, const struct fabric_plan *former, struct err *err)
{
	int result = 0;

	work->adopting = true;
	if (kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	if (!slot_plan_same_owner(work->plan, former))
		result = slot_build_tap(work, err);
	if (result == 0 && !slot_plan_same_bandwidth(work->plan->bandwidth, former->bandwidth))
		result = slot_fault_check("rate", err) < 0 ? -1 : slot_build_limit(work, err);
	kern_rtnl_close(&work->inside);
	return result;
}
