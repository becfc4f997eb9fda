/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few extensions of xtables that decide about packets like ours in the rules of Docker, ufw and the like. All others are
 * unknown conditions.
 */
#include "inspect/ruleset.h"

#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_state.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

void inspect_ruleset_add_match(struct ruleset_rule *rule, const struct ruleset_match *match)
{
	if (rule->match_count < RULESET_MATCHES_MAX)
		rule->matches[rule->match_count++] = *match;
	else
		rule->matches[RULESET_MATCHES_MAX - 1] = (struct ruleset_match){ .field = FIELD_UNKNOWN };
}

/* The connection's state is, or with INVERTED is not, one of those in MASK. */
static struct ruleset_match inspect_ruleset_xt_state_match(uint32_t mask, bool inverted)
{
	struct ruleset_match match = { .field = FIELD_CT_STATE, .differs = !inverted, .length = 4 };

	memcpy(match.mask, &mask, sizeof(mask));
	return match;
}

static struct ruleset_match inspect_ruleset_xt_local_match(bool inverted)
{
	struct ruleset_match match = { .field = FIELD_ADDRESS_TYPE, .differs = inverted, .length = 4 };
	uint32_t type = RTN_LOCAL;

	memset(match.mask, 0xff, 4);
	memcpy(match.value, &type, sizeof(type));
	return match;
}

void inspect_ruleset_add_xt_match(struct ruleset_rule *rule, const char *name, unsigned revision, const void *data,
				  size_t length)
{
	struct ruleset_match match = { .field = FIELD_UNKNOWN };
	struct xt_conntrack_mtinfo3 conntrack;
	struct xt_addrtype_info_v1 type;
	struct xt_state_info state;

	if (strcmp(name, "comment") == 0)
		return;
	if (strcmp(name, "conntrack") == 0 && revision == 3 && length >= sizeof(conntrack)) {
		memcpy(&conntrack, data, sizeof(conntrack));
		if (conntrack.match_flags == XT_CONNTRACK_STATE)
			match = inspect_ruleset_xt_state_match(conntrack.state_mask,
							       conntrack.invert_flags & XT_CONNTRACK_STATE);
	} else if (strcmp(name, "state") == 0 && length >= sizeof(state)) {
		memcpy(&state, data, sizeof(state));
		match = inspect_ruleset_xt_state_match(state.statemask, false);
	} else if (strcmp(name, "addrtype") == 0 && revision == 1 && length >= sizeof(type)) {
		memcpy(&type, data, sizeof(type));
		if (type.source == 0 && type.dest == XT_ADDRTYPE_LOCAL &&
		    !(type.flags & (XT_ADDRTYPE_LIMIT_IFACE_IN | XT_ADDRTYPE_LIMIT_IFACE_OUT)))
			match = inspect_ruleset_xt_local_match(type.flags & XT_ADDRTYPE_INVERT_DEST);
	}
	inspect_ruleset_add_match(rule, &match);
}

void inspect_ruleset_set_xt_target(struct ruleset_rule *rule, const char *name)
{
	static const struct {
		const char *name;
		enum ruleset_verdict verdict;
	} targets[] = {
		{ "REJECT", VERDICT_DROP },       { "DROP", VERDICT_DROP },       { "ACCEPT", VERDICT_ACCEPT },
		{ "REDIRECT", VERDICT_REDIRECT }, { "TPROXY", VERDICT_REDIRECT }, { "DNAT", VERDICT_REDIRECT },
		{ "MASQUERADE", VERDICT_ACCEPT }, { "SNAT", VERDICT_ACCEPT },     { "LOG", VERDICT_NONE },
		{ "NFLOG", VERDICT_NONE },        { "MARK", VERDICT_NONE },       { "CONNMARK", VERDICT_NONE },
		{ "TCPMSS", VERDICT_NONE },       { "CT", VERDICT_NONE },         { "TRACE", VERDICT_NONE },
		{ "CHECKSUM", VERDICT_NONE },     { "CLASSIFY", VERDICT_NONE },   { "SET", VERDICT_NONE },
	};

	snprintf(rule->word, sizeof(rule->word), "%.15s", name);
	rule->verdict = VERDICT_UNKNOWN;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (strcmp(name, targets[i].name) == 0)
			rule->verdict = targets[i].verdict;
}
