/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the configuration fit this host? Read only, and by libnl's caches: nothing here is in a hurry, and no error has to be
 * told from another. What a former run of ours left (links of our group, routes with our protocol) is no conflict.
 */
#include "fabric/fabric.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "config/config.h"
#include "fabric/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct check {
	const struct config *config;
	struct config_mistakes *mistakes;
	struct nl_cache *links, *addresses, *routes;
};

struct range {
	const char *key;
	const struct cidr4 *cidr;
};

enum { RANGES = 2 };

static void ranges_of(const struct config *config, struct range ranges[static RANGES])
{
	ranges[0] = (struct range){ "host_cidr", &config->addresses.host_cidr };
	ranges[1] = (struct range){ "veth_cidr", &config->addresses.veth_cidr };
}

/* An IPv4 address of libnl's; false for other families. */
static bool get_cidr(const struct nl_addr *from, struct cidr4 *cidr)
{
	if (!from || nl_addr_get_family(from) != AF_INET)
		return false;
	cidr->ip = 0;
	if (nl_addr_get_len(from) == sizeof(cidr->ip))
		memcpy(&cidr->ip, nl_addr_get_binary_addr(from), sizeof(cidr->ip));
	cidr->ip = ntohl(cidr->ip);
	cidr->length = (uint8_t)nl_addr_get_prefixlen(from);
	return true;
}

static bool is_link_ours(const struct check *check, int index)
{
	struct rtnl_link *link = rtnl_link_get(check->links, index);
	bool ours = link && rtnl_link_get_group(link) == check->config->names.link_group;

	if (link)
		rtnl_link_put(link);
	return ours;
}

static void link_name(const struct check *check, int index, char name[static CONFIG_LINK_SIZE])
{
	if (!rtnl_link_i2name(check->links, index, name, CONFIG_LINK_SIZE))
		snprintf(name, CONFIG_LINK_SIZE, "%s", "?");
}

static void check_address(struct nl_object *object, void *context)
{
	struct check *check = context;
	struct rtnl_addr *address = (struct rtnl_addr *)object;
	struct range ranges[RANGES];
	char name[CONFIG_LINK_SIZE], text[IPV4_TEXT_SIZE];
	struct cidr4 cidr;

	if (!get_cidr(rtnl_addr_get_local(address), &cidr) || is_link_ours(check, rtnl_addr_get_ifindex(address)))
		return;
	ranges_of(check->config, ranges);
	for (size_t i = 0; i < RANGES; i++) {
		if (!cidr4_contains(ranges[i].cidr, cidr.ip))
			continue;
		link_name(check, rtnl_addr_get_ifindex(address), name);
		config_mistake_add(check->mistakes, check->config, "addresses", ranges[i].key,
				   "the host's own address %s (%s) lies in it; "
				   "allowed: a range that the host does not use",
				   ipv4_format(cidr.ip, text), name);
	}
}

static int first_link(struct rtnl_route *route)
{
	struct rtnl_nexthop *hop = rtnl_route_get_nnexthops(route) > 0 ? rtnl_route_nexthop_n(route, 0) : NULL;

	return hop ? rtnl_route_nh_get_ifindex(hop) : 0;
}

static void compare_route(struct check *check, const struct range *range, const struct cidr4 *to, const char *name)
{
	char ours[CIDR4_TEXT_SIZE], theirs[CIDR4_TEXT_SIZE];

	cidr4_format(range->cidr, ours);
	cidr4_format(to, theirs);
	if (to->length >= range->cidr->length)
		config_mistake_add(check->mistakes, check->config, "addresses", range->key,
				   "the host has a route to %s by %s; "
				   "allowed: a range that no route as specific as it leads into",
				   theirs, name);
	else
		log_warning("a wider route of the host covers a range of ours; ours is the more specific one",
			    F_STR("range", ours), F_STR("route", theirs), F_STR("link", name));
}

static void check_route(struct nl_object *object, void *context)
{
	struct check *check = context;
	struct rtnl_route *route = (struct rtnl_route *)object;
	int index = first_link(route);
	struct range ranges[RANGES];
	char name[CONFIG_LINK_SIZE];
	struct cidr4 to;

	/* The table of local addresses says what the addresses said; a default route covers everything. */
	if (rtnl_route_get_family(route) != AF_INET || rtnl_route_get_table(route) == RT_TABLE_LOCAL ||
	    rtnl_route_get_protocol(route) == ROUTE_PROTOCOL || !get_cidr(rtnl_route_get_dst(route), &to) ||
	    to.length == 0 || is_link_ours(check, index))
		return;
	ranges_of(check->config, ranges);
	link_name(check, index, name);
	for (size_t i = 0; i < RANGES; i++) {
		if (cidr4_overlaps(&to, ranges[i].cidr))
			compare_route(check, &ranges[i], &to, name);
	}
}

static void check_uplink(struct check *check)
{
	const char *uplink = check->config->addresses.uplink;

	if (uplink && !rtnl_link_name2i(check->links, uplink))
		config_mistake_add(check->mistakes, check->config, "addresses", "uplink",
				   "no such link; allowed: the name of a link of the host");
}

/* Whether a socket could listen on the address of ADDR: the host has it. */
static bool host_has(const struct addr *addr)
{
	struct addr probe = *addr;
	AUTO_FD int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr_set_port(&probe, 0);
	if (fd < 0)
		return errno != EAFNOSUPPORT;
	return bind(fd, &probe.any, addr_length(&probe)) == 0 || errno != EADDRNOTAVAIL;
}

/* V4_WILL_DO: without ::1 the other addresses of the list serve alone. That is told once, at the start. */
static void check_listen(struct check *check, const char *section, const char *key, const struct addr_list *list,
			 bool v4_will_do)
{
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++) {
		const struct addr *addr = &list->items[i];

		bool v6_loopback = addr->any.sa_family == AF_INET6 && addr_is_loopback(addr);

		if (!host_has(addr) && !(v6_loopback && v4_will_do && list->count > 1))
			config_mistake_add_item(check->mistakes, check->config, section, key, i,
						addr_format(addr, text),
						"the host has no such address; allowed: one of its own");
	}
}

static int fill(struct check *check, struct nl_sock *socket)
{
	int code = nl_connect(socket, NETLINK_ROUTE);

	if (code == 0)
		code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &check->links);
	if (code == 0)
		code = rtnl_addr_alloc_cache(socket, &check->addresses);
	if (code == 0)
		code = rtnl_route_alloc_cache(socket, AF_INET, 0, &check->routes);
	return code;
}

static void empty(struct check *check)
{
	struct nl_cache *caches[] = { check->links, check->addresses, check->routes };

	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		if (caches[i])
			nl_cache_free(caches[i]);
	}
}

void fabric_check_config(const struct config *config, struct config_mistakes *mistakes)
{
	struct check check = { .config = config, .mistakes = mistakes };
	struct nl_sock *socket = nl_socket_alloc();
	int code = socket ? fill(&check, socket) : -NLE_NOMEM;

	if (code == 0) {
		nl_cache_foreach(check.addresses, check_address, &check);
		nl_cache_foreach(check.routes, check_route, &check);
		check_uplink(&check);
	} else {
		config_mistake_add(mistakes, config, "addresses", "host_cidr",
				   "the host's addresses and routes cannot be read: %s", nl_geterror(code));
	}
	check_listen(&check, "forwarder", "default_listen", &config->forwarder.default_listen, true);
	check_listen(&check, "http", "listen", &config->http.listen, false);
	empty(&check);
	nl_socket_free(socket);
}
