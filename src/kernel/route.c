/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A route may be asked for twice: on a new slot it is made, on an adopted one it is found in place and left alone. A lookup shows
 * whether it is in place (RTM_F_FIB_MATCH answers with the entry that would decide), because EEXIST only says that the
 * destination is taken, perhaps by somebody else's gateway.
 *
 * A lookup that answers with another entry proves nothing about ours, which may stand behind it (`ip route prepend`), or be passed
 * over by a policy rule. So our own entry is then sought in a dump, in which the entries of a destination stand in their order.
 */
#include "kernel/kern_route.h"

#include "base/err.h"
#include "kernel/nl_object.h"
#include "kernel/policy_rule.h"
#include "kernel/refusal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

KERN_NL_CLEANUP(rtnl_route);

enum { DUMP_TRIES = 10 };

/* Gives OBJECT the link and the gateway of ROUTE. 0, or -1: no memory. */
static int kern_route_put_hop(struct rtnl_route *object, const struct kern_route *route)
{
	AUTO_NL(nl_addr) *gateway = route->gateway ? kern_nl_ipv4(route->gateway, 32) : NULL;
	struct rtnl_nexthop *hop;

	if (route->gateway && !gateway)
		return -1;
	hop = rtnl_route_nh_alloc();
	if (!hop)
		return -1;
	rtnl_route_nh_set_ifindex(hop, route->index);
	if (gateway)
		rtnl_route_nh_set_gateway(hop, gateway);
	rtnl_route_add_nexthop(object, hop); /* which frees it, too */
	return 0;
}

static uint32_t kern_route_table(const struct kern_route *route)
{
	return route->local ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
}

static unsigned char kern_route_protocol(const struct kern_route *route)
{
	return route->source ? RTPROT_KERNEL : KERN_ROUTE_PROTOCOL;
}

static unsigned char kern_route_type(const struct kern_route *route)
{
	if (route->local)
		return RTN_LOCAL;
	return route->index ? RTN_UNICAST : RTN_UNREACHABLE;
}

/* NULL: no memory. */
static struct rtnl_route *kern_route_object(const struct kern_route *route)
{
	AUTO_NL(nl_addr) *to = kern_nl_ipv4(addr_cidr4_first(&route->to), route->to.length);
	AUTO_NL(nl_addr) *source = route->source ? kern_nl_ipv4(route->source, 32) : NULL;
	struct rtnl_route *object = rtnl_route_alloc();

	if (!object || !to || (route->source && (!source || rtnl_route_set_pref_src(object, source) < 0)) ||
	    rtnl_route_set_family(object, AF_INET) < 0 || rtnl_route_set_dst(object, to) < 0 ||
	    (route->index && kern_route_put_hop(object, route) < 0)) {
		rtnl_route_put(object);
		return NULL;
	}
	rtnl_route_set_table(object, kern_route_table(route));
	rtnl_route_set_protocol(object, kern_route_protocol(route));
	rtnl_route_set_type(object, kern_route_type(route));
	if (route->local)
		rtnl_route_set_scope(object, RT_SCOPE_HOST);
	else
		rtnl_route_set_scope(object, route->index && !route->gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	return object;
}

static struct nl_msg *kern_route_build_new(const struct kern_route *route, int flags)
{
	AUTO_NL(rtnl_route) *object = kern_route_object(route);
	struct nl_msg *message;

	if (!object || rtnl_route_build_add_request(object, NLM_F_CREATE | flags, &message) < 0)
		return NULL;
	return message;
}

static struct nl_msg *kern_route_build_removal(const struct kern_route *route)
{
	AUTO_NL(rtnl_route) *object = kern_route_object(route);
	struct nl_msg *message;

	return !object || rtnl_route_build_del_request(object, 0, &message) < 0 ? NULL : message;
}

/* A lookup of IP. By hand, since libnl-route has no lookup without its own socket, and no word for RTM_F_FIB_MATCH. */
static struct nl_msg *kern_route_build_lookup(uint32_t ip, unsigned flags)
{
	const struct rtmsg body = { .rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = flags };

