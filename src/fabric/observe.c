/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One socket of the host hears of the links of all namespaces (NETLINK_LISTEN_ALL_NSID). Each message names its namespace by a
 * number, which a namespace has from its making on. A message only leads to a look (look_slot.c), and messages that the
 * kernel had to drop (ENOBUFS) lead to a look at everything. A second socket does the same for addresses, routes and policy
 * rules.
 *
 * When a namespace ends, no message about its links carries its number, so the host's end of the veth stands for it. The loss of
 * its name is seen in the directory (inotify).
 *
 * A third socket hears of changes of nft tables, ours and foreign ones, here and inside; patrol.c then compares.
 */
#include "fabric/observe.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "config/layouts.h"
#include "fabric/look_slot.h"
#include "fabric/repair.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "kernel/event_filter.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/net_namespace.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* In an iteration so few packets are read that a call that comes meanwhile waits for a tenth of a millisecond. */
enum { PACKETS_AN_ITERATION = 32, RECEIVE_BUFFER = 8 << 20, NSID_HERE = -1 };

struct hearing {
	struct fabric *fabric;
	int fd;
	struct event *event;
	void (*take)(struct fabric *fabric, const struct nlmsghdr *header, int nsid);
	void (*lost)(struct fabric *fabric);
	int (*filter)(int fd);
};

struct observer {
	struct hearing links, routes, rules;
	struct fabric *fabric;
	int directory_fd;
	struct event *directory;
};

/* A foreign object with a name of ours went. Should there be another, making the slot will find it. */
static void fabric_observe_foreign_gone(struct fabric *fabric, unsigned number)
{
	if (!number || number > CONFIG_SLOT_MAX || !(fabric->shunned[number] & SHUN_FOREIGN) || fabric->slots[number])
		return;
	fabric->shunned[number] &= (uint8_t)~SHUN_FOREIGN;
	fabric->watcher.slot_free(fabric->watcher.context, number);
}

/* ---- links ---- */

static struct slot *fabric_observe_slot_by_link(const struct fabric *fabric, int index)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		if (fabric->slots[number] && fabric->slots[number]->veth_index == index)
			return fabric->slots[number];
	}
	return NULL;
}

/* Messages wait in their queue, so that an old one may speak of a time before the carrier that the last look saw. */
static bool fabric_observe_is_news(const struct slot *slot, const struct kern_link *link)
{
	return slot->carrier_downs == CARRIER_DOWNS_UNKNOWN || (int32_t)(link->carrier_downs - slot->carrier_downs) > 0;
}

/* Whether LINK, by this message, is not as the list of the live SLOT has it. One that never was up has no queue yet. */
static bool fabric_observe_differs(const struct slot *slot, enum slot_place place, const struct kern_link *link)
{
	struct slot_list list;

	if (!slot->plan || !fabric_slot_is_live(slot) || strcmp(link->qdisc, "noop") == 0)
		return false;
	slot_list_init(&list, slot->layout, slot->plan->plan, slot->mtu);
	return slot_list_compare(&list.links[place], link) != 0;
}

/* The host's end of a veth. NUMBER: of the slot by the link's name; 0: it has none of our names, or no more. */
static void fabric_observe_outside_changed(struct fabric *fabric, const struct nlmsghdr *header, unsigned number,
					   const struct kern_link *link)
{
	struct slot *slot;

	if (!number && link->group == fabric->config->layout.link_group)
		slot = fabric_observe_slot_by_link(fabric, link->index);
	else
		slot = fabric_slot_find(fabric, number);
	if (!slot)
		return;
	if (header->nlmsg_type == RTM_DELLINK || !(link->flags & IFF_UP)) {
		slot->veth_touched |= slot->phase == SLOT_ADOPTING;
		fabric_slot_look(slot);
	} else if (!number || fabric_observe_differs(slot, PLACE_VETH, link)) {
		fabric_slot_repair(slot);
	}
}

