/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The links of a slot, with their addresses, routes, neighbours and limits, from the host's end to the guest's, as the list has them
 * (list.h). Making, taking over, repairing and looking are one walk: a new link is given all that it lacks; of an existing one each part
 * is looked at first, by a dump or a lookup, and what differs is noted and, unless the work is to look alone, put back.
 *
 * Whatever belongs to somebody else and decides instead of a route of ours is noted as a rival, and left alone.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "base/netns.h"
#include "fabric/slot/fault.h"
#include "fabric/slot/list.h"
#include "fabric/slot/plan.h"
#include "kernel/address.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/neighbour.h"
#include "kernel/qdisc.h"
#include "kernel/tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool slot_build_must(struct slot_work *work, const char *what)
{
	size_t used = strlen(work->repaired);

	if (!work->adopting)
		return true;
	snprintf(work->repaired + used, sizeof(work->repaired) - used, "%s%s", used ? ", " : "", what);
	return !work->looking;
}

/* ---- Making ---- */

int slot_build_veth(struct slot_work *work, struct err *err)
{
	const struct slot_list_link *outside = &work->list.links[PLACE_VETH], *inside = &work->list.links[PLACE_ETH0];
	struct kern_veth veth = {
		.name = outside->name,
		.peer = inside->name,
		.mac = outside->mac,
		.peer_mac = inside->mac,
		.peer_fd = work->netns_fd,
		.mtu = work->mtu,
		.group = outside->group,
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

/* ---- A link itself ---- */

static int slot_build_no_ipv6(const struct slot_work *work, const struct slot_list_link *wanted, struct err *err)
{
	int result;

	if (wanted->group)
		return kern_link_no_ipv6(wanted->name, err);
	if (base_netns_enter(work->netns_fd, err) < 0)
		return -1;
	result = kern_link_no_ipv6(wanted->name, err);
	base_netns_leave();
	return result;
}

/* Whether one of DEVIATIONS is to be put right; each is noted. */
static bool slot_build_must_mend(struct slot_work *work, const struct slot_list_link *wanted, unsigned deviations)
{
	char text[SLOT_DEVIATION_SIZE];
	bool must = false;

	for (unsigned one = 1; one < DEVIATIONS_END; one <<= 1)
		if (deviations & one)
			must |= slot_build_must(work, slot_list_name(wanted, (enum slot_deviation)one, text));
	return must;
}

/* Puts right the DEVIATIONS of LINK. */
static int slot_build_mend_parts(const struct slot_work *work, struct kern_rtnl *rtnl,
				 const struct slot_list_link *wanted, const struct kern_link *link, unsigned deviations,
				 struct err *err)
{
	if (deviations & DEVIATION_BRIDGED && kern_link_release(rtnl, link->index, wanted->name, err) < 0)
		return -1;
	if (deviations & DEVIATION_GROUP &&
	    kern_link_set_group(rtnl, link->index, wanted->name, wanted->group, err) < 0)
		return -1;
	if (deviations & DEVIATION_IPV6 && slot_build_no_ipv6(work, wanted, err) < 0)
		return -1;
	if (deviations & (DEVIATION_MAC | DEVIATION_MTU) &&
	    kern_link_set_mac_mtu(rtnl, link->index, wanted->name, &wanted->mac, wanted->mtu ? wanted->mtu : link->mtu,
				  err) < 0)
		return -1;
	if (deviations & DEVIATION_NO_ARP && kern_link_use_arp(rtnl, link->index, wanted->name, err) < 0)
		return -1;
	if (!wanted->carries)
		return kern_link_up(rtnl, link->index, wanted->name, err);
	if (deviations & (DEVIATION_DOWN | DEVIATION_NOT_FORWARDING | DEVIATION_REDIRECTS))
		return kern_link_up_forwarding(rtnl, link->index, wanted->name, err);
	return 0;
}

/*
 * Puts right what differs in LINK, which is as the kernel had it a moment ago. The guest may have learned a MAC that somebody gave the
 * TAP, and would send its frames there for a quarter of a minute or longer. So a MAC that is put back is announced.
 */
static int slot_build_mend_link(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
				const struct kern_link *link, struct err *err)
{
	unsigned deviations = slot_list_compare(wanted, link);
	bool announced = work->adopting && deviations & DEVIATION_MAC;

	if (!slot_build_must_mend(work, wanted, deviations))
		return 0;
	if (announced && kern_link_announce(rtnl, link->index, wanted->name, true, err) < 0)
		return -1;
	if (slot_build_mend_parts(work, rtnl, wanted, link, deviations, err) < 0)
		return -1;
	return announced ? kern_link_announce(rtnl, link->index, wanted->name, false, err) : 0;
}

/* ---- What belongs to it ---- */

static int slot_build_address(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
			      int index, struct err *err)
{
	char what[SLOT_DEVIATION_SIZE];
	bool there = false;

	if (work->adopting && kern_address_find(rtnl, index, &wanted->address, &there, err) < 0)
		return -1;
	snprintf(what, sizeof(what), "address of %s", wanted->label);
	if (there || !slot_build_must(work, what))
		return 0;
	return kern_address_ensure(rtnl, index, &wanted->address, NULL, err);
}

static int slot_build_neighbour(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
				int index, struct err *err)
{
	char what[SLOT_DEVIATION_SIZE];
	bool there = false;

	if (!wanted->has_neighbour)
		return 0;
	if (work->adopting &&
	    kern_neighbour_find(rtnl, index, wanted->neighbour, &wanted->neighbour_mac, &there, err) < 0)
		return -1;
	snprintf(what, sizeof(what), "neighbour of %s", wanted->label);
	if (there || !slot_build_must(work, what))
		return 0;
	return kern_neighbour_ensure(rtnl, index, wanted->neighbour, &wanted->neighbour_mac, err);
}

/* A link without a name is gone, and its route with it. */
void slot_build_name_rival(struct kern_rtnl *rtnl, const struct kern_route_rival *rival, struct fabric_rival *named)
{
	struct kern_link link;
	struct err ignored;

	*named = (struct fabric_rival){ .gateway = rival->gateway, .table = rival->table, .rule = rival->rule };
	if (rival->table)
		kern_route_protocol_name(rival->protocol, named->protocol);
	if (rival->index && kern_link_get_index(rtnl, rival->index, &link, &ignored) == 0)
		snprintf(named->device, sizeof(named->device), "%s", link.name);
}

/* Says in WORK what decides instead of the route WHAT; the first is enough. */
static void slot_build_note_rival(struct slot_work *work, struct kern_rtnl *rtnl, const char *what,
				  const struct kern_route_rival *rival)
{
	if (work->rivalled)
		return;
	work->rivalled = true;
	slot_build_name_rival(rtnl, rival, &work->rival);
	snprintf(work->rival.what, sizeof(work->rival.what), "%s", what);
}

int slot_build_check_route(struct slot_work *work, struct kern_rtnl *rtnl, const struct kern_route *route,
			   const char *what, struct err *err)
{
	struct kern_route_rival rival;
	enum kern_route_state state;

	if (kern_route_look(rtnl, route, &state, &rival, err) < 0)
		return -1;
	switch (state) {
	case KERN_ROUTE_DECIDES:
		return 0;
	case KERN_ROUTE_BEHIND:
		slot_build_note_rival(work, rtnl, what, &rival);
		return 0;
	case KERN_ROUTE_MISSING:
		break;
	}
	return slot_build_must(work, what) ? kern_route_put(rtnl, route, err) : 0;
}

/* The routes that the kernel made for the address of a link. */
static int slot_build_link_routes(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
				  int index, struct err *err)
{
	char what[SLOT_DEVIATION_SIZE];

	if (!work->adopting)
		return 0;
	for (int i = 0; i < SLOT_LIST_ROUTES; i++) {
		struct kern_route route = wanted->routes[i];

		route.index = index;
		snprintf(what, sizeof(what), "%s route of %s", route.local ? "local" : "connected", wanted->label);
		if (slot_build_check_route(work, rtnl, &route, what, err) < 0)
			return -1;
	}
	return 0;
}

/* A queue discipline that the kernel gives a link by itself limits nothing, and cannot be taken away. */
static bool slot_build_is_unlimited(const struct kern_link *link)
{
	static const char *const plain[] = { "noqueue", "fq_codel", "pfifo_fast", "fq", "mq", "noop" };

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(link->qdisc, plain[i]) == 0)
			return true;
	return false;
}

static int slot_build_limit_link(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
				 const struct kern_link *link, struct err *err)
{
	char what[SLOT_DEVIATION_SIZE];
	bool same = false;

	if (!wanted->limit.rate && (!work->adopting || slot_build_is_unlimited(link)))
		return 0;
	if (work->adopting && wanted->limit.rate &&
	    kern_qdisc_is_limit(rtnl, link->index, wanted->name, &wanted->limit, work->mtu, &same, err) < 0)
		return -1;
	snprintf(what, sizeof(what), "limit of %s", wanted->label);
	if (same || !slot_build_must(work, what))
		return 0;
	if (kern_qdisc_limit(rtnl, link->index, wanted->name, &wanted->limit, work->mtu, err) == 0)
		return 0;
	/* A kernel without the queue discipline does without the guard. */
	return err->code == ENOENT && wanted->limit.queue ? 0 : -1;
}

/* All that belongs to LINK, but for its limit. */
static int slot_build_link(struct slot_work *work, struct kern_rtnl *rtnl, const struct slot_list_link *wanted,
			   const struct kern_link *link, struct err *err)
{
	if (slot_build_mend_link(work, rtnl, wanted, link, err) < 0)
		return -1;
	if (wanted->has_address && (slot_build_address(work, rtnl, wanted, link->index, err) < 0 ||
				    slot_build_neighbour(work, rtnl, wanted, link->index, err) < 0 ||
				    slot_build_link_routes(work, rtnl, wanted, link->index, err) < 0))
		return err_wrap(err, "link %s", wanted->name);
	return 0;
}

/* ---- The links, one by one ---- */

int slot_build_host_end(struct slot_work *work, struct err *err)
{
	const struct slot_list_link *wanted = &work->list.links[PLACE_VETH];
	struct kern_link link;

	if (work->veth)
		link = *work->veth;
	else if (kern_link_get(work->host, KERN_LINK_HERE, wanted->name, &link, err) < 0)
		return -1;
	work->veth_index = link.index;
	if (slot_build_link(work, work->host, wanted, &link, err) < 0)
		return -1;
	return slot_build_limit_link(work, work->host, wanted, &link, err);
}

struct slot_build_search {
	const struct slot_list_link *wanted;
	struct kern_link found;
};

static void slot_build_recognize(void *context, const struct kern_link *link)
{
	struct slot_build_search *search = context;

	if (strcmp(link->kind, search->wanted->kind) == 0 &&
	    memcmp(link->mac.octets, search->wanted->mac.octets, sizeof(link->mac.octets)) == 0)
		search->found = *link;
}

/* A link inside that has lost its name, which is put back. *THERE: LINK is filled in. */
static int slot_build_find_renamed(struct slot_work *work, const struct slot_list_link *wanted, struct kern_link *link,
				   bool *there, struct err *err)
{
	struct slot_build_search search = { .wanted = wanted };
	char what[SLOT_DEVIATION_SIZE];

	*there = false;
	if (kern_link_dump(&work->inside, slot_build_recognize, &search, err) < 0)
		return -1;
	if (!search.found.index)
		return 0;
	*there = true;
	*link = search.found;
	snprintf(what, sizeof(what), "name of %s", wanted->label);
	if (!slot_build_must(work, what))
		return 0;
	if (kern_link_rename(&work->inside, link->index, wanted->name, err) < 0)
		return -1;
	return kern_link_get(&work->inside, KERN_LINK_HERE, wanted->name, link, err);
}

/* Finds a link inside; *THERE is false where there is none. */
static int slot_build_find_inside(struct slot_work *work, const struct slot_list_link *wanted, struct kern_link *link,
				  bool *there, struct err *err)
{
	*there = kern_link_get(&work->inside, KERN_LINK_HERE, wanted->name, link, err) == 0;
	if (*there)
		return 0;
	if (err->code != ENODEV)
		return -1;
	return work->adopting ? slot_build_find_renamed(work, wanted, link, there, err) : 0;
}

/* A new namespace has them from its making. */
static int slot_build_settings(struct slot_work *work, struct err *err)
{
	bool tuned = true;

	if (work->adopting && kern_namespace_is_tuned(work->netns_fd, &tuned, err) < 0)
		return -1;
	if (tuned || !slot_build_must(work, "settings of the namespace"))
		return 0;
	return kern_namespace_tune(work->netns_fd, err);
}

int slot_build_eth0(struct slot_work *work, struct err *err)
{
	struct kern_link lo, link;
	bool there;

	if (slot_build_settings(work, err) < 0)
		return -1;
	if (!kern_rtnl_is_open(&work->inside) && kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	if (kern_link_get(&work->inside, KERN_LINK_HERE, "lo", &lo, err) < 0 ||
	    slot_build_link(work, &work->inside, &work->list.links[PLACE_LO], &lo, err) < 0)
		return -1;
	if (slot_build_find_inside(work, &work->list.links[PLACE_ETH0], &link, &there, err) < 0)
		return -1;
	if (!there)
		return err_set(err, ENODEV, "link %s", INSIDE_NAME);
	work->eth0 = link;
	return slot_build_link(work, &work->inside, &work->list.links[PLACE_ETH0], &link, err);
}

int slot_build_way_out(struct slot_work *work, struct err *err)
{
	struct kern_route route = work->list.to_world;

	route.index = work->eth0.index;
	if (work->adopting)
		return slot_build_check_route(work, &work->inside, &route, "default route inside", err);
	return kern_route_ensure(&work->inside, &route, NULL, err);
}

int slot_build_inside(struct slot_work *work, struct err *err)
{
	return slot_build_eth0(work, err) < 0 ? -1 : slot_build_way_out(work, err);
}

/* TAP is there, if THERE: whether it stays as it is; else *FAILED says that ERR has why not. */
static bool slot_build_keep_tap(struct slot_work *work, const struct kern_link *tap, bool there, bool *failed,
				struct err *err)
{
	const struct fabric_plan *plan = work->plan;

	*failed = (!there && work->attached) || (there && !tap->tap);
	if (!there && work->attached) {
		work->failure = FAILURE_TAP;
		err_set(err, 0, FAILURE_TAP_REASON);
	} else if (*failed) {
		work->failure = FAILURE_LINK;
		err_set(err, 0, "link %s is no TAP", TAP_NAME);
		err->code = EEXIST; /* whose text would say no more */
	}
	return there && (tap->carrier || !plan->has_tap_owner ||
			 (tap->owner == plan->tap_uid && tap->owner_group == plan->tap_gid));
}

/* Makes the TAP if there is none, and gives it its owner if another has it and no VM lives on it. */
static int slot_build_ensure_tap(struct slot_work *work, struct kern_link *link, struct err *err)
{
	const struct fabric_plan *plan = work->plan;
	struct kern_tap_owner owner = { .uid = plan->tap_uid, .gid = plan->tap_gid };
	bool there, failed, keep;

	if (slot_build_find_inside(work, &work->list.links[PLACE_TAP], link, &there, err) < 0)
		return -1;
	keep = slot_build_keep_tap(work, link, there, &failed, err);
	if (failed)
		return -1;
	if (keep)
		return 0;
	if (!slot_build_must(work, there ? "owner of tap0" : "tap0"))
		return there ? 0 : err_set(err, ENODEV, "link %s", TAP_NAME);
	if (kern_tap_make(work->netns_fd, plan->has_tap_owner ? &owner : NULL, err) < 0)
		return -1;
	return kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, link, err);
}

int slot_build_tap(struct slot_work *work, struct err *err)
{
	struct kern_link link;

	if (slot_build_ensure_tap(work, &link, err) < 0)
		return -1;
	work->tap = link;
	if (!work->mtu)
		work->mtu = link.mtu; /* the guest knows it */
	return slot_build_link(work, &work->inside, &work->list.links[PLACE_TAP], &link, err);
}

int slot_build_limit(struct slot_work *work, struct err *err)
{
	if (!work->tap.index && kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &work->tap, err) < 0)
		return -1;
	if (!work->eth0.index && kern_link_get(&work->inside, KERN_LINK_HERE, INSIDE_NAME, &work->eth0, err) < 0)
		return -1;
	if (slot_build_limit_link(work, &work->inside, &work->list.links[PLACE_TAP], &work->tap, err) < 0)
		return -1;
	/* This link has a limit besides the rules', which counts packets to the forwarder too but lets a second's worth pass at once. */
	return slot_build_limit_link(work, &work->inside, &work->list.links[PLACE_ETH0], &work->eth0, err);
}