	return kern_rtnl_put_u32(kern_rtnl_message(RTM_GETROUTE, 0, &body, sizeof(body)), RTA_DST, htonl(ip));
}

struct match {
	const struct kern_route *route;
	bool found; /* an entry decides */
	bool equal; /* and it is ROUTE */
	bool ours;
	struct kern_route_rival entry;
};

/*
 * The table of a route; rtm_table has no room for a high number. While a namespace has no policy rules of its own, the kernel keeps
 * `local` in the tree of `main`, and a lookup says that name of both.
 */
static uint32_t kern_route_table_of(const struct rtmsg *message, const struct nlattr **table)
{
	if (message->rtm_type == RTN_LOCAL && message->rtm_table == RT_TABLE_MAIN)
		return RT_TABLE_LOCAL;
	return table[RTA_TABLE] ? nla_get_u32(table[RTA_TABLE]) : message->rtm_table;
}

static struct kern_route_rival kern_route_rival_of(const struct rtmsg *message, const struct nlattr **table)
{
	return (struct kern_route_rival){
		.present = true,
		.table = kern_route_table_of(message, table),
		.gateway = ntohl(kern_rtnl_u32(table[RTA_GATEWAY], 0)),
		.index = (int)kern_rtnl_u32(table[RTA_OIF], 0),
		.protocol = message->rtm_protocol,
	};
}

static int kern_route_take_match(const struct nlmsghdr *header, void *context)
{
	struct match *match = context;
	const struct rtmsg *message = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];

	if (header->nlmsg_type != RTM_NEWROUTE || nlmsg_datalen(header) < (int)sizeof(*message))
		return 0;
	kern_rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	match->found = true;
	match->entry = kern_route_rival_of(message, table);
	match->ours = message->rtm_protocol == KERN_ROUTE_PROTOCOL;
	match->equal = message->rtm_dst_len == match->route->to.length &&
		       match->entry.table == kern_route_table(match->route) &&
		       message->rtm_type == kern_route_type(match->route) &&
		       match->entry.gateway == match->route->gateway && match->entry.index == match->route->index;
	return 0;
}

/* An address that only a default route leads to: 0.0.0.0 itself means this host to a lookup. RFC 5737. */
static const uint32_t SOMEWHERE = 0xc0000201; /* 192.0.2.1 */

/* The answers of a lookup to which no entry leads, or one that forbids. */
static bool kern_route_is_no_way(int code)
{
	return code == ENETUNREACH || code == EHOSTUNREACH || code == EACCES || code == EINVAL;
}

static uint32_t kern_route_probe(const struct kern_route *route)
{
	if (route->probe)
		return route->probe;
	return route->to.length ? addr_cidr4_first(&route->to) : SOMEWHERE;
}

/* Looks at the entry that decides about ROUTE's destination; there may be none. 0, or -1 with ERR. */
static int kern_route_find_match(struct kern_rtnl *rtnl, const struct kern_route *route, struct match *match,
				 struct err *err)
{
	struct nl_msg *message = kern_route_build_lookup(kern_route_probe(route), RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE);
	struct err why;

	*match = (struct match){ .route = route };
	if (kern_rtnl_ask(rtnl, message, kern_route_take_match, match, &why, "route lookup") == 0 ||
	    kern_route_is_no_way(why.code))
		return 0;
	*err = why;
	return -1;
}

/* The entries of one destination in the table of ROUTE, in their order. */
struct entries {
	const struct kern_route *route;
	bool ours; /* ROUTE itself is among them */
};

static int kern_route_take_entry(const struct nlmsghdr *header, void *context)
{
	struct entries *entries = context;
	const struct kern_route *route = entries->route;
	const struct rtmsg *message = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];
	struct kern_route_rival entry;

	if (header->nlmsg_type != RTM_NEWROUTE || nlmsg_datalen(header) < (int)sizeof(*message) ||
	    message->rtm_dst_len != route->to.length || message->rtm_tos)
		return 0;
	kern_rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	entry = kern_route_rival_of(message, table);
	if (entry.table != kern_route_table(route) ||
	    ntohl(kern_rtnl_u32(table[RTA_DST], 0)) != addr_cidr4_first(&route->to))
		return 0;
	if (message->rtm_type == kern_route_type(route) && entry.protocol == kern_route_protocol(route) &&
	    entry.gateway == route->gateway && entry.index == route->index)
		entries->ours = true;
	return 0;
}

