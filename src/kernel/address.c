/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything here may be asked for twice: on a new slot it makes, on an adopted one it finds the object in place and leaves it
 * alone. Whether a route is in place is asked of the lookup itself (RTM_F_FIB_MATCH: which entry would decide), because EEXIST
 * only says that the destination is taken, perhaps by somebody else's gateway.
 */
#include "kernel/address.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

int address_ensure(struct rtnl *rtnl, int index, const struct cidr4 *cidr, bool *added, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];
	struct rtnl_request request;
	struct ifaddrmsg *address = rtnl_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*address));

	address->ifa_family = AF_INET;
	address->ifa_prefixlen = cidr->length;
	address->ifa_index = (unsigned)index;
	mnl_attr_put_u32(request.header, IFA_LOCAL, htonl(cidr->ip));
	mnl_attr_put_u32(request.header, IFA_ADDRESS, htonl(cidr->ip));
	if (added)
		*added = true;
	if (rtnl_send(rtnl, &request, err, "address %s", cidr4_format(cidr, text)) == 0)
		return 0;
	if (err->code != EEXIST)
		return -1;
	if (added)
		*added = false;
	return 0;
}

static void put_route(struct rtnl_request *request, uint16_t type, unsigned flags, const struct kern_route *route)
{
	struct rtmsg *message = rtnl_begin(request, type, flags, sizeof(*message));

	message->rtm_family = AF_INET;
	message->rtm_dst_len = route->to.length;
	message->rtm_table = RT_TABLE_MAIN;
	message->rtm_protocol = ROUTE_PROTOCOL;
	message->rtm_type = route->index ? RTN_UNICAST : RTN_UNREACHABLE;
	message->rtm_scope = route->index && !route->gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	if (route->to.length)
		mnl_attr_put_u32(request->header, RTA_DST, htonl(cidr4_first(&route->to)));
	if (route->gateway)
		mnl_attr_put_u32(request->header, RTA_GATEWAY, htonl(route->gateway));
	if (route->index)
		mnl_attr_put_u32(request->header, RTA_OIF, (uint32_t)route->index);
}

struct match {
	const struct kern_route *route;
	bool equal;
	bool ours;
};

static int take_match(const struct nlmsghdr *header, void *data)
{
	struct match *match = data;
	const struct rtmsg *message = mnl_nlmsg_get_payload(header);
	const struct nlattr *table[RTA_MAX + 1];
	uint32_t gateway, index;

	if (header->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(header) < sizeof(*message))
		return MNL_CB_OK;
	rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	gateway = table[RTA_GATEWAY] ? ntohl(mnl_attr_get_u32(table[RTA_GATEWAY])) : 0;
	index = table[RTA_OIF] ? mnl_attr_get_u32(table[RTA_OIF]) : 0;
	match->ours = message->rtm_protocol == ROUTE_PROTOCOL;
	match->equal = message->rtm_dst_len == match->route->to.length && message->rtm_table == RT_TABLE_MAIN &&
		       message->rtm_type == (match->route->index ? RTN_UNICAST : RTN_UNREACHABLE) &&
		       gateway == match->route->gateway && index == (uint32_t)match->route->index;
	return MNL_CB_OK;
}

/* An address that only a default route leads to: 0.0.0.0 itself means this host to a lookup. RFC 5737. */
static const uint32_t SOMEWHERE = 0xc0000201; /* 192.0.2.1 */

/* Looks at the entry that decides about ROUTE's destination. A lookup that fails finds none. */
static struct match find_match(struct rtnl *rtnl, const struct kern_route *route)
{
	struct match match = { .route = route };
	struct err ignored;
	struct rtnl_request request;
	struct rtmsg *message = rtnl_begin(&request, RTM_GETROUTE, 0, sizeof(*message));

	message->rtm_family = AF_INET;
	message->rtm_dst_len = 32;
	message->rtm_flags = RTM_F_FIB_MATCH;
	mnl_attr_put_u32(request.header, RTA_DST, htonl(route->to.length ? cidr4_first(&route->to) : SOMEWHERE));
	rtnl_ask(rtnl, &request, take_match, &match, &ignored, "route lookup");
	return match;
}

