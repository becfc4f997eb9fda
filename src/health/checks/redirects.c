/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of transparent proxies, which redirect connections to a port of their own. Such a proxy answers in the place
 * of sandboxes, or of weftd's endpoints. A guest may serve on any port, so each port that some rule names is tried too.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/filter.h"

#include <stdio.h>

enum { ELSEWHERE = 0x01010101, PORTS_MAX = 512 };

/* Ports of guests, each once, those that are known to matter first. */
struct redirect_ports {
	uint16_t numbers[PORTS_MAX];
	size_t count, known;
};

struct redirect_way {
	const char *name;
	const char *why;
	enum ruleset_hook hook;
	struct ruleset_packet packet;
	enum health_status worst;
};

static void check_redirects_add_port(struct redirect_ports *ports, uint16_t number)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->numbers[i] == number)
			return;
	if (ports->count < PORTS_MAX)
		ports->numbers[ports->count++] = number;
}

/* The ports that CHAIN's rules are about. */
static void check_redirects_add_chain(struct redirect_ports *ports, const struct ruleset_chain *chain)
{
	for (size_t i = 0; i < chain->rules.count; i++) {
		const struct ruleset_rule *rule = &chain->rules.items[i];
		for (size_t j = 0; j < rule->match_count; j++) {
			const struct ruleset_match *match = &rule->matches[j];
			if (match->field == FIELD_PORT && !match->differs && !match->offset && match->length == 2 &&
			    match->mask[0] == 0xff && match->mask[1] == 0xff)
				check_redirects_add_port(ports, (uint16_t)(match->value[0] << 8 | match->value[1]));
		}
	}
}

/* The default port, those that sandboxes publish, and those of rules. */
static void check_redirects_collect_ports(const struct health_facts *facts, struct redirect_ports *ports)
{
	ports->count = 0;
	check_redirects_add_port(ports, facts->config->forwarder.default_guest_port);
	for (size_t i = 0; i < facts->said.guest_ports.count; i++)
		check_redirects_add_port(ports, facts->said.guest_ports.items[i]);
	ports->known = ports->count;
	for (size_t i = 0; i < facts->ruleset.count; i++)
		check_redirects_add_chain(ports, &facts->ruleset.items[i]);
}

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
			   facts->config->layout.veth_prefix);
	return false;
}

/* One finding for each rule, however many ports it redirects. RULES_MAX bounds a list that people read. */
static bool check_redirects_to_sandboxes(const struct health_facts *facts, struct redirect_way way,
					 const struct redirect_ports *ports, struct health_report *report)
{
	enum { RULES_MAX = 8 };
	const struct ruleset_rule *told[RULES_MAX];
	size_t count = 0;
	char name[64];

	for (size_t i = 0; i < ports->count && count < RULES_MAX; i++) {
		bool again = false;

		way.packet.port = ports->numbers[i];
		struct ruleset_answer answer =
		    inspect_ruleset_ask(&facts->ruleset, way.hook, VERDICT_REDIRECT, &way.packet);
		for (size_t j = 0; j < count; j++)
			again |= told[j] == answer.rule;
		if (answer.certainty == RULESET_NO || again)
			continue;
		told[count++] = answer.rule;
		if (i > 0)
			snprintf(name, sizeof(name), "from the host to port %u of sandboxes", ports->numbers[i]);
		way.name = i ? name : "from the host to sandboxes";
		way.worst = i < ports->known ? HEALTH_FAIL : HEALTH_WARN;
		check_redirects_way(facts, &way, report);
	}
	return !count;
}

void check_redirects(const struct health_facts *facts, struct health_report *report)
{
	const struct config *config = facts->config;
	char veth[CONFIG_LINK_SIZE];
	uint32_t sandbox = config_host_ip(&config->layout, 1), host = config_veth_host_ip(&config->layout, 1);
	uint32_t group = config->layout.link_group;
	uint16_t port = config->forwarder.default_guest_port;
	struct redirect_ports ports;
	bool clear;

	if (facts->ruleset_error[0]) {
		health_add(report, "redirects", HEALTH_SKIPPED, "not visible from here: %s", facts->ruleset_error);
		return;
	}
	config_veth_name(&config->layout, 1, veth);
	const struct redirect_way to_sandboxes = { "",
						   "a transparent proxy answers in the sandboxes' place",
						   HOOK_OUTPUT,
						   { "", veth, 0, 0, 0, group, host, sandbox, port, false, 0 },
						   HEALTH_FAIL };
	const struct redirect_way ways[] = {
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
	check_redirects_collect_ports(facts, &ports);
	clear = check_redirects_to_sandboxes(facts, to_sandboxes, &ports, report);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		clear = check_redirects_way(facts, &ways[i], report) && clear;
	if (clear)
		health_add(report, "redirects", HEALTH_OK, "no rule redirects connections to sandboxes or from them");
}
