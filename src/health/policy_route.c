/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Computes the outcome of `ip rule` from the rules and tables, because the kernel answers only for sandboxes that exist. The main
 * table always has an answer for a sandbox's address: weft's route, or its `unreachable` for the range.
 */
#include "health/policy_route.h"

#include <linux/rtnetlink.h>
#include <stddef.h>

/* The longest route of TABLE to DESTINATION that a rule with SUPPRESS_LENGTH leaves. */
static const struct inspect_route *health_policy_look_up(const struct inspect_host *host, uint32_t table,
							 uint32_t destination, int suppress_length)
{
	const struct inspect_route *best = NULL;

	for (size_t i = 0; i < host->route_count; i++) {
		const struct inspect_route *route = &host->routes[i];
		if (route->table == table && addr_cidr4_contains(&route->destination, destination) &&
		    (!best || route->destination.length > best->destination.length))
			best = route;
	}
	if (best && (int)best->destination.length <= suppress_length)
		return NULL;
	return best && best->type == RTN_THROW ? NULL : best;
}

/* Whether the rule's addresses let DESTINATION through; the source is the host's own and not chosen yet. */
static bool health_policy_rule_applies(const struct inspect_rule *rule, uint32_t destination, bool *certain)
{
	bool holds = !rule->destination.length || addr_cidr4_contains(&rule->destination, destination);

	*certain = !rule->selects_more && !rule->source.length;
	if (rule->inverted)
		return !*certain || !holds;
	return holds;
}

static bool health_policy_is_ordinary(uint32_t table)
{
	return table == RT_TABLE_MAIN || table == RT_TABLE_LOCAL || table == RT_TABLE_DEFAULT;
}

enum policy_route_answer health_policy_route(const struct inspect_host *host, uint32_t destination,
					     const struct inspect_rule **rule, const struct inspect_route **route)
{
	enum policy_route_answer answer = POLICY_ROUTE_MAIN;
	const struct inspect_route *ignored;

	*rule = NULL;
	if (!route)
		route = &ignored;
	*route = NULL;
	for (size_t i = 0; i < host->rule_count; i++) {
		const struct inspect_rule *candidate = &host->rules[i];
		bool certain;
		if (!health_policy_rule_applies(candidate, destination, &certain))
			continue;
		/* The main table ends the walk; a rule that ignores prefixes does not ignore a whole address. */
		if (candidate->table == RT_TABLE_MAIN && certain && candidate->suppress_length < 16)
			return answer;
		const struct inspect_route *found =
		    health_policy_look_up(host, candidate->table, destination, candidate->suppress_length);
		if (!found || health_policy_is_ordinary(candidate->table) || answer != POLICY_ROUTE_MAIN)
			continue;
		*rule = candidate;
		*route = found;
		if (certain)
			return POLICY_ROUTE_OTHER;
		answer = POLICY_ROUTE_PERHAPS;
	}
	return answer;
}
