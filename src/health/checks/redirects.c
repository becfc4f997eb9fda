/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of transparent proxies, which redirect connections to a port of their own. Such a proxy answers in the place
 * of sandboxes, or of weftd's endpoints.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/filter.h"

#include <stdio.h>

enum { ELSEWHERE = 0x01010101 };

struct redirect_way {
	const char *name;
	const char *why;
	enum ruleset_hook hook;
	struct ruleset_packet packet;
	enum health_status worst;
};

static bool check_redirects_way(const struct health_facts *facts, const struct redirect_way *way,
				struct health_report *report)
{
	struct ruleset_answer answer = inspect_ruleset_ask(&facts->ruleset, way->hook, VERDICT_REDIRECT, &way->packet);
	bool sure = answer.certainty == RULESET_SURELY;

	if (answer.certainty == RULESET_NO)
		return true;
	struct health_finding *finding =
	    health_add(report, "redirects", sure ? way->worst : HEALTH_WARN,
		       "connections %s are %sredirected (%s) in %s table %s %s, chain %s", way->name,
		       sure ? "" : "perhaps ", answer.rule->word, answer.chain->legacy ? "iptables-legacy" : "nftables",
		       answer.chain->family, answer.chain->table, answer.chain->name);
	health_why(finding, "%s", way->why);
	health_filter_exempt(facts->config, &way->packet, &answer, finding->fix, sizeof(finding->fix));
	if (way->packet.destination == ELSEWHERE)
		health_fix(finding, "if that is not meant: exempt the links %s* in that chain",
			   facts->config->names.veth_prefix);
	return false;
}

void check_redirects(const struct health_facts *facts, struct health_report *report)
{
	const struct config *config = facts->config;
	char veth[CONFIG_LINK_SIZE];
	uint32_t sandbox = config_host_ip(config, 1), host = config_veth_host_ip(config, 1);
	uint32_t group = config->names.link_group;
	uint16_t port = config->forwarder.default_guest_port;
	bool clear = true;

	if (facts->ruleset_error[0]) {
		health_add(report, "redirects", HEALTH_SKIPPED, "not visible from here: %s", facts->ruleset_error);
		return;
	}
	config_veth_name(config, 1, veth);
	const struct redirect_way ways[] = {
		{ "from the host to sandboxes",
		  "a transparent proxy answers in the sandboxes' place",
		  HOOK_OUTPUT,
		  { "", veth, 0, 0, 0, group, host, sandbox, port, false, 0 },
		  HEALTH_FAIL },
		{ "to weftd's endpoints",
		  "a transparent proxy answers in weftd's place",
		  HOOK_OUTPUT,
		  { "", "lo", 0, 1, 0, 0, INADDR_LOOPBACK, INADDR_LOOPBACK, port, false, 0 },
		  HEALTH_FAIL },
		{ "from sandboxes to other hosts",
		  "connections from sandboxes go through a proxy of the host",
		  HOOK_PREROUTING,
		  { veth, "", 0, 0, group, 0, sandbox, ELSEWHERE, 443, false, 0 },
		  HEALTH_WARN },
	};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		clear = check_redirects_way(facts, &ways[i], report) && clear;
	if (clear)
		health_add(report, "redirects", HEALTH_OK, "no rule redirects connections to sandboxes or from them");
}