static void fabric_observe_tap_changed(struct slot *slot, const struct nlmsghdr *header, const struct kern_link *link)
{
	if (header->nlmsg_type == RTM_DELLINK)
		slot->tap_was_free = !link->carrier;
	if (header->nlmsg_type == RTM_DELLINK || !link->carrier)
		slot->blinked |=
		    slot->carrier && (header->nlmsg_type == RTM_DELLINK || fabric_observe_is_news(slot, link));
	else
		/* The first message about a TAP says that it has a carrier and is down. It may come after the slot is complete. */
		slot->blinked |= !slot->carrier && (link->flags & IFF_UP) &&
				 (slot->phase == SLOT_READY || fabric_slot_phase_is_quarantine(slot->phase));
	if (header->nlmsg_type == RTM_DELLINK || link->carrier != slot->carrier || slot->blinked ||
	    !(link->flags & IFF_UP))
		fabric_slot_look(slot);
	else if (fabric_observe_differs(slot, PLACE_TAP, link))
		fabric_slot_repair(slot);
}

/* A link inside, which may have lost its name. */
static void fabric_observe_inside_changed(struct slot *slot, const struct nlmsghdr *header,
					  const struct kern_link *link)
{
	bool eth0 = strcmp(link->name, INSIDE_NAME) == 0;

	if (strcmp(link->name, TAP_NAME) == 0)
		fabric_observe_tap_changed(slot, header, link);
	else if (header->nlmsg_type == RTM_NEWLINK && fabric_slot_is_live(slot) &&
		 (eth0 ? fabric_observe_differs(slot, PLACE_ETH0, link) : link->kind[0] != '\0'))
		fabric_slot_repair(slot);
}

static void fabric_observe_link_changed(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	struct kern_link link;
	struct slot *slot;

	if (kern_link_parse(header, &link) < 0)
		return;
	if (nsid == NSID_HERE) {
		unsigned number = config_layout_veth_slot(fabric->config, link.name, NULL);

		if (header->nlmsg_type == RTM_DELLINK)
			fabric_observe_foreign_gone(fabric, number);
		fabric_observe_outside_changed(fabric, header, number, &link);
		return;
	}
	slot = fabric_slot_by_nsid(fabric, nsid);
	if (slot)
		fabric_observe_inside_changed(slot, header, &link);
}

static void fabric_observe_namespace_changed(struct fabric *fabric, const struct nlmsghdr *header)
{
	const struct nlattr *table[NETNSA_MAX + 1];
	struct slot *slot;

	kern_rtnl_attributes(header, sizeof(struct rtgenmsg), table, NETNSA_MAX + 1);
	if (!table[NETNSA_NSID])
		return;
	slot = fabric_slot_by_nsid(fabric, (int)nla_get_u32(table[NETNSA_NSID]));
	if (slot)
		fabric_slot_look(slot);
}

static void fabric_observe_link_message(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	switch (header->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		fabric_observe_link_changed(fabric, header, nsid);
		break;
	case RTM_DELNSID:
		if (nsid == NSID_HERE)
			fabric_observe_namespace_changed(fabric, header);
		break;
	}
}

/* ---- addresses and routes ---- */

static void fabric_observe_repair(struct slot *slot)
{
	if (slot && fabric_slot_is_live(slot))
		fabric_slot_repair(slot);
}

/* Something about DESTINATION changed on the host: an address of a slot, or a network that covers the ranges. */
static void fabric_observe_destination_changed(struct fabric *fabric, uint32_t destination, uint8_t length)
{
	const struct config_layout *layout;

	for (size_t at = 0; (layout = config_layout_next(fabric->config, &at));) {
		bool of_veths = addr_cidr4_contains(&layout->veth_cidr, destination);
		unsigned number = 0;
		struct slot *slot;

		if (!of_veths && !addr_cidr4_contains(&layout->host_cidr, destination))
			continue;
		if (of_veths && length >= 31)
			number = (destination - addr_cidr4_first(&layout->veth_cidr)) / 2;
		else if (length == 32)
			number = destination - addr_cidr4_first(&layout->host_cidr);
		if (!number) {
			fabric_suspect_routes(fabric, true);
			return;
		}
		slot = fabric_slot_find(fabric, number);
		if (slot && slot->layout == layout)
			fabric_observe_repair(slot);
	}
}

