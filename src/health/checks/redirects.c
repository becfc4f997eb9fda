/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of transparent proxies, which redirect connections to a port of their own. Such a proxy answers in the place
 * of sandboxes, or of weftd's endpoints. A guest may serve on any port, and a client may be any user, so packets are asked about at
 * each port and for each user at which some rule begins or ceases to hold.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/filter.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { ELSEWHERE = 0x01010101, SOME_PORT = 40000, NUMBERS_MAX = 512, USERS_MAX = 64, RULES_MAX = 8 };

/* Ports or users, each once, those that are known to matter first. */
struct redirect_numbers {
	uint32_t numbers[NUMBERS_MAX];
	size_t count, known, most;
	uint32_t first, last; /* others are left out */
};

struct redirect_way {
	const char *from, *to; /* "from the host", "sandboxes" */
	const char *why;
	enum ruleset_hook hook;
	struct ruleset_packet packet;
	enum health_status worst;
};

/* The rules that were told of; a list that people read has an end. */
struct redirect_told {
	const struct ruleset_rule *rules[RULES_MAX];
	size_t count;
};

static void check_redirects_add(void *context, uint32_t number)
{
	struct redirect_numbers *numbers = context;

	if (numbers->count == numbers->most || number < numbers->first || number > numbers->last)
		return;
	for (size_t i = 0; i < numbers->count; i++)
		if (numbers->numbers[i] == number)
			return;
	numbers->numbers[numbers->count++] = number;
}

/* The default port, those that sandboxes publish, and those of rules. */
static void check_redirects_collect_guest_ports(const struct health_facts *facts, struct redirect_numbers *ports)
{
	*ports = (struct redirect_numbers){ .most = NUMBERS_MAX, .first = 1, .last = UINT16_MAX };
	check_redirects_add(ports, facts->config->forwarder.default_guest_port);
	for (size_t i = 0; i < facts->said.guest_ports.count; i++)
		check_redirects_add(ports, facts->said.guest_ports.items[i]);
	ports->known = ports->count;
	inspect_ruleset_edges(&facts->ruleset, EDGE_PORT, check_redirects_add, ports);
}

/* The default endpoint's, and those that other endpoints get. */
static void check_redirects_collect_endpoints(const struct health_facts *facts, struct redirect_numbers *ports)
{
	const struct config *config = facts->config;

	*ports = (struct redirect_numbers){ .most = NUMBERS_MAX, .first = 1, .last = UINT16_MAX };
	for (size_t i = 0; i < config->forwarder.default_listen.count; i++)
		check_redirects_add(ports, addr_port(&config->forwarder.default_listen.items[i]));
	check_redirects_add(ports, config->ports.first);
	ports->known = ports->count;
	ports->first = config->ports.first;
	ports->last = config->ports.last;
	inspect_ruleset_edges(&facts->ruleset, EDGE_PORT, check_redirects_add, ports);
}

/* The caller, and those of rules. */
static void check_redirects_collect_users(const struct health_facts *facts, enum ruleset_edge edge,
					  struct redirect_numbers *users)
{
	*users = (struct redirect_numbers){ .most = USERS_MAX, .last = UINT32_MAX };
	check_redirects_add(users, edge == EDGE_USER ? facts->client_user : facts->client_group);
	users->known = 1;
	inspect_ruleset_edges(&facts->ruleset, edge, check_redirects_add, users);
}

static void check_redirects_tell(const struct health_facts *facts, const struct redirect_way *way, const char *name,
				 const struct ruleset_answer *answer, enum health_fate fate, const char *tried,
				 struct health_report *report)
{
	const char *kind = answer->chain->legacy ? "iptables-legacy" : "nftables";
	const char *word = answer->rule && answer->rule->word[0] ? answer->rule->word : "dnat";
	bool sure = fate == FATE_CAUGHT;

	if (fate == FATE_PASSED) {
		health_add(report, "redirects", HEALTH_OK,
			   "connections %s pass a rule (%s) in %s table %s %s, chain %s: %s", name, word, kind,
			   answer->chain->family, answer->chain->table, answer->chain->name, tried);
		return;
	}
	struct health_finding *finding =
	    health_add(report, "redirects", sure ? way->worst : HEALTH_WARN,
		       "connections %s are %sredirected (%s) in %s table %s %s, chain %s%s%s", name,
		       sure ? "" : "perhaps ", word, kind, answer->chain->family, answer->chain->table,
		       answer->chain->name, sure && tried[0] ? "; " : "", sure ? tried : "");
	health_why(finding, "%s%s%s", way->why, sure ? "" : "; not tried: ", sure ? "" : tried);
	health_filter_exempt(facts->config, &way->packet, answer, finding->fix, sizeof(finding->fix));
	if (way->packet.destination == ELSEWHERE)
		health_fix(finding, "if that is not meant: exempt the links %s* in that chain",
			   facts->config->layout.veth_prefix);
}

static bool check_redirects_is_told(const struct redirect_told *told, const struct ruleset_rule *rule)
{
	for (size_t i = 0; i < told->count; i++)
		if (told->rules[i] == rule)
			return true;
	return told->count == RULES_MAX;
}

/* Asks about the way's packet, unless its rule was told of. NAME: of the connections. */
static void check_redirects_ask(const struct health_facts *facts, const struct redirect_way *way, const char *name,
				struct redirect_told *told, struct health_report *report)
{
	struct ruleset_answer answer = inspect_ruleset_ask(&facts->ruleset, way->hook, VERDICT_REDIRECT, &way->packet);
	char tried[HEALTH_TRIED_SIZE];

