/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One rtnetlink dump for each kind of object. An interrupted dump (NLM_F_DUMP_INTR) is good enough here: a host that changes is
 * seen at some moment or other.
 */
#include "inspect/inspect.h"

#include "base/err.h"
#include "base/vec.h"
#include "kernel/rtnl.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ATTRIBUTES_MAX = 64 };

/* The lists of a struct inspect_host while they grow. */
struct host_reading {
	struct {
		VEC_OF(struct inspect_link);
	} links;
	struct {
		VEC_OF(struct inspect_address);
	} addresses;
	struct {
		VEC_OF(struct inspect_route);
	} routes;
	struct {
		VEC_OF(struct inspect_rule);
	} rules;
	bool broken; /* no memory */
};

/* Notes want of memory; the dump is read to its end. */
static int inspect_no_memory(struct host_reading *reading)
{
	reading->broken = true;
	return 0;
}

static uint32_t inspect_number_of(const struct nlattr *attribute)
{
	return attribute && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : 0;
}

/* An IPv4 address in host order. */
static uint32_t inspect_ip_of(const struct nlattr *attribute)
{
	return ntohl(inspect_number_of(attribute));
}

static void inspect_text_of(const struct nlattr *attribute, char *text, size_t size)
{
	if (attribute)
		snprintf(text, size, "%.*s", nla_len(attribute), nla_get_string(attribute));
}

static int inspect_take_link(const struct nlmsghdr *message, void *context)
{
	struct host_reading *reading = context;
	const struct ifinfomsg *info = nlmsg_data(message);
	const struct nlattr *attributes[ATTRIBUTES_MAX];
	const struct nlattr *kinds[ATTRIBUTES_MAX] = { 0 };

	kern_rtnl_attributes(message, sizeof(*info), attributes, ATTRIBUTES_MAX);
	if (attributes[IFLA_LINKINFO])
		kern_rtnl_nested(attributes[IFLA_LINKINFO], kinds, ATTRIBUTES_MAX);
	struct inspect_link *link = vec_push(&reading->links);
	if (!link)
		return inspect_no_memory(reading);
	link->index = (unsigned)info->ifi_index;
	link->group = inspect_number_of(attributes[IFLA_GROUP]);
	link->up = info->ifi_flags & IFF_UP;
	link->carrier = link->up && info->ifi_flags & IFF_LOWER_UP;
	link->peer_elsewhere = attributes[IFLA_LINK_NETNSID] != NULL;
	if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == (int)sizeof(link->mac.octets))
		memcpy(link->mac.octets, nla_data(attributes[IFLA_ADDRESS]), sizeof(link->mac.octets));
	inspect_text_of(attributes[IFLA_IFNAME], link->name, sizeof(link->name));
	inspect_text_of(attributes[IFLA_IFALIAS], link->alias, sizeof(link->alias));
	inspect_text_of(kinds[IFLA_INFO_KIND], link->kind, sizeof(link->kind));
	return 0;
}

static int inspect_take_address(const struct nlmsghdr *message, void *context)
{
	struct host_reading *reading = context;
	const struct ifaddrmsg *info = nlmsg_data(message);
	const struct nlattr *attributes[ATTRIBUTES_MAX];

	kern_rtnl_attributes(message, sizeof(*info), attributes, ATTRIBUTES_MAX);
	/* IFA_ADDRESS is the peer's on a point-to-point link. */
	const struct nlattr *own = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
	if (info->ifa_family != AF_INET || !own)
		return 0;
	if (info->ifa_prefixlen > 32)
		return -1;
	struct inspect_address *address = vec_push(&reading->addresses);
	if (!address)
		return inspect_no_memory(reading);
	address->cidr = (struct cidr4){ .ip = inspect_ip_of(own), .length = info->ifa_prefixlen };
	address->link = info->ifa_index;
	return 0;
}

static int inspect_take_route(const struct nlmsghdr *message, void *context)
{
	struct host_reading *reading = context;
	const struct rtmsg *info = nlmsg_data(message);
	const struct nlattr *attributes[ATTRIBUTES_MAX];

	if (info->rtm_family != AF_INET || info->rtm_flags & RTM_F_CLONED)
		return 0;
	if (info->rtm_dst_len > 32)
		return -1;
	kern_rtnl_attributes(message, sizeof(*info), attributes, ATTRIBUTES_MAX);
	struct inspect_route *route = vec_push(&reading->routes);
	if (!route)
		return inspect_no_memory(reading);
	route->destination = (struct cidr4){ .ip = inspect_ip_of(attributes[RTA_DST]), .length = info->rtm_dst_len };
	route->table = attributes[RTA_TABLE] ? inspect_number_of(attributes[RTA_TABLE]) : info->rtm_table;
	route->type = info->rtm_type;
	route->link = inspect_number_of(attributes[RTA_OIF]);
	return 0;
}

