/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a slot, from the host's end to the guest's. Each may be applied to a slot that has it already: then it looks
 * first, and notes what it had to repair.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/fault.h"
#include "fabric/slot/flows.h"
#include "fabric/slot/plan.h"
#include "kernel/address.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/neighbour.h"
#include "kernel/qdisc.h"
#include "kernel/tap.h"

#include <errno.h>
#include <net/if.h>
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
	work->mtu = mtu;
	work->inside = (struct kern_rtnl)KERN_RTNL_CLOSED;
	work->netns_fd = -1;
	work->nsid = -1;
}

void slot_build_note_repair(struct slot_work *work, const char *what)
{
	size_t used = strlen(work->repaired);

	if (work->adopting)
		snprintf(work->repaired + used, sizeof(work->repaired) - used, "%s%s", used ? ", " : "", what);
}

static struct cidr4 slot_build_with_length(uint32_t ip, uint8_t length)
{
	return (struct cidr4){ .ip = ip, .length = length };
}

int slot_build_veth(struct slot_work *work, struct err *err)
{
	char name[CONFIG_LINK_SIZE];
	unsigned slot = work->plan->slot;
	struct kern_veth veth = {
		.name = config_veth_name(work->layout, slot, name),
		.peer = INSIDE_NAME,
		.mac = config_veth_host_mac(slot),
		.peer_mac = config_veth_guest_mac(slot),
		.peer_fd = work->netns_fd,
		.mtu = work->mtu,
		.group = work->layout->link_group,
	};

	if (kern_link_make_veth(work->host, &veth, err) == 0)
		return 0;
	work->foreign = err->code == EEXIST;
	return -1;
}

int slot_build_name(struct slot_work *work, struct err *err)
{
	char path[CONFIG_PATH_SIZE];

	if (kern_namespace_bind(config_netns_path(work->layout, work->plan->slot, path), work->netns_fd, err) == 0)
		return 0;
	work->foreign = err->code == EEXIST;
	return -1;
}

int slot_build_host_end(struct slot_work *work, struct err *err)
{
	unsigned slot = work->plan->slot;
	struct cidr4 address = slot_build_with_length(config_veth_host_ip(work->layout, slot), 31);
	struct mac mac = config_veth_guest_mac(slot);
	char name[CONFIG_LINK_SIZE];
	struct kern_link link;
	bool added;

	config_veth_name(work->layout, slot, name);
	if (work->veth)
		link = *work->veth;
	else if (kern_link_get(work->host, KERN_LINK_HERE, name, &link, err) < 0)
		return -1;
	work->veth_index = link.index;
	if (!(link.flags & IFF_UP)) {
		slot_build_note_repair(work, "veth down");
		if (kern_link_no_ipv6(name, err) < 0)
			return -1;
	}
	if ((!(link.flags & IFF_UP) || !link.forwarding) &&
	    kern_link_up_forwarding(work->host, link.index, name, err) < 0)
		return -1;
	if (kern_address_ensure(work->host, link.index, &address, &added, err) < 0)
		return err_wrap(err, "link %s", name);
	if (added)
		slot_build_note_repair(work, "address of the veth");
	if (kern_neighbour_ensure(work->host, link.index, config_veth_guest_ip(work->layout, slot), &mac, err) < 0)
		return err_wrap(err, "link %s", name);
	return 0;
}

/* A queue discipline that the kernel gives a link by itself limits nothing, and cannot be taken away. */
static void slot_build_note_link(struct slot_link *noted, const struct kern_link *link)
{
	static const char *const plain[] = { "noqueue", "fq_codel", "pfifo_fast", "fq", "mq" };

	*noted = (struct slot_link){ .index = link->index };
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		noted->unlimited |= strcmp(link->qdisc, plain[i]) == 0;
}

