/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A drop in any table is final, so the command has to change the very chain that drops; which program manages it decides how. What
 * guests send to the host itself is let in only as an answer: another program's filter may be the second wall before its services.
 */
#include "health/filter.h"

#include "base/addr.h"
#include "config/config.h"
#include "health/facts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The ports that weftd and sandboxes may listen on are not for trials. */
static void health_filter_spare(const struct config *config, struct inspect_trial *trial, uint16_t ports[static 1])
{
	ports[0] = config->forwarder.default_guest_port;
	trial->spared = ports;
	trial->spared_count = 1;
	trial->spared_first = config->ports.first;
	trial->spared_last = config->ports.last;
}

enum health_fate health_filter_ask(const struct health_facts *facts, enum ruleset_hook hook, enum ruleset_verdict what,
				   const struct ruleset_packet *packet, struct ruleset_answer *answer,
				   char tried[static HEALTH_TRIED_SIZE])
{
	struct inspect_trial trial = {
		.ruleset = &facts->ruleset, .hook = hook, .what = what, .packet = packet, .answer = answer
	};
	uint16_t ports[1];

	tried[0] = '\0';
	*answer = inspect_ruleset_ask(&facts->ruleset, hook, what, packet);
	if (answer->certainty == RULESET_NO)
		return FATE_FREE;
	if (answer->certainty == RULESET_SURELY)
		return FATE_CAUGHT;
	health_filter_spare(facts->config, &trial, ports);
	snprintf(tried, HEALTH_TRIED_SIZE, "nothing may be tried here");
	switch (facts->try_filter ? facts->try_filter(&trial, tried, HEALTH_TRIED_SIZE) : TRIAL_NONE) {
	case TRIAL_NONE:
		return FATE_DOUBT;
	case TRIAL_PASSED:
		return FATE_PASSED;
	case TRIAL_CAUGHT:
		return FATE_CAUGHT;
	}
	return FATE_DOUBT;
}

const char *health_filter_name(const struct ruleset_answer *answer, char text[static HEALTH_FILTER_TEXT_SIZE])
{
	const struct ruleset_chain *chain = answer->chain;
	const struct ruleset_rule *rule = answer->rule;
	char by[96] = "by its policy";

	if (rule && rule->handle)
		snprintf(by, sizeof(by), "by the rule with handle %llu%s%s", (unsigned long long)rule->handle,
			 rule->word[0] ? ", " : "", rule->word);
	else if (rule)
		snprintf(by, sizeof(by), "by its rule %zu %s", (size_t)(rule - chain->rules.items) + 1, rule->word);
	snprintf(text, HEALTH_FILTER_TEXT_SIZE, "%s table %s %s, chain %s, %s",
		 chain->legacy ? "iptables-legacy" : "nftables", chain->family, chain->table, chain->name, by);
	return text;
}

void health_filter_let_through(const struct ruleset *ruleset, const struct config *config, enum ruleset_hook hook,
			       const struct ruleset_packet *packet, const struct ruleset_chain *chain, char *text,
			       size_t size)
{
	const char *prefix = config->layout.veth_prefix;
	const char *program = chain->legacy ? "iptables-legacy" : "iptables";
	bool iptables = chain->legacy || (strcmp(chain->family, "ip") == 0 && strcmp(chain->table, "filter") == 0);

	if (strcmp(chain->table, "firewalld") == 0)
		snprintf(text, size,
			 "firewall-cmd --permanent --zone=trusted --add-interface=%s+ && firewall-cmd --reload",
			 prefix);
	else if (strcmp(packet->iif, "lo") == 0 || strcmp(packet->oif, "lo") == 0)
		snprintf(text, size, "accept packets of lo before that rule");
	else if (iptables && hook == HOOK_FORWARD && inspect_ruleset_find(ruleset, chain, "DOCKER-USER"))
		snprintf(text, size, "%s -I DOCKER-USER -i %s+ -j ACCEPT && %s -I DOCKER-USER -o %s+ -j ACCEPT",
			 program, prefix, program, prefix);
	else if (iptables && hook == HOOK_FORWARD)
		snprintf(text, size, "%s -I FORWARD -i %s+ -j ACCEPT && %s -I FORWARD -o %s+ -j ACCEPT", program,
			 prefix, program, prefix);
	else if (iptables && hook == HOOK_INPUT)
		snprintf(text, size, "%s -I INPUT -i %s+ -m conntrack --ctstate ESTABLISHED -j ACCEPT", program,
			 prefix);
	else if (iptables && hook == HOOK_OUTPUT)
		snprintf(text, size, "%s -I OUTPUT -o %s+ -j ACCEPT", program, prefix);
	else if (chain->legacy)
		snprintf(text, size, "%s -t %s -I %s %s %s+ -j ACCEPT", program, chain->table, chain->name,
			 strncmp(packet->iif, prefix, strlen(prefix)) == 0 ? "-i" : "-o", prefix);
	else if (hook == HOOK_FORWARD)
		snprintf(text, size,
			 "nft insert rule %s %s %s iifname \"%s*\" accept && nft insert rule %s %s %s oifname \"%s*\" "
			 "accept",
			 chain->family, chain->table, chain->name, prefix, chain->family, chain->table, chain->name,
			 prefix);
	else if (hook == HOOK_INPUT)
		snprintf(text, size, "nft insert rule %s %s %s iifname \"%s*\" ct state established accept",
			 chain->family, chain->table, chain->name, prefix);
	else
		snprintf(text, size, "nft insert rule %s %s %s %s \"%s*\" accept", chain->family, chain->table,
			 chain->name, strncmp(packet->iif, prefix, strlen(prefix)) == 0 ? "iifname" : "oifname",
			 prefix);
}

void health_filter_exempt(const struct config *config, const struct ruleset_packet *packet,
			  const struct ruleset_answer *answer, char *text, size_t size)
{
	const struct ruleset_chain *chain = answer->chain;
	char range[CIDR4_TEXT_SIZE];

	if (packet->destination == INADDR_LOOPBACK)
		snprintf(range, sizeof(range), "127.0.0.0/8");
	else
		addr_cidr4_format(&config->layout.host_cidr, range);
	if (chain->legacy || (answer->rule && answer->rule->word[0] && answer->rule->word[0] < 'a'))
		snprintf(text, size, "exempt them: %s -t %s -I %s -d %s -j RETURN",
			 chain->legacy ? "iptables-legacy" : "iptables", chain->table, chain->name, range);
	else
		snprintf(text, size, "exempt them: nft insert rule %s %s %s ip daddr %s return", chain->family,
			 chain->table, chain->name, range);
}
