/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other routes and addresses inside our ranges. A shorter prefix does no harm, because ours is longer. One as long or longer
 * takes sandboxes away.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <linux/rtnetlink.h>

static const struct inspect_link *check_routes_link(const struct health_facts *facts, unsigned index)
{
	for (size_t i = 0; i < facts->host.link_count; i++)
		if (facts->host.links[i].index == index)
			return &facts->host.links[i];
	return NULL;
}

/* Our routes lead to links of our group, or are the `unreachable` ones of the whole ranges. */
static bool check_routes_is_ours(const struct health_facts *facts, const struct inspect_route *route)
{
	const struct inspect_link *link = check_routes_link(facts, route->link);

	return route->type == RTN_UNREACHABLE || (link && link->group == facts->config->layout.link_group);
}

static size_t check_routes_range(const struct health_facts *facts, const struct cidr4 *range, const char *option,
				 struct health_report *report)
{
	char route_text[CIDR4_TEXT_SIZE], range_text[CIDR4_TEXT_SIZE];
	size_t found = 0;

	for (size_t i = 0; i < facts->host.route_count; i++) {
		const struct inspect_route *route = &facts->host.routes[i];
		if (route->destination.length < range->length || !addr_cidr4_overlaps(&route->destination, range) ||
		    check_routes_is_ours(facts, route))
			continue;
		/* An address adds routes to its network, itself and its broadcast; one finding is enough. */
		if (route->type == RTN_BROADCAST || route->type == RTN_ANYCAST)
			continue;
		struct health_finding *finding = health_add(
		    report, "routes", HEALTH_FAIL, "%s %s dev %s (table %u) lies in %s, %s",
		    route->type == RTN_LOCAL ? "the host's own address" : "route",
		    addr_cidr4_format(&route->destination, route_text), inspect_link_name(&facts->host, route->link),
		    route->table, addr_cidr4_format(range, range_text), option);
		health_why(finding, "packets for the sandboxes whose addresses it covers go there instead");
		health_fix(finding, "ip route del %s dev %s, or another range for %s", route_text,
			   inspect_link_name(&facts->host, route->link), option);
		found++;
	}
	return found;
}

void check_routes(const struct health_facts *facts, struct health_report *report)
{
	const struct cidr4 *host = &facts->config->layout.host_cidr;
	const struct cidr4 *veth = &facts->config->layout.veth_cidr;
	char host_text[CIDR4_TEXT_SIZE], veth_text[CIDR4_TEXT_SIZE];

	size_t found = check_routes_range(facts, host, "[addresses] host_cidr", report) +
		       check_routes_range(facts, veth, "[addresses] veth_cidr", report);
	if (!found)
		health_add(report, "routes", HEALTH_OK, "nobody else has routes or addresses in %s and %s",
			   addr_cidr4_format(host, host_text), addr_cidr4_format(veth, veth_text));
}
