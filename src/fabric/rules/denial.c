/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of denials in the API: by the counter of the rule that denied, by the mark of a slot's record, and by protocol.
 */
#include "fabric/rules/denial.h"

#include "base/addr_proto.h"

#include <string.h>

static const struct {
	const char *counter, *name;
	const char *other; /* another counter of the same rule, or NULL */
} rules[FABRIC_RULES] = {
	[FABRIC_RULE_PRIVATE] = { .counter = "denied_private", .name = "private" },
	[FABRIC_RULE_SANDBOX] = { .counter = "denied_sandbox", .name = "sandbox" },
	[FABRIC_RULE_DENY] = { .counter = "denied_policy", .name = "deny" },
	[FABRIC_RULE_INTERNET] = { .counter = RULES_COUNTER_INTERNET, .name = "internet" },
	[FABRIC_RULE_ISOLATED] = { .counter = RULES_COUNTER_ISOLATED, .name = "isolated" },
	[FABRIC_RULE_GATEWAY] = { .counter = "denied_gateway", .name = "gateway" },
	[FABRIC_RULE_CONNECTIONS] = { .counter = "denied_connections", .name = "connections" },
	[FABRIC_RULE_HOST] = { .counter = "denied_host", .name = "host" },
	[FABRIC_RULE_INGRESS] = { .counter = "denied_ingress", .name = "ingress" },
	[FABRIC_RULE_LOCAL] = { .counter = "denied_local", .name = "local" },
	[FABRIC_RULE_MAC] = { .counter = "drop_mac", .name = "mac" },
	[FABRIC_RULE_ARP] = { .counter = "drop_arp", .name = "arp" },
	[FABRIC_RULE_IPV6] = { .counter = "drop_ipv6", .name = "ipv6" },
	[FABRIC_RULE_PROTOCOL] = { .counter = "drop_protocol", .name = "protocol", .other = "denied_protocol" },
	[FABRIC_RULE_SOURCE] = { .counter = "drop_source", .name = "source" },
	[FABRIC_RULE_MULTICAST] = { .counter = "drop_multicast", .name = "multicast" },
	[FABRIC_RULE_MARTIAN] = { .counter = "drop_martian", .name = "martian" },
	[FABRIC_RULE_MALFORMED] = { .counter = "drop_malformed", .name = "malformed" },
	[FABRIC_RULE_RATE] = { .counter = "drop_rate", .name = "rate" },
	[FABRIC_RULE_FORWARD] = { .counter = "drop_forward", .name = "forward" },
	[FABRIC_RULE_FAMILY] = { .counter = "drop_family", .name = "family" },
	[FABRIC_RULE_ERROR] = { .counter = "drop_error", .name = "icmp-error" },
	[FABRIC_RULE_SOLICITATION] = { .counter = "router_solicitations", .name = "solicitation" },
};

const char *rules_name(enum fabric_rule rule)
{
	return rules[rule].name;
}

bool rules_of_counter(const char *name, enum fabric_rule *rule)
{
	for (unsigned i = 0; i < FABRIC_RULES; i++) {
		if (strcmp(name, rules[i].counter) != 0 && (!rules[i].other || strcmp(name, rules[i].other) != 0))
			continue;
		*rule = (enum fabric_rule)i;
		return true;
	}
	return false;
}

const char *rules_denial_name(uint32_t mark)
{
	switch ((enum rules_denial)mark) {
	case RULES_DENIAL_PRIVATE:
		return "private";
	case RULES_DENIAL_SANDBOX:
		return "sandbox";
	case RULES_DENIAL_POLICY:
		return "deny";
	case RULES_DENIAL_INTERNET:
		return "internet";
	case RULES_DENIAL_GATEWAY:
		return "gateway";
	case RULES_DENIAL_CONNECTIONS:
		return "connections";
	case RULES_DENIAL_PROTOCOL:
		return "protocol";
	case RULES_DENIAL_ISOLATED:
		return "isolated";
	}
	return "unknown";
}

void rules_denial_name_proto(struct fabric_denial *denial, uint8_t proto)
{
	addr_ip_proto_format(proto, denial->proto);
}
