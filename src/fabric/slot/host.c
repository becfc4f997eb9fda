/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects that all sandboxes share on the host. Each is looked at first and changed only where it differs, so that a daemon
 * that starts again disturbs nothing.
 */
#include "fabric/slot/host.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spares.h"
#include "base/vec.h"
#include "config/layouts.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/flows.h"
#include "fabric/slot/work.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FORWARD_PATH "/proc/sys/net/ipv4/ip_forward"

int slot_build_host_look_forwarding(bool *on, struct err *err)
{
	char value = '0';
	AUTO_FD int fd = SPARES_TRY(open(FORWARD_PATH, O_RDONLY | O_CLOEXEC));

	if (fd < 0 || pread(fd, &value, 1, 0) != 1)
		return err_set(err, errno, FORWARD_PATH);
	*on = value != '0';
	return 0;
}

int slot_build_host_forward(struct err *err)
{
	AUTO_FD int fd = SPARES_TRY(open(FORWARD_PATH, O_WRONLY | O_CLOEXEC));

	if (fd < 0 || pwrite(fd, "1", 1, 0) != 1)
		return err_set(err, errno, FORWARD_PATH ": enabling");
	return 0;
}

/* A read-only /proc/sys is fine as long as forwarding is on. */
static int slot_build_host_forwarding(const struct config *config, struct err *err)
{
	bool on = false;

	if (slot_build_host_look_forwarding(&on, err) < 0)
		return -1;
	if (on)
		return 0;
	if (config->host.ip_forward == HOST_FORWARD_REQUIRE)
		return err_set(err, 0,
			       "net.ipv4.ip_forward is 0, and [host] ip_forward = require: "
			       "set it (sysctl -w net.ipv4.ip_forward=1), or let weftd (ip_forward = enable)");
	if (slot_build_host_forward(err) < 0)
		return -1;
	log_info("net.ipv4.ip_forward was 0 and is now 1");
	return 0;
}

/* The first address of a range is no slot's, so that nothing but the route of the whole range should decide about it. */
static int slot_build_host_find_rival(struct kern_rtnl *host, const struct cidr4 *range,
				      struct slot_host_routes *routes, struct err *err)
{
	struct kern_route_rival rival;
	char text[CIDR4_TEXT_SIZE];

	if (routes->rivalled)
		return 0;
	if (kern_route_find_way(host, addr_cidr4_first(range), &rival, err) < 0)
		return -1;
	if (!rival.present)
		return 0;
	routes->rivalled = true;
	slot_build_name_rival(host, &rival, &routes->rival);
	snprintf(routes->rival.what, sizeof(routes->rival.what), "unreachable route of %s",
		 addr_cidr4_format(range, text));
	return 0;
}

int slot_build_host_routes(struct kern_rtnl *host, const struct config *config, struct slot_host_routes *routes,
			   struct err *err)
{
	struct cidr4 ranges[2 * CONFIG_LAYOUTS_MAX];
	size_t count = config_layout_ranges(config, ranges);

	*routes = (struct slot_host_routes){ 0 };
	for (size_t i = 0; i < count; i++) {
		struct kern_route route = { .to = { addr_cidr4_first(&ranges[i]), ranges[i].length } };
		bool one;

		if (kern_route_ensure(host, &route, &one, err) < 0 ||
		    slot_build_host_find_rival(host, &route.to, routes, err) < 0)
			return -1;
		routes->added |= one;
	}
	return 0;
}

struct host_ranges {
	VEC_OF(struct cidr4);
	bool no_memory;
};

static void slot_build_host_keep_range(void *context, const struct kern_route_entry *entry)
{
	struct host_ranges *ranges = context;
	struct cidr4 *kept;

	if (!kern_route_is_our_unreachable(entry))
		return;
	kept = vec_push(ranges);
	if (kept)
		*kept = entry->to;
	else
		ranges->no_memory = true;
}

int slot_build_host_routes_remove(struct kern_rtnl *host, unsigned *removed, struct err *err)
{
	struct host_ranges ranges = { 0 };
	int result = kern_route_dump(host, slot_build_host_keep_range, &ranges, err);

	*removed = 0;
	if (result == 0 && ranges.no_memory)
		result = err_set(err, ENOMEM, "routes");
	for (size_t i = 0; result == 0 && i < ranges.count; i++) {
		struct kern_route route = { .to = ranges.items[i] };
		bool one = false;

		result = kern_route_remove(host, &route, &one, err);
		*removed += one;
	}
	vec_free(&ranges);
	return result;
}

int slot_build_host_forget(struct kern_rtnl *host, const struct config *config, const struct config_layout *layout,
			   struct err *err)
{
	const struct cidr4 *const former[] = { &layout->host_cidr, &layout->veth_cidr };
	struct cidr4 ranges[2 * CONFIG_LAYOUTS_MAX];
	size_t count = config_layout_ranges(config, ranges);

	for (size_t i = 0; i < sizeof(former) / sizeof(former[0]); i++) {
		struct kern_route route = { .to = { addr_cidr4_first(former[i]), former[i]->length } };
		bool needed = false;

		for (size_t j = 0; j < count; j++)
			needed |= addr_cidr4_equal(&ranges[j], former[i]);
		if (!needed && kern_route_remove(host, &route, NULL, err) < 0)
			return -1;
	}
	return 0;
}

int slot_build_host(struct kern_rtnl *host, const struct config *config, struct err *err)
{
	struct slot_host_routes routes;
	bool intact;

	if (kern_namespace_prepare_directory(config->layout.netns_dir, err) < 0 ||
	    slot_build_host_forwarding(config, err) < 0)
		return -1;
	/* Rules come before routes, so that no address of ours is reachable without them. */
	if (rules_host_check(config, &intact, err) < 0)
		return -1;
	/* A former run had other rules, or they are gone. */
	if (!intact && (rules_host_renew(config, err) < 0 || slot_flows_renew_outside(config, err) < 0))
		return -1;
	return slot_build_host_routes(host, config, &routes, err);
}

int slot_build_host_mtu(struct kern_rtnl *host, const struct config *config, int *uplink, unsigned *mtu,
			struct err *err)
{
	struct kern_link link;
	int result;

	*uplink = 0;
	if (config->layout.mtu) {
		*mtu = config->layout.mtu;
		return 0;
	}
	if (config->addresses.uplink) {
		result = kern_link_get(host, KERN_LINK_HERE, config->addresses.uplink, &link, err);
	} else if (kern_route_default_link(host, uplink, err) < 0) {
		return -1;
	} else if (!*uplink) {
		return 0;
	} else {
		result = kern_link_get_index(host, *uplink, &link, err);
	}
	if (result == 0) {
		*uplink = link.index;
		*mtu = link.mtu;
	} else if (err->code != ENODEV) {
		return -1;
	} else {
		*uplink = 0;
	}
	return 0;
}
