/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict reverse path filtering agrees with weft's own routes, which are symmetrical. It no longer does when a policy rule
 * answers for the addresses of sandboxes before the main table.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/policy_route.h"

void check_rp_filter(const struct health_facts *facts, struct health_report *report)
{
	long long all, by_default;
	const struct inspect_rule *rule;
	struct health_finding *finding;

	if (!health_read_number(facts, "/proc/sys/net/ipv4/conf/all/rp_filter", &all) ||
	    !health_read_number(facts, "/proc/sys/net/ipv4/conf/default/rp_filter", &by_default)) {
		health_add(report, "rp_filter", HEALTH_SKIPPED, "net.ipv4.conf.*.rp_filter is not visible from here");
		return;
	}
	/* The higher of the two counts for a link; new links begin with the default. */
	long long value = all > by_default ? all : by_default;
	enum policy_route_answer answer =
	    health_policy_route(&facts->host, addr_cidr4_first(&facts->config->layout.host_cidr) + 1, &rule, NULL);
	if (value != 1 || answer == POLICY_ROUTE_MAIN) {
		health_add(report, "rp_filter", HEALTH_OK,
			   value == 1 ? "strict, which agrees with weft's routes" : "rp_filter is %lld", value);
		return;
	}
	finding = health_add(report, "rp_filter", HEALTH_FAIL,
			     "strict (1), and policy rule %u answers for sandbox addresses before the main table",
			     rule->priority);
	health_why(finding,
		   "packets from sandboxes are dropped without a trace, because the way back is not their veth");
	health_fix(finding, "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2");
}
