/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks that the configuration fits this host, by one dump of its addresses and one of its routes. Leftovers of a former run
 * of ours (links of our group, routes with our protocol) are no conflict. There may be thousands of them while a starting
 * daemon is waited for, so a link whose address is the one that its name promises is not looked up.
 *
 * Our route of a whole range shows that we use it already. An address or a route of another that lies in it came later, and is no
 * mistake in the configuration: it must not keep us from the sandboxes that live there.
 */
#include "inspect/inspect.h"

#include "base/bind.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "config/config.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An address of the host, or a route, that lies in one of our ranges. */
struct host_finding {
	struct cidr4 cidr;
	int index; /* of its link */
};

struct found_list {
	VEC_OF(struct host_finding);
};

enum { RANGES = 2 };

struct check {
	const struct config *config;
	struct config_mistakes *mistakes;
	struct kern_rtnl rtnl;
	struct found_list addresses, routes;
	struct found_list sandboxes; /* addresses of the host's ends of veths, sorted by link */
	bool in_use[RANGES];         /* by us already */
	bool broken;                 /* no memory */
};

struct address_range {
	const char *key;
	const struct cidr4 *cidr;
};

static void inspect_ranges_of(const struct config *config, struct address_range ranges[static RANGES])
{
	ranges[0] = (struct address_range){ "host_cidr", &config->layout.host_cidr };
	ranges[1] = (struct address_range){ "veth_cidr", &config->layout.veth_cidr };
}

static void inspect_check_keep(struct check *check, struct found_list *list, const struct host_finding *found)
{
	struct host_finding *kept = vec_push(list);

	if (kept)
		*kept = *found;
	else
		check->broken = true;
}

static bool inspect_lies_in_ours(const struct check *check, const struct cidr4 *cidr)
{
	return addr_cidr4_overlaps(cidr, &check->config->layout.host_cidr) ||
	       addr_cidr4_overlaps(cidr, &check->config->layout.veth_cidr);
}

/*
 * Whether CIDR is the address of the host's end of the veth called NAME. Whether such a link is ours shows when its slot is
 * made.
 */
static bool inspect_is_of_veth(const struct check *check, const struct cidr4 *cidr, const char *name)
{
	unsigned slot = config_veth_slot(&check->config->layout, name);

	return slot && cidr->length == 31 && cidr->ip == config_veth_host_ip(&check->config->layout, slot);
}

static int inspect_check_take_address(const struct nlmsghdr *header, void *context)
{
	struct check *check = context;
	const struct ifaddrmsg *address = nlmsg_data(header);
	const struct nlattr *table[IFA_MAX + 1];
	struct host_finding found = { .index = (int)address->ifa_index };

	if (header->nlmsg_type != RTM_NEWADDR || address->ifa_family != AF_INET)
		return 0;
	kern_rtnl_attributes(header, sizeof(*address), table, IFA_MAX + 1);
	if (!table[IFA_LOCAL])
		return 0;
	found.cidr = (struct cidr4){ ntohl(nla_get_u32(table[IFA_LOCAL])), address->ifa_prefixlen };
	if (table[IFA_LABEL] && inspect_is_of_veth(check, &found.cidr, nla_get_string(table[IFA_LABEL])))
		inspect_check_keep(check, &check->sandboxes, &found);
	else if (inspect_lies_in_ours(check, &(struct cidr4){ found.cidr.ip, 32 }))
		inspect_check_keep(check, &check->addresses, &found);
	return 0;
}

static void inspect_check_take_our_route(struct check *check, const struct cidr4 *to)
{
	struct address_range ranges[RANGES];

	inspect_ranges_of(check->config, ranges);
	for (size_t i = 0; i < RANGES; i++)
		check->in_use[i] |= addr_cidr4_equal(to, ranges[i].cidr);
}

static int inspect_check_take_route(const struct nlmsghdr *header, void *context)
{
	struct check *check = context;
	const struct rtmsg *route = nlmsg_data(header);
	const struct nlattr *table[RTA_MAX + 1];
	struct host_finding found = { 0 };

	/* The table of local addresses repeats the addresses, and a default route covers everything. */
	if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_family != AF_INET || route->rtm_table == RT_TABLE_LOCAL ||
	    route->rtm_dst_len == 0 || route->rtm_flags & RTM_F_CLONED)
		return 0;
	kern_rtnl_attributes(header, sizeof(*route), table, RTA_MAX + 1);
	if (!table[RTA_DST])
		return 0;
	found.cidr = (struct cidr4){ ntohl(nla_get_u32(table[RTA_DST])), route->rtm_dst_len };
	if (route->rtm_protocol == KERN_ROUTE_PROTOCOL) {
		inspect_check_take_our_route(check, &found.cidr);
		return 0;
	}
	if (table[RTA_OIF])
		found.index = (int)nla_get_u32(table[RTA_OIF]);
	else if (table[RTA_MULTIPATH])
		found.index = ((const struct rtnexthop *)nla_data(table[RTA_MULTIPATH]))->rtnh_ifindex;
	if (inspect_lies_in_ours(check, &found.cidr))
		inspect_check_keep(check, &check->routes, &found);
	return 0;
}