/* Whether a rule selects by more than addresses. */
static bool inspect_selects_more(const struct nlattr *const *attributes, const struct fib_rule_hdr *info)
{
	static const int selectors[] = { FRA_IIFNAME, FRA_OIFNAME,  FRA_FWMARK,      FRA_UID_RANGE,
					 FRA_L3MDEV,  FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE };

	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++)
		if (attributes[selectors[i]])
			return true;
	return info->tos != 0;
}

static int inspect_take_rule(const struct nlmsghdr *message, void *context)
{
	struct host_reading *reading = context;
	const struct fib_rule_hdr *info = nlmsg_data(message);
	const struct nlattr *attributes[ATTRIBUTES_MAX];

	if (info->src_len > 32 || info->dst_len > 32)
		return -1;
	kern_rtnl_attributes(message, sizeof(*info), attributes, ATTRIBUTES_MAX);
	struct inspect_rule *rule = vec_push(&reading->rules);
	if (!rule)
		return inspect_no_memory(reading);
	rule->priority = inspect_number_of(attributes[FRA_PRIORITY]);
	if (info->action == FR_ACT_TO_TBL)
		rule->table = attributes[FRA_TABLE] ? inspect_number_of(attributes[FRA_TABLE]) : info->table;
	rule->source = (struct cidr4){ .ip = inspect_ip_of(attributes[FRA_SRC]), .length = info->src_len };
	rule->destination = (struct cidr4){ .ip = inspect_ip_of(attributes[FRA_DST]), .length = info->dst_len };
	rule->inverted = info->flags & FIB_RULE_INVERT;
	rule->selects_more = inspect_selects_more(attributes, info);
	rule->suppress_length =
	    attributes[FRA_SUPPRESS_PREFIXLEN] ? (int)inspect_number_of(attributes[FRA_SUPPRESS_PREFIXLEN]) : -1;
	return 0;
}

/* Dumps objects of TYPE. The family comes first in all four headers, and that of a link is the longest. */
static int inspect_dump(struct kern_rtnl *rtnl, uint16_t type, size_t header_size, kern_rtnl_take *take,
			struct host_reading *reading, struct err *err)
{
	const union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
		struct fib_rule_hdr rule;
	} body = { .link.ifi_family = type == RTM_GETLINK ? AF_UNSPEC : AF_INET };
	struct nl_msg *message = kern_rtnl_message(type, NLM_F_DUMP, &body, header_size);

	if (kern_rtnl_ask(rtnl, message, take, reading, err, "reading the kernel's routes") < 0 && err->code != EINTR)
		return -1;
	return reading->broken ? err_set(err, ENOMEM, "reading the kernel's routes") : 0;
}

static int inspect_compare_rules(const void *left, const void *right)
{
	const struct inspect_rule *a = left, *b = right;

	return (a->priority > b->priority) - (a->priority < b->priority);
}

static int inspect_read_host(struct kern_rtnl *rtnl, struct host_reading *reading, struct err *err)
{
	if (inspect_dump(rtnl, RTM_GETLINK, sizeof(struct ifinfomsg), inspect_take_link, reading, err) < 0 ||
	    inspect_dump(rtnl, RTM_GETADDR, sizeof(struct ifaddrmsg), inspect_take_address, reading, err) < 0 ||
	    inspect_dump(rtnl, RTM_GETROUTE, sizeof(struct rtmsg), inspect_take_route, reading, err) < 0)
		return -1;
	return inspect_dump(rtnl, RTM_GETRULE, sizeof(struct fib_rule_hdr), inspect_take_rule, reading, err);
}

int inspect_host(struct inspect_host *host, struct err *err)
{
	struct host_reading reading = { 0 };
	struct kern_rtnl rtnl;

	*host = (struct inspect_host){ 0 };
	if (kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	int result = inspect_read_host(&rtnl, &reading, err);
	kern_rtnl_close(&rtnl);
	*host = (struct inspect_host){ .links = reading.links.items,
				       .link_count = reading.links.count,
				       .addresses = reading.addresses.items,
				       .address_count = reading.addresses.count,
				       .routes = reading.routes.items,
				       .route_count = reading.routes.count,
				       .rules = reading.rules.items,
				       .rule_count = reading.rules.count };
	if (result < 0)
		inspect_host_clear(host);
	else if (host->rule_count)
		qsort(host->rules, host->rule_count, sizeof(host->rules[0]), inspect_compare_rules);
	return result;
}

void inspect_host_clear(struct inspect_host *host)
{
	free(host->links);
	free(host->addresses);
	free(host->routes);
	free(host->rules);
	*host = (struct inspect_host){ 0 };
}

const char *inspect_link_name(const struct inspect_host *host, unsigned index)
{
	for (size_t i = 0; i < host->link_count; i++)
		if (host->links[i].index == index)
			return host->links[i].name;
	return "?";
}