int route_ensure(struct rtnl *rtnl, const struct kern_route *route, bool *added, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];
	struct rtnl_request request;

	if (added)
		*added = true;
	put_route(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);
	if (rtnl_send(rtnl, &request, err, "route %s", cidr4_format(&route->to, text)) == 0)
		return 0;
	if (err->code != EEXIST)
		return -1;
	/* `unreachable` has no entry that a lookup would show: it answers with an error. Its destination being taken is enough. */
	struct match match = route->index ? find_match(rtnl, route) : (struct match){ .equal = true };
	if (match.equal) {
		if (added)
			*added = false;
		return 0;
	}
	if (route->shared && !match.ours)
		return -1;
	put_route(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
	return rtnl_send(rtnl, &request, err, "route %s", text);
}

int route_remove(struct rtnl *rtnl, const struct kern_route *route, bool *removed, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];
	struct rtnl_request request;

	put_route(&request, RTM_DELROUTE, 0, route);
	if (removed)
		*removed = true;
	if (rtnl_send(rtnl, &request, err, "route %s: deleting", cidr4_format(&route->to, text)) == 0)
		return 0;
	if (removed)
		*removed = false;
	/* ENODEV: the link went, and the route with it. */
	return err->code == ESRCH || err->code == ENODEV ? 0 : -1;
}

struct best_route {
	uint32_t metric;
	int index; /* of the link; 0: none yet */
};

static int take_default(const struct nlmsghdr *header, void *data)
{
	struct best_route *best = data;
	const struct rtmsg *message = mnl_nlmsg_get_payload(header);
	const struct nlattr *table[RTA_MAX + 1];
	uint32_t metric;

	if (header->nlmsg_type != RTM_NEWROUTE || message->rtm_dst_len != 0 || message->rtm_type != RTN_UNICAST ||
	    message->rtm_table != RT_TABLE_MAIN)
		return MNL_CB_OK;
	rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	metric = table[RTA_PRIORITY] ? mnl_attr_get_u32(table[RTA_PRIORITY]) : 0;
	if (table[RTA_OIF] && (!best->index || metric < best->metric)) {
		best->metric = metric;
		best->index = (int)mnl_attr_get_u32(table[RTA_OIF]);
	}
	return MNL_CB_OK;
}

int route_default_link(struct rtnl *rtnl, int *index, struct err *err)
{
	struct best_route best = { 0 };
	struct rtnl_request request;
	struct rtmsg *message = rtnl_begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*message));

	message->rtm_family = AF_INET;
	if (rtnl_ask(rtnl, &request, take_default, &best, err, "routes") < 0)
		return -1;
	*index = best.index;
	return 0;
}

static int take_type(const struct nlmsghdr *header, void *data)
{
	const struct rtmsg *message = mnl_nlmsg_get_payload(header);
	bool *local = data;

	if (header->nlmsg_type == RTM_NEWROUTE)
		*local = message->rtm_type == RTN_LOCAL || message->rtm_type == RTN_BROADCAST;
	return MNL_CB_OK;
}

int route_is_local(struct rtnl *rtnl, uint32_t ip, bool *local, struct err *err)
{
	char text[IPV4_TEXT_SIZE];
	struct rtnl_request request;
	struct rtmsg *message = rtnl_begin(&request, RTM_GETROUTE, 0, sizeof(*message));

	message->rtm_family = AF_INET;
	message->rtm_dst_len = 32;
	mnl_attr_put_u32(request.header, RTA_DST, htonl(ip));
	*local = false;
	if (rtnl_ask(rtnl, &request, take_type, local, err, "route to %s", ipv4_format(ip, text)) == 0)
		return 0;
	/* No way there, which is an answer. */
	return err->code == ENETUNREACH || err->code == EHOSTUNREACH || err->code == EACCES || err->code == EINVAL ? 0
														   : -1;
}

int neighbour_ensure(struct rtnl *rtnl, int index, uint32_t ip, const struct mac *mac, struct err *err)
{
	char text[IPV4_TEXT_SIZE];
	struct rtnl_request request;
	struct ndmsg *neighbour = rtnl_begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*neighbour));

	neighbour->ndm_family = AF_INET;
	neighbour->ndm_ifindex = index;
	neighbour->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(request.header, NDA_DST, htonl(ip));
	mnl_attr_put(request.header, NDA_LLADDR, sizeof(mac->octets), mac->octets);
	return rtnl_send(rtnl, &request, err, "neighbour %s", ipv4_format(ip, text));
}