static int inspect_compare_links(const void *a, const void *b)
{
	const struct host_finding *left = a, *right = b;

	return (left->index > right->index) - (left->index < right->index);
}

/* A veth of a former configuration, whose group and name are not known here: slots of all have these MACs. */
static bool inspect_is_former_veth(const struct kern_link *link)
{
	const struct mac ours = config_veth_host_mac(0);

	return strcmp(link->kind, "veth") == 0 && memcmp(link->mac.octets, ours.octets, 4) == 0;
}

/* Whether the link with this number is ours. If not, NAME is its name, or "?" if there is none. */
static bool inspect_is_link_ours(struct check *check, int index, char name[static CONFIG_LINK_SIZE])
{
	const struct host_finding wanted = { .index = index };
	struct kern_link link;
	struct err why;

	if (check->sandboxes.count &&
	    bsearch(&wanted, check->sandboxes.items, check->sandboxes.count, sizeof(wanted), inspect_compare_links))
		return true;
	if (!index || kern_link_get_index(&check->rtnl, index, &link, &why) < 0) {
		snprintf(name, CONFIG_LINK_SIZE, "%s", "?");
		/* A link that is gone took its address or route with it. */
		return index && why.code == ENODEV;
	}
	snprintf(name, CONFIG_LINK_SIZE, "%s", link.name);
	return link.group == check->config->layout.link_group || inspect_is_former_veth(&link);
}

static void inspect_check_address(struct check *check, const struct host_finding *address)
{
	struct address_range ranges[RANGES];
	char name[CONFIG_LINK_SIZE], text[IPV4_TEXT_SIZE];

	if (inspect_is_link_ours(check, address->index, name))
		return;
	inspect_ranges_of(check->config, ranges);
	for (size_t i = 0; i < RANGES; i++) {
		if (!addr_cidr4_contains(ranges[i].cidr, address->cidr.ip))
			continue;
		addr_ipv4_format(address->cidr.ip, text);
		if (check->in_use[i])
			log_warning("an address of the host lies in a range of ours", F_STR("key", ranges[i].key),
				    F_STR("address", text), F_STR("link", name));
		else
			config_mistake_add(check->mistakes, check->config, "addresses", ranges[i].key,
					   "the host's own address %s (%s) lies in it; "
					   "allowed: a range that the host does not use",
					   text, name);
	}
}

static void inspect_compare_route(struct check *check, const struct address_range *range, bool in_use,
				  const struct cidr4 *to, const char *name)
{
	char ours[CIDR4_TEXT_SIZE], theirs[CIDR4_TEXT_SIZE];

	addr_cidr4_format(range->cidr, ours);
	addr_cidr4_format(to, theirs);
	if (to->length >= range->cidr->length && in_use)
		log_warning("a route of the host leads into a range of ours", F_STR("range", ours),
			    F_STR("route", theirs), F_STR("link", name));
	else if (to->length >= range->cidr->length)
		config_mistake_add(check->mistakes, check->config, "addresses", range->key,
				   "the host has a route to %s by %s; "
				   "allowed: a range that no route as specific as it leads into",
				   theirs, name);
	else
		log_warning("a wider route of the host covers a range of ours; ours is the more specific one",
			    F_STR("range", ours), F_STR("route", theirs), F_STR("link", name));
}

static void inspect_check_route(struct check *check, const struct host_finding *route)
{
	struct address_range ranges[RANGES];
	char name[CONFIG_LINK_SIZE];

	if (inspect_is_link_ours(check, route->index, name))
		return;
	inspect_ranges_of(check->config, ranges);
	for (size_t i = 0; i < RANGES; i++) {
		if (addr_cidr4_overlaps(&route->cidr, ranges[i].cidr))
			inspect_compare_route(check, &ranges[i], check->in_use[i], &route->cidr, name);
	}
}

