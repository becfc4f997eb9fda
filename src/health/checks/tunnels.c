/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TUN-mode proxies and VPNs (Clash, sing-box, WireGuard, ...) add policy rules with a table of their own before the main one, a
 * default route into a tunnel, and DNS answers with addresses of 198.18.0.0/15.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/policy_route.h"

#include <linux/rtnetlink.h>
#include <string.h>

static const struct cidr4 fake_range = { .ip = 0xc6120000, .length = 15 };

enum { ELSEWHERE = 0x01010101 };

static bool check_tunnels_policy_rules(const struct health_facts *facts, struct health_report *report)
{
	const struct inspect_rule *rule;
	const struct inspect_route *route;
	uint32_t sandbox = config_host_ip(&facts->config->layout, 1);
	char range[CIDR4_TEXT_SIZE];
	enum policy_route_answer answer = health_policy_route(&facts->host, sandbox, &rule, &route);

	if (answer == POLICY_ROUTE_MAIN)
		return true;
	struct health_finding *finding =
	    health_add(report, "tunnels", answer == POLICY_ROUTE_OTHER ? HEALTH_FAIL : HEALTH_WARN,
		       "policy rule %u sends packets for sandboxes to table %u, dev %s%s", rule->priority, rule->table,
		       inspect_link_name(&facts->host, route->link),
		       answer == POLICY_ROUTE_OTHER ? "" : ", if its other conditions hold");
	health_why(finding, "the sandboxes' host addresses then lead into that link and not to the sandboxes");
	health_fix(finding, "ip rule add to %s lookup main priority %u",
		   addr_cidr4_format(&facts->config->layout.host_cidr, range), rule->priority ? rule->priority - 1 : 0);
	return false;
}

static bool check_tunnels_is_tunnel(const struct inspect_link *link)
{
	return strcmp(link->kind, "tun") == 0 || strcmp(link->kind, "wireguard") == 0;
}

/* Whether the default route leads into a tunnel. Its halves (0/1 and 128/1) count too. */
static bool check_tunnels_default_route(const struct health_facts *facts, struct health_report *report)
{
	const struct inspect_rule *rule;
	const struct inspect_route *best = NULL;

	health_policy_route(&facts->host, ELSEWHERE, &rule, &best);
	for (size_t i = 0; !best && i < facts->host.route_count; i++) {
		const struct inspect_route *route = &facts->host.routes[i];
		if (route->table == RT_TABLE_MAIN && route->destination.length == 1 &&
		    addr_cidr4_contains(&route->destination, ELSEWHERE))
			best = route;
	}
	for (size_t i = 0; !best && i < facts->host.route_count; i++)
		if (facts->host.routes[i].table == RT_TABLE_MAIN && facts->host.routes[i].destination.length == 0)
			best = &facts->host.routes[i];
	for (size_t i = 0; best && i < facts->host.link_count; i++) {
		const struct inspect_link *link = &facts->host.links[i];
		const char *uplink = facts->config->addresses.uplink;
		if (link->index != best->link || !check_tunnels_is_tunnel(link) ||
		    (uplink && strcmp(uplink, link->name) == 0))
			continue;
		struct health_finding *finding =
		    health_add(report, "tunnels", HEALTH_WARN, "other hosts are reached through the tunnel %s (%s)",
			       link->name, link->kind);
		health_why(finding, "packets from sandboxes go through it too, with its smaller MTU, and stop with it");
		health_fix(finding, "if that is meant: [addresses] uplink = %s; else leave its automatic routes off",
			   link->name);
		return false;
	}
	return true;
}

static bool check_tunnels_fake_range(const struct health_facts *facts, struct health_report *report)
{
	unsigned link = 0;

	for (size_t i = 0; i < facts->host.address_count && !link; i++)
		if (addr_cidr4_overlaps(&facts->host.addresses[i].cidr, &fake_range) &&
		    facts->host.addresses[i].cidr.length > 8)
			link = facts->host.addresses[i].link;
	for (size_t i = 0; i < facts->host.route_count && !link; i++)
		if (addr_cidr4_overlaps(&facts->host.routes[i].destination, &fake_range) &&
		    facts->host.routes[i].destination.length > 8)
			link = facts->host.routes[i].link;
	if (!link)
		return true;
	struct health_finding *finding = health_add(report, "tunnels", HEALTH_WARN,
						    "198.18.0.0/15 leads to %s: names are answered with fake addresses",
						    inspect_link_name(&facts->host, link));
	health_why(finding, "a sandbox that asks the host's resolver gets addresses that exist only inside that proxy");
	health_fix(finding, "[addresses] dns = a resolver that is not the proxy's; or the proxy's fake-ip mode off");
	return false;
}

void check_tunnels(const struct health_facts *facts, struct health_report *report)
{
	bool clear = check_tunnels_policy_rules(facts, report);

	clear = check_tunnels_default_route(facts, report) && clear;
	clear = check_tunnels_fake_range(facts, report) && clear;
	if (clear)
		health_add(report, "tunnels", HEALTH_OK, "no policy rule and no tunnel stands before the main table");
}
