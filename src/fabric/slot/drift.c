/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk of a repair, told to look alone. The limits inside count as the TAP's. */
#include "fabric/slot/drift.h"

#include "base/err.h"
#include "fabric/slot/clean.h"
#include "fabric/slot/work.h"
#include "kernel/link.h"

#include <stdio.h>

static int slot_drift_walk(struct slot_work *work, enum slot_drift_scope scope, struct err *err)
{
	switch (scope) {
	case DRIFT_VETH:
	case DRIFT_ROUTES:
		if (slot_build_host_end(work, err) < 0 || slot_build_eth0(work, err) < 0)
			return -1;
		if (scope == DRIFT_VETH)
			return 0;
		work->repaired[0] = '\0';
		return slot_build_route(work, err) < 0 ? -1 : slot_build_way_out(work, err);
	case DRIFT_TAP:
		break;
	}
	if (kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	return slot_build_tap(work, err) < 0 ? -1 : slot_build_limit(work, err);
}

int slot_drift_look(const struct config *config, const struct fabric_plan *plan, int netns_fd,
		    enum slot_drift_scope scope, struct slot_drift *drift, struct err *err)
{
	struct kern_rtnl host;
	struct slot_work work;
	int result;

	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	slot_build_init(&work, config, &host, plan, 0);
	work.netns_fd = netns_fd;
	work.adopting = work.looking = true;
	result = slot_drift_walk(&work, scope, err);
	kern_rtnl_close(&work.inside);
	kern_rtnl_close(&host);
	*drift = (struct slot_drift){ .rivalled = work.rivalled, .rival = work.rival };
	snprintf(drift->parts, sizeof(drift->parts), "%s", work.repaired);
	return result;
}

int slot_drift_find_foreign(const struct config *config, const struct fabric_plan *plan, int netns_fd,
			    char foreign[static SLOT_FOREIGN_SIZE], struct err *err)
{
	struct kern_rtnl host;
	struct kern_link veth;
	struct slot_work work;
	int result = -1;

	foreign[0] = '\0';
	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	slot_build_init(&work, config, &host, plan, 0);
	work.netns_fd = netns_fd;
	if (kern_link_get(&host, KERN_LINK_HERE, work.list.links[PLACE_VETH].name, &veth, err) == 0 &&
	    kern_rtnl_open(&work.inside, netns_fd, NETLINK_ROUTE, err) == 0) {
		work.veth_index = veth.index;
		result = slot_clean_find(&work, foreign, err);
	}
	kern_rtnl_close(&work.inside);
	kern_rtnl_close(&host);
	return result;
}