/* Finds whether ROUTE is in its table. A dump that a change broke into is taken again. */
static int kern_route_find_entries(struct kern_rtnl *rtnl, const struct kern_route *route, struct entries *entries,
				   struct err *err)
{
	const struct rtmsg body = { .rtm_family = AF_INET,
				    .rtm_table = (unsigned char)kern_route_table(route),
				    .rtm_protocol = kern_route_protocol(route) };
	int result = -1;

	for (int i = 0; i < DUMP_TRIES && result < 0; i++) {
		*entries = (struct entries){ .route = route };
		result = kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body)),
				       kern_route_take_entry, entries, err, "routes");
		if (result < 0 && err->code != EINTR)
			break;
	}
	return result;
}

/* ROUTE is in place, and not what decides, says MATCH: finds what does. */
static int kern_route_find_rival(struct kern_rtnl *rtnl, const struct kern_route *route, const struct match *match,
				 struct kern_route_rival *rival, struct err *err)
{
	if (!match->found) {
		if (kern_refusal_find(rtnl, kern_route_probe(route), rival, err) < 0)
			return -1;
		rival->present = true;
		return 0;
	}
	*rival = match->entry;
	if (rival->table != kern_route_table(route) &&
	    kern_policy_rule_find(rtnl, kern_route_probe(route), rival->table, &rival->rule, err) < 0)
		return -1;
	rival->present = true;
	return 0;
}

int kern_route_look(struct kern_rtnl *rtnl, const struct kern_route *route, enum kern_route_state *state,
		    struct kern_route_rival *rival, struct err *err)
{
	struct entries entries;
	struct match match;

	*rival = (struct kern_route_rival){ 0 };
	*state = KERN_ROUTE_DECIDES;
	if (kern_route_find_match(rtnl, route, &match, err) < 0)
		return -1;
	if (match.equal)
		return 0;
	if (kern_route_find_entries(rtnl, route, &entries, err) < 0)
		return -1;
	*state = entries.ours ? KERN_ROUTE_BEHIND : KERN_ROUTE_MISSING;
	return entries.ours ? kern_route_find_rival(rtnl, route, &match, rival, err) : 0;
}

int kern_route_find_way(struct kern_rtnl *rtnl, uint32_t ip, struct kern_route_rival *rival, struct err *err)
{
	const struct kern_route route = { .to = { .ip = ip, .length = 32 } };
	struct match match;

	*rival = (struct kern_route_rival){ 0 };
	if (kern_route_find_match(rtnl, &route, &match, err) < 0)
		return -1;
	return match.found ? kern_route_find_rival(rtnl, &route, &match, rival, err) : 0;
}

int kern_route_put(struct kern_rtnl *rtnl, const struct kern_route *route, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];

	return kern_rtnl_send(rtnl, kern_route_build_new(route, NLM_F_REPLACE), err, "route %s",
			      addr_cidr4_format(&route->to, text));
}

int kern_route_ensure(struct kern_rtnl *rtnl, const struct kern_route *route, bool *added, struct err *err)
{
	enum kern_route_state state;
	struct kern_route_rival rival;
	char text[CIDR4_TEXT_SIZE];
	struct match match;
	bool ignored = false;

	added = added ? added : &ignored;
	addr_cidr4_format(&route->to, text);
	*added = true;
	if (kern_rtnl_send(rtnl, kern_route_build_new(route, NLM_F_EXCL), err, "route %s", text) == 0)
		return 0;
	if (err->code != EEXIST)
		return -1;
	*added = false;
	if (!route->index)
		return 0; /* `unreachable`: its destination being taken is enough, for a lookup shows no such entry */
	/* ERR keeps the refusal, unless the lookup fails. */
	if (kern_route_find_match(rtnl, route, &match, err) < 0)
		return -1;
	if (match.equal)
		return 0;
	if (route->shared && !match.ours)
		return -1;
	if (kern_route_look(rtnl, route, &state, &rival, err) < 0)
		return -1;
	if (state == KERN_ROUTE_BEHIND)
		return err_set(err, EEXIST, "route %s: another stands in front of it", text);
	*added = true;
	return kern_route_put(rtnl, route, err);
}