/* An address that went; or a new one that is not ours, and may be one of ours elsewhere. */
static void fabric_observe_address_message(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	const struct ifaddrmsg *address = nlmsg_data(header);
	const struct nlattr *table[IFA_MAX + 1];

	if (nlmsg_datalen(header) < (int)sizeof(*address) || address->ifa_family != AF_INET)
		return;
	if (nsid != NSID_HERE) {
		fabric_observe_repair(fabric_slot_by_nsid(fabric, nsid));
		return;
	}
	kern_rtnl_attributes(header, sizeof(*address), table, IFA_MAX + 1);
	if (header->nlmsg_type == RTM_DELADDR)
		fabric_observe_repair(fabric_observe_slot_by_link(fabric, (int)address->ifa_index));
	if (table[IFA_LOCAL])
		fabric_observe_destination_changed(fabric, ntohl(nla_get_u32(table[IFA_LOCAL])), 32);
}

/* A policy rule of the host's may concern any slot, and the ranges. */
static void fabric_observe_policy_changed(struct fabric *fabric, int nsid)
{
	if (nsid != NSID_HERE) {
		fabric_observe_repair(fabric_slot_by_nsid(fabric, nsid));
		return;
	}
	fabric_suspect_routes(fabric, true);
	fabric_suspect_all_links(fabric);
}

/* A route that went, or another's that took the place of one, or stands in front of that of a host address. */
static bool fabric_observe_route_matters(const struct nlmsghdr *header, const struct rtmsg *route, int nsid)
{
	if (header->nlmsg_type != RTM_NEWROUTE)
		return header->nlmsg_type == RTM_DELROUTE;
	return route->rtm_protocol != KERN_ROUTE_PROTOCOL &&
	       (header->nlmsg_flags & NLM_F_REPLACE || (nsid == NSID_HERE && route->rtm_dst_len == 32));
}

static void fabric_observe_route_changed(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	const struct rtmsg *route = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];

	if (nlmsg_datalen(header) < (int)sizeof(*route) || route->rtm_table != RT_TABLE_MAIN ||
	    !fabric_observe_route_matters(header, route, nsid))
		return;
	if (nsid != NSID_HERE) {
		fabric_observe_repair(fabric_slot_by_nsid(fabric, nsid));
		return;
	}
	kern_rtnl_attributes(header, sizeof(*route), table, RTA_MAX + 1);
	if (table[RTA_DST])
		fabric_observe_destination_changed(fabric, ntohl(nla_get_u32(table[RTA_DST])), route->rtm_dst_len);
}

static void fabric_observe_route_message(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	switch (header->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
		fabric_observe_address_message(fabric, header, nsid);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		fabric_observe_policy_changed(fabric, nsid);
		break;
	default:
		fabric_observe_route_changed(fabric, header, nsid);
	}
}

/* A host with many routes of its own may drown this socket again and again; the patrol keeps its pace. */
static void fabric_observe_routes_lost(struct fabric *fabric)
{
	fabric_suspect_routes(fabric, true);
	fabric_suspect_all_links(fabric);
}

/* ---- rules ---- */