static int slot_build_inside_link(struct slot_work *work, struct err *err)
{
	unsigned slot = work->plan->slot;
	struct cidr4 address = slot_build_with_length(config_veth_guest_ip(work->layout, slot), 31);
	struct kern_route route = { .gateway = config_veth_host_ip(work->layout, slot) };
	struct mac mac = config_veth_host_mac(slot);
	struct kern_link link;
	bool added;

	if (kern_link_get(&work->inside, KERN_LINK_HERE, INSIDE_NAME, &link, err) < 0)
		return -1;
	slot_build_note_link(&work->eth0, &link);
	if (!(link.flags & IFF_UP) || !link.forwarding) {
		slot_build_note_repair(work, "eth0 down or not forwarding");
		if (kern_link_up_forwarding(&work->inside, link.index, INSIDE_NAME, err) < 0)
			return -1;
	}
	if (kern_address_ensure(&work->inside, link.index, &address, &added, err) < 0)
		return -1;
	if (added)
		slot_build_note_repair(work, "address of eth0");
	if (kern_neighbour_ensure(&work->inside, link.index, route.gateway, &mac, err) < 0)
		return -1;
	route.index = link.index;
	if (kern_route_ensure(&work->inside, &route, &added, err) < 0)
		return -1;
	if (added)
		slot_build_note_repair(work, "default route inside");
	return 0;
}

int slot_build_inside(struct slot_work *work, struct err *err)
{
	struct kern_link link;

	if (!kern_rtnl_is_open(&work->inside) && kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	if (kern_link_get(&work->inside, KERN_LINK_HERE, "lo", &link, err) < 0)
		return -1;
	if (!(link.flags & IFF_UP)) {
		slot_build_note_repair(work, "lo down");
		if (kern_link_up(&work->inside, link.index, "lo", err) < 0)
			return -1;
	}
	return slot_build_inside_link(work, err);
}

/* Makes the TAP if there is none, and gives it its owner if another has it and no VM lives on it. */
static int slot_build_ensure_tap(struct slot_work *work, struct kern_link *link, struct err *err)
{
	const struct fabric_plan *plan = work->plan;
	struct kern_tap_owner owner = { .uid = plan->tap_uid, .gid = plan->tap_gid };
	bool there = kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, link, err) == 0;

	if (!there && err->code != ENODEV)
		return -1;
	if (!there && work->attached) {
		work->failure = FAILURE_TAP;
		return err_set(err, 0, FAILURE_TAP_REASON);
	}
	if (there && !link->tap) {
		work->failure = FAILURE_LINK;
		err_set(err, 0, "link %s is no TAP", TAP_NAME);
		err->code = EEXIST; /* whose text would say no more */
		return -1;
	}
	if (there && (link->carrier || !plan->has_tap_owner ||
		      (link->owner == plan->tap_uid && link->owner_group == plan->tap_gid)))
		return 0;
	slot_build_note_repair(work, there ? "owner of tap0" : "tap0");
	if (kern_tap_make(work->netns_fd, plan->has_tap_owner ? &owner : NULL, err) < 0)
		return -1;
	return kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, link, err);
}

int slot_build_tap(struct slot_work *work, struct err *err)
{
	struct kern_link link;
	bool added;

	if (slot_build_ensure_tap(work, &link, err) < 0)
		return -1;
	slot_build_note_link(&work->tap, &link);
	if (!(link.flags & IFF_UP)) {
		slot_build_note_repair(work, "tap0 down");
		if (kern_link_set_mac_mtu(&work->inside, link.index, TAP_NAME, &work->layout->tap_mac, work->mtu, err) <
		    0)
			return -1;
	} else {
		work->mtu = link.mtu; /* the guest knows it */
		if (!link.forwarding)
			slot_build_note_repair(work, "tap0 not forwarding");
	}
	if ((!(link.flags & IFF_UP) || !link.forwarding) &&
	    kern_link_up_forwarding(&work->inside, link.index, TAP_NAME, err) < 0)
		return -1;
	if (kern_address_ensure(&work->inside, link.index, &work->layout->tap, &added, err) < 0)
		return err_wrap(err, "link %s", TAP_NAME);
	if (added)
		slot_build_note_repair(work, "address of tap0");
	if (work->layout->guest_mac_learn)
		return 0;
	return kern_neighbour_ensure(&work->inside, link.index, work->layout->guest.ip, &work->layout->guest_mac, err);
}

