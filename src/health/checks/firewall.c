/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filters of other programs. A drop in any table is final, even if weft's own table accepts. So each way of a sandbox's
 * packets is walked through all tables, and the finding names the rule that drops them.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/filter.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

struct way {
	const char *name;
	enum ruleset_hook hook;
	struct ruleset_packet packet;
};

enum { ELSEWHERE = 0x01010101, WAYS = 5 };

static unsigned check_firewall_link_index(const struct health_facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->host.link_count; i++)
		if (strcmp(facts->host.links[i].name, name) == 0)
			return facts->host.links[i].index;
	return 0;
}

/* The link by which the host goes out; a name that no rule has if there is none. */
static const char *check_firewall_uplink(const struct health_facts *facts)
{
	if (facts->config->addresses.uplink)
		return facts->config->addresses.uplink;
	for (size_t i = 0; i < facts->host.route_count; i++) {
		const struct inspect_route *route = &facts->host.routes[i];
		if (route->table == RT_TABLE_MAIN && route->destination.length == 0 && route->type == RTN_UNICAST)
			return inspect_link_name(&facts->host, route->link);
	}
	return "no-uplink";
}

/* The ways of slot 1. A filter treats all slots alike unless it was written for one. */
static void check_firewall_list_ways(const struct health_facts *facts, const char *veth, struct way ways[static WAYS])
{
	const struct config *config = facts->config;
	uint32_t sandbox = config_host_ip(&config->layout, 1), host = config_veth_host_ip(&config->layout, 1);
	uint32_t group = config->layout.link_group;
	const char *uplink = check_firewall_uplink(facts);
	unsigned up = check_firewall_link_index(facts, uplink), down = check_firewall_link_index(facts, veth);
	uint16_t port = config->forwarder.default_guest_port;

	ways[0] = (struct way){ "from sandboxes to other hosts",
				HOOK_FORWARD,
				{ veth, uplink, down, up, group, 0, sandbox, ELSEWHERE, 443, false, 0 } };
	ways[1] = (struct way){ "from other hosts back to sandboxes",
				HOOK_FORWARD,
				{ uplink, veth, up, down, 0, group, ELSEWHERE, sandbox, 40000, true, 0 } };
	ways[2] = (struct way){ "from the host to sandboxes",
				HOOK_OUTPUT,
				{ "", veth, 0, down, 0, group, host, sandbox, port, false, 0 } };
	ways[3] = (struct way){ "from sandboxes back to the host",
				HOOK_INPUT,
				{ veth, "", down, 0, group, 0, sandbox, host, 40000, true, 0 } };
	ways[4] = (struct way){ "from clients to endpoints on loopback",
				HOOK_INPUT,
				{ "lo", "", check_firewall_link_index(facts, "lo"), 0, 0, 0, INADDR_LOOPBACK,
				  INADDR_LOOPBACK, port, false, 0 } };
}

static bool check_firewall_way(const struct health_facts *facts, const struct way *way, struct health_report *report)
{
	struct ruleset_answer answer = inspect_ruleset_ask(&facts->ruleset, way->hook, VERDICT_DROP, &way->packet);
	char where[HEALTH_FILTER_TEXT_SIZE];

	if (answer.certainty == RULESET_NO)
		return true;
	bool sure = answer.certainty == RULESET_SURELY;
	struct health_finding *finding =
	    health_add(report, "firewall", sure ? HEALTH_FAIL : HEALTH_WARN, "packets %s are %sdropped in %s",
		       way->name, sure ? "" : "perhaps ", health_filter_name(&answer, where));
	health_why(finding, "a drop in another table is final, although weft accepts in its own%s",
		   sure ? "" : "; whether it happens depends on conditions that are not visible from here");
	health_filter_let_through(&facts->ruleset, facts->config, way->hook, &way->packet, answer.chain, finding->fix,
				  sizeof(finding->fix));
	return false;
}

void check_firewall(const struct health_facts *facts, struct health_report *report)
{
	char veth[CONFIG_LINK_SIZE];
	struct way ways[WAYS];
	bool clear = true;

	if (facts->ruleset_error[0]) {
		struct health_finding *finding =
		    health_add(report, "firewall", HEALTH_SKIPPED, "not visible from here: %s", facts->ruleset_error);
		health_fix(finding, "run weftctl doctor as root");
		return;
	}
	check_firewall_list_ways(facts, config_veth_name(&facts->config->layout, 1, veth), ways);
	for (size_t i = 0; i < WAYS; i++)
		clear = check_firewall_way(facts, &ways[i], report) && clear;
	if (clear)
		health_add(report, "firewall", HEALTH_OK, "no table but weft's drops packets of sandboxes");
}