static void fabric_observe_rule_message(struct fabric *fabric, const struct nlmsghdr *header, int nsid)
{
	static const char ours[] = "weft";
	const struct nlattr *table[2];
	struct slot *slot;

	if (NFNL_SUBSYS_ID(header->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
	    nlmsg_datalen(header) < (int)sizeof(struct nfgenmsg))
		return;
	/* The first attribute of all these messages is the table's name, but for a new generation, which has none. */
	if (NFNL_MSG_TYPE(header->nlmsg_type) == NFT_MSG_NEWGEN)
		return;
	kern_rtnl_attributes(header, sizeof(struct nfgenmsg), table, 2);
	if (!table[NFTA_TABLE_NAME] || nla_len(table[NFTA_TABLE_NAME]) != (int)sizeof(ours) ||
	    memcmp(nla_data(table[NFTA_TABLE_NAME]), ours, sizeof(ours)) != 0)
		return;
	if (nsid == NSID_HERE) {
		fabric_suspect_host(fabric);
		return;
	}
	slot = fabric_slot_by_nsid(fabric, nsid);
	if (slot && fabric_slot_is_live(slot))
		fabric_suspect_slot(slot);
}

static void fabric_observe_rules_lost(struct fabric *fabric)
{
	fabric_suspect_host(fabric);
	fabric_suspect_all_rules(fabric);
}

/* ---- hearing ---- */

static int fabric_observe_message_nsid(struct msghdr *message)
{
	int nsid = NSID_HERE;

	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == SOL_NETLINK && control->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(control), sizeof(nsid));
	}
	return nsid;
}

/* Takes one packet. 1, or 0 if there was none. */
static int fabric_observe_hear_one(struct hearing *hearing)
{
	_Alignas(struct nlmsghdr) char buffer[KERN_RTNL_RECEIVE_SIZE];
	_Alignas(struct cmsghdr) char control[128];
	struct iovec part = { .iov_base = buffer, .iov_len = sizeof(buffer) };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t got = recvmsg(hearing->fd, &message, MSG_DONTWAIT);
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	int left, nsid;

	if (got < 0 && errno == ENOBUFS) {
		log_debug("kernel events were lost; everything is looked at");
		hearing->lost(hearing->fabric);
		return 1;
	}
	if (got < 0)
		return errno == EINTR;
	nsid = fabric_observe_message_nsid(&message);
	for (left = (int)got; nlmsg_ok(header, left); header = nlmsg_next(header, &left))
		hearing->take(hearing->fabric, header, nsid);
	return 1;
}

static void fabric_observe_on_heard(evutil_socket_t fd, short what, void *arg)
{
	struct hearing *hearing = arg;
	int packets = 0;

	(void)fd;
	(void)what;
	while (packets++ < PACKETS_AN_ITERATION && fabric_observe_hear_one(hearing))
		;
}

