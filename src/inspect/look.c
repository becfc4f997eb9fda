/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks for diagnosis, and changes nothing. Each call opens a socket in the namespace and closes it again, so that nothing of
 * ours stays there.
 */
#include "inspect/look.h"

#include "base/err.h"
#include "kernel/conntrack.h"
#include "kernel/holders.h"
#include "kernel/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

struct addresses {
	struct inspect_look_link *link;
	uint32_t index;
};

static int inspect_look_take_address(const struct nlmsghdr *header, void *context)
{
	struct addresses *addresses = context;
	struct inspect_look_link *link = addresses->link;
	const struct ifaddrmsg *address = nlmsg_data(header);
	const struct nlattr *table[IFA_MAX + 1];

	if (header->nlmsg_type != RTM_NEWADDR || address->ifa_index != addresses->index ||
	    address->ifa_family != AF_INET || link->address_count == INSPECT_LOOK_ADDRESSES_MAX)
		return 0;
	kern_rtnl_attributes(header, sizeof(*address), table, IFA_MAX + 1);
	if (!table[IFA_LOCAL])
		return 0;
	link->addresses[link->address_count].ip = ntohl(nla_get_u32(table[IFA_LOCAL]));
	link->addresses[link->address_count++].length = address->ifa_prefixlen;
	return 0;
}

static int inspect_look_dump_addresses(struct kern_rtnl *rtnl, const char *name, struct addresses *addresses,
				       struct err *err)
{
	const struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_index = addresses->index };
	struct nl_msg *message = kern_rtnl_message(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body));

	return kern_rtnl_ask(rtnl, message, inspect_look_take_address, addresses, err, "addresses of %s", name);
}

static int inspect_look_link_here(struct kern_rtnl *rtnl, const char *name, struct inspect_look_link *link,
				  struct err *err)
{
	struct kern_link info;

	if (kern_link_get(rtnl, KERN_LINK_HERE, name, &info, err) < 0)
		return err->code == ENODEV ? 0 : -1;
	link->exists = true;
	link->index = (unsigned)info.index;
	link->up = (info.flags & IFF_UP) != 0;
	link->carrier = info.carrier;
	link->group = info.group;
	link->mtu = info.mtu;
	link->mac = info.mac;
	return inspect_look_dump_addresses(rtnl, name,
					   &(struct addresses){ .link = link, .index = (uint32_t)info.index }, err);
}

int inspect_look_link(int netns_fd, const char *name, struct inspect_look_link *link, struct err *err)
{
	struct kern_rtnl rtnl = KERN_RTNL_CLOSED;
	int result;

	memset(link, 0, sizeof(*link));
	if (kern_rtnl_open(&rtnl, netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	result = inspect_look_link_here(&rtnl, name, link, err);
	kern_rtnl_close(&rtnl);
	return result;
}

struct found_route {
	uint32_t index, gateway;
};

static int inspect_look_take_route(const struct nlmsghdr *header, void *context)
{
	struct found_route *found = context;
	const struct nlattr *table[RTA_MAX + 1];

	if (header->nlmsg_type != RTM_NEWROUTE)
		return 0;
	kern_rtnl_attributes(header, sizeof(struct rtmsg), table, RTA_MAX + 1);
	found->index = table[RTA_OIF] ? nla_get_u32(table[RTA_OIF]) : 0;
	found->gateway = table[RTA_GATEWAY] ? ntohl(nla_get_u32(table[RTA_GATEWAY])) : 0;
	return 0;
}

/* The kernel answers with the error that a packet would meet, so none of these is a failure of the request. */
static bool inspect_look_is_verdict(int code)
{
	return code == ENETUNREACH || code == EHOSTUNREACH || code == EACCES || code == EINVAL || code == EXDEV;
}

/* SOURCE and IN_INDEX are 0 for a packet of the namespace's own. */
static int inspect_look_route_here(struct kern_rtnl *rtnl, uint32_t source, uint32_t in_index, uint32_t destination,
				   struct inspect_look_route *route, struct err *err)
{
	char text[IPV4_TEXT_SIZE];
	struct found_route found = { 0 };
	struct kern_link link;
	const struct rtmsg body = { .rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = source ? 32 : 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_GETROUTE, 0, &body, sizeof(body));

	message = kern_rtnl_put_u32(message, RTA_DST, htonl(destination));
	if (source)
		message = kern_rtnl_put_u32(message, RTA_SRC, htonl(source));
	if (in_index)
		message = kern_rtnl_put_u32(message, RTA_IIF, in_index);
	if (kern_rtnl_ask(rtnl, message, inspect_look_take_route, &found, err, "route to %s",
			  addr_ipv4_format(destination, text)) < 0) {
		route->error = err->code;
		return inspect_look_is_verdict(err->code) ? 0 : -1;
	}
	if (!found.index) {
		route->error = EINVAL; /* a blackhole */
		return 0;
	}
	if (kern_link_get_index(rtnl, (int)found.index, &link, err) < 0)
		return -1;
	route->reachable = true;
	route->gateway = found.gateway;
	snprintf(route->link, sizeof(route->link), "%s", link.name);
	return 0;
}

int inspect_look_route(int netns_fd, uint32_t destination, struct inspect_look_route *route, struct err *err)
{
	struct kern_rtnl rtnl = KERN_RTNL_CLOSED;
	int result;

	memset(route, 0, sizeof(*route));
	if (kern_rtnl_open(&rtnl, netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	result = inspect_look_route_here(&rtnl, 0, 0, destination, route, err);
	kern_rtnl_close(&rtnl);
	return result;
}

int inspect_look_route_from(int netns_fd, uint32_t source, const char *in, uint32_t destination,
			    struct inspect_look_route *route, struct err *err)
{
	struct kern_rtnl rtnl = KERN_RTNL_CLOSED;
	struct kern_link link;
	int result;

	memset(route, 0, sizeof(*route));
	if (kern_rtnl_open(&rtnl, netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	result = kern_link_get(&rtnl, KERN_LINK_HERE, in, &link, err);
	if (result == 0)
		result = inspect_look_route_here(&rtnl, source, (uint32_t)link.index, destination, route, err);
	kern_rtnl_close(&rtnl);
	return result;
}

int inspect_look_tap_holder(int netns_fd, const char *link, char *holder, size_t size)
{
	struct kern_namespace_key key = kern_namespace_key_of(netns_fd);
	char text[KERN_HOLDERS_TEXT_SIZE];
	int count = kern_holders_of_tap(&key, link, text);

	snprintf(holder, size, "%s", text);
	return count < 0 ? -1 : 0;
}

int inspect_look_flow(int netns_fd, const struct inspect_look_way *way, struct inspect_look_flow *flow, bool *able,
		      struct err *err)
{
	const struct kern_conntrack_way original = { .source = way->source,
						     .destination = way->destination,
						     .protocol = way->protocol,
						     .port = way->port,
						     .source_port = way->source_port };
	struct kern_conntrack_flow found;

	*flow = (struct inspect_look_flow){ 0 };
	*able = true;
	if (kern_conntrack_find(netns_fd, &original, &found, &flow->confirmed, err) < 0) {
		/* Without nf_conntrack_netlink the kernel knows no such request. */
		*able = err->code != EINVAL && err->code != EOPNOTSUPP && err->code != EPROTONOSUPPORT;
		return -1;
	}
	flow->answered = found.answered;
	flow->reply = (struct inspect_look_way){ .protocol = found.reply.protocol,
						 .source = found.reply.source,
						 .destination = found.reply.destination,
						 .source_port = found.reply.source_port,
						 .port = found.reply.port };
	return 0;
}
