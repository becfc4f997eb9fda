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

enum { ELSEWHERE = 0x01010101, WAYS = 5, WAY_HOOKS = 3, SOME_PORT = 40000 };

/* A packet's way through the host, by the hooks of the packet filter. */
struct way {
	const char *name;
	enum ruleset_hook hooks[WAY_HOOKS]; /* HOOK_NONE: no more */
	struct ruleset_packet packet;
};

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
static void check_firewall_list_forwarded(const struct health_facts *facts, const char *veth, struct way ways[static 2])
{
	const struct config *config = facts->config;
	uint32_t sandbox = config_host_ip(&config->layout, 1), group = config->layout.link_group;
	const char *uplink = check_firewall_uplink(facts);
	unsigned up = check_firewall_link_index(facts, uplink), down = check_firewall_link_index(facts, veth);

	ways[0] = (struct way){ "from sandboxes to other hosts",
				{ HOOK_PREROUTING, HOOK_FORWARD, HOOK_POSTROUTING },
				{ .iif = veth,
				  .oif = uplink,
				  .iif_index = down,
				  .oif_index = up,
				  .iif_group = group,
				  .source = sandbox,
				  .destination = ELSEWHERE,
				  .port = 443,
				  .source_port = SOME_PORT } };
	ways[1] = (struct way){ "from other hosts back to sandboxes",
				{ HOOK_PREROUTING, HOOK_FORWARD, HOOK_POSTROUTING },
				{ .iif = uplink,
				  .oif = veth,
				  .iif_index = up,
				  .oif_index = down,
				  .oif_group = group,
				  .source = ELSEWHERE,
				  .destination = sandbox,
				  .port = SOME_PORT,
				  .source_port = 443,
				  .established = true } };
}

static void check_firewall_list_own(const struct health_facts *facts, const char *veth, struct way ways[static 3])
{
	const struct config *config = facts->config;
	uint32_t sandbox = config_host_ip(&config->layout, 1), host = config_veth_host_ip(&config->layout, 1);
	uint32_t group = config->layout.link_group;
	unsigned down = check_firewall_link_index(facts, veth);
	uint16_t port = config->forwarder.default_guest_port;

	ways[0] = (struct way){ "from the host to sandboxes",
				{ HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_NONE },
				{ .iif = "",
				  .oif = veth,
				  .oif_index = down,
				  .oif_group = group,
				  .source = host,
				  .destination = sandbox,
				  .port = port,
				  .source_port = SOME_PORT,
				  .user = facts->client_user,
				  .group = facts->client_group } };
	ways[1] = (struct way){ "from sandboxes back to the host",
				{ HOOK_PREROUTING, HOOK_INPUT, HOOK_NONE },
				{ .iif = veth,
				  .oif = "",
				  .iif_index = down,
				  .iif_group = group,
				  .source = sandbox,
				  .destination = host,
				  .port = SOME_PORT,
				  .source_port = port,
				  .established = true,
				  .local_destination = true } };
	ways[2] = (struct way){ "from clients to endpoints on loopback",
				{ HOOK_OUTPUT, HOOK_INPUT, HOOK_NONE },
				{ .iif = "lo",
				  .oif = "",
				  .iif_index = check_firewall_link_index(facts, "lo"),
				  .source = INADDR_LOOPBACK,
				  .destination = INADDR_LOOPBACK,
				  .port = port,
				  .source_port = SOME_PORT,
				  .user = facts->client_user,
				  .group = facts->client_group,
				  .local_destination = true } };
}

/* A packet on loopback is one that leaves first, and then one that comes. */
static struct ruleset_packet check_firewall_packet_at(const struct way *way, enum ruleset_hook hook)
{
	struct ruleset_packet packet = way->packet;

	if (hook == HOOK_OUTPUT && packet.iif[0]) {
		packet.oif = packet.iif;
		packet.oif_index = packet.iif_index;
		packet.iif = "";
		packet.iif_index = 0;
	}
	return packet;
}

static void check_firewall_tell(const struct health_facts *facts, const struct way *way, enum ruleset_hook hook,
				const struct ruleset_packet *packet, const struct ruleset_answer *answer,
				enum health_fate fate, const char *tried, struct health_report *report)
{
	char where[HEALTH_FILTER_TEXT_SIZE];
	bool sure = fate == FATE_CAUGHT;

	health_filter_name(answer, where);
	if (fate == FATE_PASSED) {
		health_add(report, "firewall", HEALTH_OK, "packets %s pass %.200s: %s", way->name, where, tried);
		return;
	}
	struct health_finding *finding =
	    health_add(report, "firewall", sure ? HEALTH_FAIL : HEALTH_WARN, "packets %s are %sdropped in %s%s%s",
		       way->name, sure ? "" : "perhaps ", where, sure && tried[0] ? "; " : "", sure ? tried : "");
	if (sure)
		health_why(finding, "a drop in another table is final, although weft accepts in its own");
	else
		health_why(finding,
			   "a drop in another table is final, although weft accepts in its own; whether it happens "
			   "depends on conditions that are not visible from here; not tried: %s",
			   tried);
	health_filter_let_through(&facts->ruleset, facts->config, hook, packet, answer->chain, finding->fix,
				  sizeof(finding->fix));
}

/* The worst that any hook of the way does. */
static bool check_firewall_way(const struct health_facts *facts, const struct way *way, struct health_report *report)
{
	char tried[HEALTH_TRIED_SIZE], worst_tried[HEALTH_TRIED_SIZE] = "";
	struct ruleset_answer answer, worst_answer = { 0 };
	enum ruleset_hook worst_hook = HOOK_NONE;
	enum health_fate worst = FATE_FREE;

	for (size_t i = 0; i < WAY_HOOKS && way->hooks[i] != HOOK_NONE && worst != FATE_CAUGHT; i++) {
		struct ruleset_packet packet = check_firewall_packet_at(way, way->hooks[i]);
		enum health_fate fate = health_filter_ask(facts, way->hooks[i], VERDICT_DROP, &packet, &answer, tried);
		if (fate <= worst)
			continue;
		worst = fate;
		worst_answer = answer;
		worst_hook = way->hooks[i];
		memcpy(worst_tried, tried, sizeof(worst_tried));
	}
	if (worst == FATE_FREE)
		return true;
	struct ruleset_packet packet = check_firewall_packet_at(way, worst_hook);
	check_firewall_tell(facts, way, worst_hook, &packet, &worst_answer, worst, worst_tried, report);
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
	config_veth_name(&facts->config->layout, 1, veth);
	check_firewall_list_forwarded(facts, veth, ways);
	check_firewall_list_own(facts, veth, ways + 2);
	for (size_t i = 0; i < WAYS; i++)
		clear = check_firewall_way(facts, &ways[i], report) && clear;
	if (clear)
		health_add(report, "firewall", HEALTH_OK, "no table but weft's drops packets of sandboxes");
}