static int slot_build_limit_link(struct slot_work *work, const char *name, struct slot_link *noted,
				 const struct rate *rate, struct err *err)
{
	struct kern_link link;

	if (!rate->rate && (!work->adopting || noted->unlimited))
		return 0;
	if (!noted->index) {
		if (kern_link_get(&work->inside, KERN_LINK_HERE, name, &link, err) < 0)
			return -1;
		slot_build_note_link(noted, &link);
	}
	return kern_qdisc_limit(&work->inside, noted->index, name, &(struct kern_rate){ rate->rate, rate->burst },
				work->mtu, err);
}

/*
 * A guest's frame says itself into how many segments it is to be cut: with one byte in each, 60 KB become 60,000 packets, for which
 * a processor works 40 ms at one go, and no rule counts more than one. Without the guard, where the kernel has none, all else works.
 */
static int slot_build_guard(struct slot_work *work, struct err *err)
{
	/* An honest frame of 64 KiB in segments of 88 bytes, the least that Linux sends, has 114 KB; two may be queued. */
	enum { FRAME_BYTES = 256 * 1024 };
	struct kern_link link;

	if (!work->eth0.index) {
		if (kern_link_get(&work->inside, KERN_LINK_HERE, INSIDE_NAME, &link, err) < 0)
			return -1;
		slot_build_note_link(&work->eth0, &link);
	}
	return kern_qdisc_guard(&work->inside, work->eth0.index, INSIDE_NAME, FRAME_BYTES, err) == 0 ||
		       err->code == ENOENT
		   ? 0
		   : -1;
}

int slot_build_limit(struct slot_work *work, struct err *err)
{
	const struct bandwidth *bandwidth = work->plan->bandwidth;

	if (slot_build_limit_link(work, TAP_NAME, &work->tap, &bandwidth->to_guest, err) < 0)
		return -1;
	/* This link has a limit besides the rules', which counts packets to the forwarder too but lets a second's worth pass at once. */
	return bandwidth->from_guest.rate
		   ? slot_build_limit_link(work, INSIDE_NAME, &work->eth0, &bandwidth->from_guest, err)
		   : slot_build_guard(work, err);
}

int slot_build_rules(struct slot_work *work, struct err *err)
{
	bool intact = false;

	if (work->adopting) {
		if (rules_slot_check(work->netns_fd, work->config, work->plan, &intact, err) < 0)
			return -1;
		if (intact)
			return 0;
		slot_build_note_repair(work, "nft table");
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

/* Says in WORK which route stands in front of ours. A link without a name is gone, and the route with it. */
static void slot_build_note_rival(struct slot_work *work, const struct kern_route_rival *rival)
{
	struct kern_link link;
	struct err ignored;

	work->rivalled = rival->present;
	work->rival = (struct fabric_rival){ .gateway = rival->gateway };
	kern_route_protocol_name(rival->protocol, work->rival.protocol);
	if (rival->index && kern_link_get_index(work->host, rival->index, &link, &ignored) == 0)
		snprintf(work->rival.device, sizeof(work->rival.device), "%s", link.name);
}

int slot_build_route(struct slot_work *work, struct err *err)
{
	struct kern_route_rival rival;
	unsigned slot = work->plan->slot;
	struct kern_route route = {
		.to = slot_build_with_length(config_host_ip(work->layout, slot), 32),
		.gateway = config_veth_guest_ip(work->layout, slot),
		.index = work->veth_index,
		.shared =
		    !work->adopting, /* a route that replaced ours is replaced again; on a new slot a foreign one is left alone */
	};
	bool added;

	if (kern_route_ensure_behind(work->host, &route, &added, &rival, err) < 0) {
		work->foreign = err->code == EEXIST;
		return -1;
	}
	if (rival.present)
		slot_build_note_rival(work, &rival);
	if (added)
		slot_build_note_repair(work, "route of the host address");
	return 0;
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