static int inspect_check_uplink(struct check *check, struct err *err)
{
	const char *uplink = check->config->addresses.uplink;
	struct kern_link link;

	if (!uplink || kern_link_get(&check->rtnl, KERN_LINK_HERE, uplink, &link, err) == 0)
		return 0;
	if (err->code != ENODEV)
		return -1;
	config_mistake_add(check->mistakes, check->config, "addresses", "uplink",
			   "no such link; allowed: the name of a link of the host");
	return 0;
}

/* Whether the host has the address of ADDR, so that a socket can listen on it. */
static bool inspect_host_has(const struct addr *addr)
{
	struct addr probe = *addr;
	AUTO_FD int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr_set_port(&probe, 0);
	if (fd < 0)
		return errno != EAFNOSUPPORT;
	if (bind(fd, &probe.any, addr_length(&probe)) < 0)
		return errno != EADDRNOTAVAIL;
	return !base_is_broadcast(addr);
}

/* V4_WILL_DO: without ::1 the other addresses of the list serve alone, which is logged once, at the start. */
static void inspect_check_listen(struct check *check, const char *section, const char *key,
				 const struct addr_list *list, bool v4_will_do)
{
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++) {
		const struct addr *addr = &list->items[i];

		bool v6_loopback = addr->any.sa_family == AF_INET6 && addr_is_loopback(addr);

		if (!inspect_host_has(addr) && !(v6_loopback && v4_will_do && list->count > 1))
			config_mistake_add_item(check->mistakes, check->config, section, key, i,
						addr_format(addr, text),
						"the host has no such address of its own; allowed: one that it has");
	}
}

/* Dumps again if something changed during the dump. */
static int inspect_check_dump(struct check *check, uint16_t type, size_t header_size, kern_rtnl_take *take,
			      struct err *err)
{
	enum { TRIES = 10 };

	for (int i = 0; i < TRIES; i++) {
		/* The family comes first in both headers, and that of a route is the longer. */
		const union {
			struct ifaddrmsg address;
			struct rtmsg route;
		} body = { .route.rtm_family = AF_INET };

		if (type == RTM_GETROUTE)
			check->routes.count = 0;
		else
			check->addresses.count = check->sandboxes.count = 0;
		if (kern_rtnl_ask(&check->rtnl, kern_rtnl_message(type, NLM_F_DUMP, &body, header_size), take, check,
				  err, "dump") == 0)
			return check->broken ? err_set(err, ENOMEM, "dump") : 0;
		if (err->code != EINTR)
			return -1;
	}
	return -1;
}

/*
 * Reads the host's addresses and routes. If slots come and go without a pause, no dump may end undisturbed. Then a daemon runs
 * here whose ranges were checked at its start, and a reload shall not fail for this.
 */
static int inspect_check_read_host(struct check *check, struct err *err)
{
	if (inspect_check_dump(check, RTM_GETADDR, sizeof(struct ifaddrmsg), inspect_check_take_address, err) == 0 &&
	    inspect_check_dump(check, RTM_GETROUTE, sizeof(struct rtmsg), inspect_check_take_route, err) == 0)
		return 0;
	if (err->code != EINTR)
		return -1;
	log_warning("the host's addresses and routes change too fast to be held against the configuration");
	check->addresses.count = check->routes.count = check->sandboxes.count = 0;
	return 0;
}

static int inspect_check_host(struct check *check, struct err *err)
{
	if (kern_rtnl_open(&check->rtnl, -1, NETLINK_ROUTE, err) < 0 || inspect_check_read_host(check, err) < 0)
		return -1;
	if (check->sandboxes.count)
		qsort(check->sandboxes.items, check->sandboxes.count, sizeof(struct host_finding),
		      inspect_compare_links);
	for (size_t i = 0; i < check->addresses.count; i++)
		inspect_check_address(check, &check->addresses.items[i]);
	for (size_t i = 0; i < check->routes.count; i++)
		inspect_check_route(check, &check->routes.items[i]);
	return inspect_check_uplink(check, err);
}

void inspect_check_config(const struct config *config, struct config_mistakes *mistakes)
{
	struct check check = { .config = config, .mistakes = mistakes, .rtnl = KERN_RTNL_CLOSED };
	struct err err;

	if (inspect_check_host(&check, &err) < 0)
		config_mistake_add(mistakes, config, "addresses", "host_cidr",
				   "the host's addresses and routes cannot be read: %s", err.text);
	inspect_check_listen(&check, "forwarder", "default_listen", &config->forwarder.default_listen, true);
	inspect_check_listen(&check, "http", "listen", &config->http.listen, false);
	kern_rtnl_close(&check.rtnl);
	vec_free(&check.addresses);
	vec_free(&check.routes);
	vec_free(&check.sandboxes);
}
