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
	[FABRIC_RULE_PRIVATE] = { "denied_private", "private" },
	[FABRIC_RULE_SANDBOX] = { "denied_sandbox", "sandbox" },
	[FABRIC_RULE_DENY] = { "denied_policy", "deny" },
	[FABRIC_RULE_INTERNET] = { RULES_COUNTER_INTERNET, "internet" },
	[FABRIC_RULE_GATEWAY] = { "denied_gateway", "gateway" },
	[FABRIC_RULE_CONNECTIONS] = { "denied_connections", "connections" },
	[FABRIC_RULE_HOST] = { "denied_host", "host" },
	[FABRIC_RULE_INGRESS] = { "denied_ingress", "ingress" },
	[FABRIC_RULE_LOCAL] = { "denied_local", "local" },
	[FABRIC_RULE_MAC] = { "drop_mac", "mac" },
	[FABRIC_RULE_ARP] = { "drop_arp", "arp" },
	[FABRIC_RULE_IPV6] = { "drop_ipv6", "ipv6" },
	[FABRIC_RULE_PROTOCOL] = { "drop_protocol", "protocol", "denied_protocol" },
	[FABRIC_RULE_SOURCE] = { "drop_source", "source" },
	[FABRIC_RULE_MULTICAST] = { "drop_multicast", "multicast" },
	[FABRIC_RULE_MARTIAN] = { "drop_martian", "martian" },
	[FABRIC_RULE_MALFORMED] = { "drop_malformed", "malformed" },
	[FABRIC_RULE_RATE] = { "drop_rate", "rate" },
	[FABRIC_RULE_FORWARD] = { "drop_forward", "forward" },
	[FABRIC_RULE_FAMILY] = { "drop_family", "family" },
	[FABRIC_RULE_ERROR] = { "drop_error", "icmp-error" },
	[FABRIC_RULE_SOLICITATION] = { "router_solicitations", "solicitation" },
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
	}
	return "unknown";
}

void rules_denial_name_proto(struct fabric_denial *denial, uint8_t proto)
{
	addr_ip_proto_format(proto, denial->proto);
}
