/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removing all that is ours, for `weftd --cleanup`, without threads and loop. Names go first, so that the kernel drops most slots
 * by itself; links that are there after a second are deleted. The slots that VMs run on can be listed before.
 */
#include "fabric/fabric.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/destroy.h"
#include "fabric/slot/host.h"
#include "fabric/slot/scan.h"
#include "fabric/teardown.h"
#include "kernel/conntrack.h"
#include "kernel/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

struct cleaning {
	const struct config *config;
	struct kern_rtnl host;
	struct scan scan;
	void (*removed)(void *context, const char *what);
	void *context;
};

static void fabric_report_removal(struct cleaning *cleaning, const char *format, const char *name)
{
	char what[CONFIG_PATH_SIZE + 64];

	snprintf(what, sizeof(what), format, name);
	if (cleaning->removed)
		cleaning->removed(cleaning->context, what);
}

static bool fabric_veth_is_there(struct cleaning *cleaning, const struct fabric_found *found)
{
	char name[CONFIG_LINK_SIZE];
	struct kern_link link;
	struct err ignored;

	return kern_link_get(&cleaning->host, KERN_LINK_HERE, config_veth_name(found->layout, found->slot, name), &link,
			     &ignored) == 0 &&
	       link.group == found->layout->link_group;
}

/* Waits until the veths of FROM..TO are gone, for a second at most. */
static void fabric_await_lot(struct cleaning *cleaning, size_t from, size_t to)
{
	uint64_t deadline = clock_now_ms() + TEARDOWN_TIMEOUT_MS;

	for (size_t i = from; i < to; i++) {
		while (fabric_veth_is_there(cleaning, &cleaning->scan.found.items[i]) && clock_now_ms() < deadline)
			poll(NULL, 0, 2);
	}
}

static int fabric_clean_slot(struct cleaning *cleaning, const struct fabric_found *found, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	struct slot_remains remains = {
		.slot = found->slot, .layout = found->layout, .nsid = -1, .published = true, .leftovers = true
	};

	if (slot_destroy_slot(&cleaning->host, &remains, err) < 0)
		return -1;
	if (remains.had_name)
		fabric_report_removal(cleaning, "namespace %s", config_netns_path(found->layout, found->slot, path));
	return 0;
}

static int fabric_clean_links(struct cleaning *cleaning, const struct fabric_found *found, struct err *err)
{
	char name[CONFIG_LINK_SIZE];
	struct slot_remains remains = { .slot = found->slot, .layout = found->layout, .nsid = -1 };

	if (slot_destroy_links(&cleaning->host, &remains, err) < 0)
		return -1;
	if (kern_conntrack_flush_host(config_host_ip(found->layout, found->slot), err) < 0)
		return -1;
	fabric_report_removal(cleaning, "link %s", config_veth_name(found->layout, found->slot, name));
	return 0;
}

static int fabric_clean_slots(struct cleaning *cleaning, struct err *err)
{
	if (slot_scan_host(&cleaning->host, cleaning->config, &cleaning->scan, err) < 0)
		return -1;
	for (size_t from = 0; from < cleaning->scan.found.count; from += TEARDOWN_LOT) {
		size_t to =
		    from + TEARDOWN_LOT < cleaning->scan.found.count ? from + TEARDOWN_LOT : cleaning->scan.found.count;

		for (size_t i = from; i < to; i++) {
			if (fabric_clean_slot(cleaning, &cleaning->scan.found.items[i], err) < 0)
				return -1;
		}
		fabric_await_lot(cleaning, from, to);
		for (size_t i = from; i < to; i++) {
			if (fabric_clean_links(cleaning, &cleaning->scan.found.items[i], err) < 0)
				return -1;
		}
	}
	return 0;
}

/* The rules are the floor of every guest: they stay as long as a link of ours is left. */
static int fabric_expect_no_links(struct cleaning *cleaning, struct err *err)
{
	slot_scan_clear(&cleaning->scan);
	if (slot_scan_host(&cleaning->host, cleaning->config, &cleaning->scan, err) < 0)
		return -1;
	if (!cleaning->scan.found.count)
		return 0;
	return err_set(err, EBUSY, "%zu links of sandboxes are left, and the host's rules with them; first: slot %u",
		       cleaning->scan.found.count, cleaning->scan.found.items[0].slot);
}

static int fabric_clean_host(struct cleaning *cleaning, struct err *err)
{
	unsigned routes;
	bool table;

	if (fabric_expect_no_links(cleaning, err) < 0)
		return -1;
	/* The routes go after the slots and the rules last, so that nothing is open in between. */
	if (slot_build_host_routes_remove(&cleaning->host, &routes, err) < 0)
		return -1;
	if (routes)
		fabric_report_removal(cleaning, "%s", "unreachable routes");
	if (rules_host_remove(&table, err) < 0)
		return -1;
	if (table)
		fabric_report_removal(cleaning, "%s", "nft table inet weft");
	return 0;
}

int fabric_cleanup(const struct config *config, void (*removed)(void *context, const char *what), void *context,
		   struct err *err)
{
	struct cleaning cleaning = {
		.config = config, .host = KERN_RTNL_CLOSED, .removed = removed, .context = context
	};
	int result;

	if (kern_rtnl_open(&cleaning.host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	result = fabric_clean_slots(&cleaning, err);
	if (result == 0)
		result = fabric_clean_host(&cleaning, err);
	slot_scan_clear(&cleaning.scan);
	kern_rtnl_close(&cleaning.host);
	return result;
}

int fabric_list_live(const struct config *config, void (*live)(void *context, const struct fabric_found *found),
		     void *context, struct err *err)
{
	struct kern_rtnl host = KERN_RTNL_CLOSED;
	struct scan scan = { 0 };
	int result;

	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	result = slot_scan_host(&host, config, &scan, err);
	for (size_t i = 0; result == 0 && i < scan.found.count; i++) {
		if (scan.found.items[i].carrier)
			live(context, &scan.found.items[i]);
	}
	slot_scan_clear(&scan);
	kern_rtnl_close(&host);
	return result;
}
