/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other routes and addresses inside our ranges. A shorter prefix does no harm, because ours is longer. One as long or longer
 * takes sandboxes away.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/owner.h"

#include <linux/rtnetlink.h>
#include <stdio.h>

static const struct inspect_link *check_routes_link(const struct health_facts *facts, unsigned index)
{
	for (size_t i = 0; i < facts->host.link_count; i++)
		if (facts->host.links[i].index == index)
			return &facts->host.links[i];
	return NULL;
}

/* Our routes lead to links of our groups, or to those of a sandbox that has lost its group, or are the `unreachable` ones of ranges. */
static bool check_routes_is_ours(const struct health_facts *facts, const struct inspect_route *route)
{
	const struct inspect_link *link = check_routes_link(facts, route->link);

	return route->type == RTN_UNREACHABLE ||
	       (link && (health_is_group_used(facts, link->group) || health_claim_link(facts, link) != CLAIM_FOREIGN));
}

enum { DEVICE_SIZE = 32 };

/* " dev NAME", as ip-route(8) has it; "" for a route without a link, such as a blackhole. Fills TEXT and returns it. */
static const char *check_routes_device(const struct health_facts *facts, unsigned index, char text[static DEVICE_SIZE])
{
	text[0] = '\0';
	if (index)
		snprintf(text, DEVICE_SIZE, " dev %s", inspect_link_name(&facts->host, index));
	return text;
}

static size_t check_routes_range(const struct health_facts *facts, const struct cidr4 *range, const char *option,
				 struct health_report *report)
{
	char route_text[CIDR4_TEXT_SIZE], range_text[CIDR4_TEXT_SIZE], device[DEVICE_SIZE];
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
		    report, "routes", HEALTH_FAIL, "%s %s%s (table %u) lies in %s, %s",
		    route->type == RTN_LOCAL ? "the host's own address" : "route",
		    addr_cidr4_format(&route->destination, route_text), check_routes_device(facts, route->link, device),
		    route->table, addr_cidr4_format(range, range_text), option);
		health_why(finding, "packets for the sandboxes whose addresses it covers go there instead");
		if (route->type == RTN_LOCAL)
			health_fix(finding, "ip addr del %s%s, or another range for %s", route_text, device, option);
		else
			health_fix(finding, "ip route del %s%s table %u, or another range for %s", route_text, device,
				   route->table, option);
		found++;
	}
	return found;
}

/* Whether a layout before the one at INDEX has RANGE. */
static bool check_routes_is_repeated(const struct health_facts *facts, size_t index, const struct cidr4 *range)
{
	for (size_t i = 0; i < index; i++) {
		const struct health_layout *layout = &facts->layouts.items[i];
		if (addr_cidr4_equal(&layout->host_cidr, range) || addr_cidr4_equal(&layout->veth_cidr, range))
			return true;
	}
	return false;
}

void check_routes(const struct health_facts *facts, struct health_report *report)
{
	char host_text[CIDR4_TEXT_SIZE], veth_text[CIDR4_TEXT_SIZE];
	size_t found = 0;

	for (size_t i = 0; i < facts->layouts.count; i++) {
		const struct health_layout *layout = &facts->layouts.items[i];
		if (!check_routes_is_repeated(facts, i, &layout->host_cidr))
			found += check_routes_range(facts, &layout->host_cidr, "[addresses] host_cidr", report);
		if (!check_routes_is_repeated(facts, i, &layout->veth_cidr))
			found += check_routes_range(facts, &layout->veth_cidr, "[addresses] veth_cidr", report);
	}
	if (!found)
		health_add(report, "routes", HEALTH_OK, "nobody else has routes or addresses in %s and %s%s",
			   addr_cidr4_format(&facts->config->layout.host_cidr, host_text),
			   addr_cidr4_format(&facts->config->layout.veth_cidr, veth_text),
			   facts->layouts.count > 1 ? ", and in ranges of slots made earlier" : "");
}