const char *kern_route_protocol_name(unsigned char protocol, char text[static KERN_ROUTE_PROTOCOL_SIZE])
{
	/* The words of iproute2's rt_protos. */
	static const struct {
		unsigned char number;
		const char *name;
	} names[] = { { RTPROT_REDIRECT, "redirect" }, { RTPROT_KERNEL, "kernel" }, { RTPROT_BOOT, "boot" },
		      { RTPROT_STATIC, "static" },     { RTPROT_RA, "ra" },         { RTPROT_ZEBRA, "zebra" },
		      { RTPROT_BIRD, "bird" },         { RTPROT_DHCP, "dhcp" },     { RTPROT_KEEPALIVED, "keepalived" },
		      { RTPROT_BABEL, "babel" },       { RTPROT_BGP, "bgp" },       { RTPROT_ISIS, "isis" },
		      { RTPROT_OSPF, "ospf" },         { RTPROT_RIP, "rip" },       { RTPROT_EIGRP, "eigrp" } };

	snprintf(text, KERN_ROUTE_PROTOCOL_SIZE, "%u", protocol);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].number == protocol)
			snprintf(text, KERN_ROUTE_PROTOCOL_SIZE, "%s", names[i].name);
	}
	return text;
}

int kern_route_remove(struct kern_rtnl *rtnl, const struct kern_route *route, bool *removed, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];

	if (removed)
		*removed = true;
	if (kern_rtnl_send(rtnl, kern_route_build_removal(route), err, "route %s: deleting",
			   addr_cidr4_format(&route->to, text)) == 0)
		return 0;
	if (removed)
		*removed = false;
	/* ENODEV: the link went, and the route with it. */
	return err->code == ESRCH || err->code == ENODEV ? 0 : -1;
}

bool kern_route_is_our_unreachable(const struct kern_route_entry *entry)
{
	return entry->type == RTN_UNREACHABLE && entry->protocol == KERN_ROUTE_PROTOCOL &&
	       entry->table == RT_TABLE_MAIN && entry->to.length;
}

struct best_route {
	uint32_t metric;
	int index; /* of the link; 0: none yet */
};

static int kern_route_take_default(const struct nlmsghdr *header, void *context)
{
	struct best_route *best = context;
	const struct rtmsg *message = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];
	uint32_t metric;

	if (header->nlmsg_type != RTM_NEWROUTE || message->rtm_dst_len != 0 || message->rtm_type != RTN_UNICAST ||
	    message->rtm_table != RT_TABLE_MAIN)
		return 0;
	kern_rtnl_attributes(header, sizeof(*message), table, RTA_MAX + 1);
	metric = kern_rtnl_u32(table[RTA_PRIORITY], 0);
	if (table[RTA_OIF] && (!best->index || metric < best->metric)) {
		best->metric = metric;
		best->index = (int)nla_get_u32(table[RTA_OIF]);
	}
	return 0;
}

int kern_route_default_link(struct kern_rtnl *rtnl, int *index, struct err *err)
{
	const struct rtmsg body = { .rtm_family = AF_INET };
	struct best_route best = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(body));

	if (kern_rtnl_ask(rtnl, message, kern_route_take_default, &best, err, "routes") < 0)
		return -1;
	*index = best.index;
	return 0;
}

static int kern_route_take_type(const struct nlmsghdr *header, void *context)
{
	const struct rtmsg *message = nlmsg_data(header);
	bool *local = context;

	if (header->nlmsg_type == RTM_NEWROUTE)
		*local = message->rtm_type == RTN_LOCAL || message->rtm_type == RTN_BROADCAST;
	return 0;
}

int kern_route_is_local(struct kern_rtnl *rtnl, uint32_t ip, bool *local, struct err *err)
{
	char text[IPV4_TEXT_SIZE];

	*local = false;
	if (kern_rtnl_ask(rtnl, kern_route_build_lookup(ip, 0), kern_route_take_type, local, err, "route to %s",
			  addr_ipv4_format(ip, text)) == 0)
		return 0;
	/* No way there, which is an answer. */
	return kern_route_is_no_way(err->code) ? 0 : -1;
}