static int fabric_observe_join(int fd, int group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

static int fabric_observe_open(struct hearing *hearing, int family, const int *groups, size_t count, struct err *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int one = 1, size = RECEIVE_BUFFER;

	hearing->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);
	if (hearing->fd < 0 || bind(hearing->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "netlink monitor");
	/* Without a bigger buffer more looks are made, and that is all. */
	if (setsockopt(hearing->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(hearing->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(hearing->fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof(one)) < 0)
		return err_set(err, errno, "netlink monitor of all namespaces (CAP_NET_BROADCAST)");
	if (hearing->filter(hearing->fd) < 0)
		log_debug("netlink monitor hears everything", F_STR("error", strerror(errno)));
	for (size_t i = 0; i < count; i++) {
		if (fabric_observe_join(hearing->fd, groups[i]) < 0)
			return err_set(err, errno, "netlink monitor: group %d", groups[i]);
	}
	hearing->event =
	    event_new(hearing->fabric->base, hearing->fd, EV_READ | EV_PERSIST, fabric_observe_on_heard, hearing);
	if (!hearing->event || event_add(hearing->event, NULL) < 0)
		return err_set(err, ENOMEM, "netlink monitor");
	return 0;
}

static void fabric_observe_close(struct hearing *hearing)
{
	if (hearing->event)
		event_free(hearing->event);
	if (hearing->fd >= 0)
		close(hearing->fd);
}

/* ---- names ---- */

static void fabric_observe_name_gone(struct fabric *fabric, const char *name)
{
	unsigned number = config_layout_netns_slot(fabric->config, name);
	struct slot *slot = fabric_slot_find(fabric, number);

	fabric_observe_foreign_gone(fabric, number);
	if (!slot)
		return;
	if (fabric_slot_is_live(slot))
		fabric_slot_repair(slot);
	else
		fabric_slot_look(slot);
}

static void fabric_observe_on_directory(evutil_socket_t fd, short what, void *arg)
{
	struct observer *observer = arg;
	_Alignas(struct inotify_event) char buffer[4096];
	ssize_t got = read(fd, buffer, sizeof(buffer));

	(void)what;
	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

		if (event->mask & IN_Q_OVERFLOW)
			fabric_slot_look_at_all(observer->fabric);
		else if (event->len)
			fabric_observe_name_gone(observer->fabric, event->name);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

/* Slots of a former configuration may have their names elsewhere; of those, a directory that is gone has none to lose. */
static int fabric_observe_watch_names(const struct observer *observer, struct err *err)
{
	const struct config *config = observer->fabric->config;
	const struct config_layout *layout;

	for (size_t at = 0; (layout = config_layout_next(config, &at));) {
		if (inotify_add_watch(observer->directory_fd, layout->netns_dir,
				      IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR) < 0 &&
		    (errno != ENOENT || layout == &config->layout))
			return err_set(err, errno, "watching %s", layout->netns_dir);
	}
	return 0;
}

static int fabric_observe_watch_directory(struct observer *observer, struct err *err)
{
	observer->directory_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (observer->directory_fd < 0)
		return err_set(err, errno, "watching names of namespaces");
	if (fabric_observe_watch_names(observer, err) < 0)
		return -1;
	observer->directory = event_new(observer->fabric->base, observer->directory_fd, EV_READ | EV_PERSIST,
					fabric_observe_on_directory, observer);
	if (!observer->directory || event_add(observer->directory, NULL) < 0)
		return err_set(err, ENOMEM, "watching names of namespaces");
	return 0;
}

struct observer *fabric_observer_new(struct fabric *fabric, struct err *err)
{
	static const int link_groups[] = { RTNLGRP_LINK, RTNLGRP_NSID };
	static const int route_groups[] = { RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE };
	static const int rule_groups[] = { NFNLGRP_NFTABLES };
	struct observer *observer = calloc(1, sizeof(*observer));

	if (!observer) {
		err_set(err, ENOMEM, "monitors");
		return NULL;
	}
	observer->fabric = fabric;
	observer->directory_fd = -1;
	observer->links = (struct hearing){ .fabric = fabric,
					    .fd = -1,
					    .take = fabric_observe_link_message,
					    .lost = fabric_slot_look_at_all,
					    .filter = kern_event_filter_links };
	observer->routes = (struct hearing){ .fabric = fabric,
					     .fd = -1,
					     .take = fabric_observe_route_message,
					     .lost = fabric_observe_routes_lost,
					     .filter = kern_event_filter_routes };
	observer->rules = (struct hearing){ .fabric = fabric,
					    .fd = -1,
					    .take = fabric_observe_rule_message,
					    .lost = fabric_observe_rules_lost,
					    .filter = kern_event_filter_rules };
	if (fabric_observe_open(&observer->links, NETLINK_ROUTE, link_groups, 2, err) < 0 ||
	    fabric_observe_open(&observer->routes, NETLINK_ROUTE, route_groups, 3, err) < 0 ||
	    fabric_observe_open(&observer->rules, NETLINK_NETFILTER, rule_groups, 1, err) < 0 ||
	    fabric_observe_watch_directory(observer, err) < 0) {
		fabric_observer_free(observer);
		return NULL;
	}
	return observer;
}

void fabric_observer_forget_names(struct observer *observer)
{
	if (observer->directory)
		event_free(steal_ptr(&observer->directory));
	cleanup_fd(&observer->directory_fd);
}

void fabric_observer_free(struct observer *observer)
{
	if (!observer)
		return;
	fabric_observe_close(&observer->links);
	fabric_observe_close(&observer->routes);
	fabric_observe_close(&observer->rules);
	fabric_observer_forget_names(observer);
	free(observer);
}