	if (answer.certainty == RULESET_NO || check_redirects_is_told(told, answer.rule))
		return;
	told->rules[told->count++] = answer.rule;
	enum health_fate fate = health_filter_ask(facts, way->hook, VERDICT_REDIRECT, &way->packet, &answer, tried);
	check_redirects_tell(facts, way, name, &answer, fate, tried, report);
}

/* The caller's connections to each port. */
static void check_redirects_ports(const struct health_facts *facts, struct redirect_way way,
				  const struct redirect_numbers *ports, struct redirect_told *told,
				  struct health_report *report)
{
	char name[96];

	for (size_t i = 0; i < ports->count; i++) {
		way.packet.port = (uint16_t)ports->numbers[i];
		way.worst = i < ports->known ? HEALTH_FAIL : HEALTH_WARN;
		if (i > 0)
			snprintf(name, sizeof(name), "%s to port %u of %s", way.from, way.packet.port, way.to);
		else
			snprintf(name, sizeof(name), "%s to %s", way.from, way.to);
		check_redirects_ask(facts, &way, name, told, report);
	}
}

/* Other users' connections to the ports that are known to matter. */
static void check_redirects_users(const struct health_facts *facts, struct redirect_way way, enum ruleset_edge edge,
				  const struct redirect_numbers *ports, struct redirect_told *told,
				  struct health_report *report)
{
	struct redirect_numbers users;
	char name[96];

	check_redirects_collect_users(facts, edge, &users);
	way.worst = HEALTH_WARN;
	for (size_t i = users.known; i < users.count; i++) {
		*(edge == EDGE_USER ? &way.packet.user : &way.packet.group) = users.numbers[i];
		snprintf(name, sizeof(name), "%s of %s %u to %s", way.from, edge == EDGE_USER ? "user" : "group",
			 users.numbers[i], way.to);
		for (size_t j = 0; j < ports->known; j++) {
			way.packet.port = (uint16_t)ports->numbers[j];
			check_redirects_ask(facts, &way, name, told, report);
		}
	}
}

/* What the host's processes send, of any of its users, to any of the ports. */
static void check_redirects_sent(const struct health_facts *facts, const struct redirect_way *way,
				 const struct redirect_numbers *ports, struct health_report *report)
{
	struct redirect_told told = { .count = 0 };

	check_redirects_ports(facts, *way, ports, &told, report);
	check_redirects_users(facts, *way, EDGE_USER, ports, &told, report);
	check_redirects_users(facts, *way, EDGE_USER_GROUP, ports, &told, report);
}

static void check_redirects_to_sandboxes(const struct health_facts *facts, const char *veth,
					 struct health_report *report)
{
	const struct config *config = facts->config;
	const struct redirect_way way = { "from the host",
					  "sandboxes",
					  "a transparent proxy answers in the sandboxes' place",
					  HOOK_OUTPUT,
					  { .iif = "",
					    .oif = veth,
					    .oif_group = config->layout.link_group,
					    .source = config_veth_host_ip(&config->layout, 1),
					    .destination = config_host_ip(&config->layout, 1),
					    .source_port = SOME_PORT,
					    .user = facts->client_user,
					    .group = facts->client_group },
					  HEALTH_FAIL };
	struct redirect_numbers ports;

	check_redirects_collect_guest_ports(facts, &ports);
	check_redirects_sent(facts, &way, &ports, report);
}

static void check_redirects_to_endpoints(const struct health_facts *facts, struct health_report *report)
{
	const struct redirect_way way = { "from clients",
					  "weftd's endpoints",
					  "a transparent proxy answers in weftd's place",
					  HOOK_OUTPUT,
					  { .iif = "",
					    .oif = "lo",
					    .oif_index = 1,
					    .source = INADDR_LOOPBACK,
					    .destination = INADDR_LOOPBACK,
					    .source_port = SOME_PORT,
					    .user = facts->client_user,
					    .group = facts->client_group,
					    .local_destination = true },
					  HEALTH_FAIL };
	struct redirect_numbers ports;

	check_redirects_collect_endpoints(facts, &ports);
	check_redirects_sent(facts, &way, &ports, report);
}

static void check_redirects_from_sandboxes(const struct health_facts *facts, const char *veth,
					   struct health_report *report)
{
	const struct config *config = facts->config;
	const struct redirect_way way = { "from sandboxes",
					  "other hosts",
					  "connections from sandboxes go through a proxy of the host",
					  HOOK_PREROUTING,
					  { .iif = veth,
					    .oif = "",
					    .iif_group = config->layout.link_group,
					    .source = config_host_ip(&config->layout, 1),
					    .destination = ELSEWHERE,
					    .port = 443,
					    .source_port = SOME_PORT },
					  HEALTH_WARN };
	struct redirect_told told = { .count = 0 };

	check_redirects_ask(facts, &way, "from sandboxes to other hosts", &told, report);
}

void check_redirects(const struct health_facts *facts, struct health_report *report)
{
	char veth[CONFIG_LINK_SIZE];
	size_t before = report->count;

	if (facts->ruleset_error[0]) {
		health_add(report, "redirects", HEALTH_SKIPPED, "not visible from here: %s", facts->ruleset_error);
		return;
	}
	config_veth_name(&facts->config->layout, 1, veth);
	check_redirects_to_sandboxes(facts, veth, report);
	check_redirects_to_endpoints(facts, report);
	check_redirects_from_sandboxes(facts, veth, report);
	if (report->count == before)
		health_add(report, "redirects", HEALTH_OK, "no rule redirects connections to sandboxes or from them");
}
