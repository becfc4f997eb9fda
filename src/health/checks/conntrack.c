/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A full connection table drops all new connections of the host.
 */
#include "health/doctor.h"

enum { SMALL = 65536 };

void check_conntrack(const struct health_facts *facts, struct health_report *report)
{
	struct health_finding *finding;
	long long max, used = 0;

	if (!health_read_number(facts, "/proc/sys/net/netfilter/nf_conntrack_max", &max)) {
		health_add(report, "conntrack", HEALTH_SKIPPED,
			   "net.netfilter.nf_conntrack_max is not visible from here (a namespace, or not loaded yet)");
		return;
	}
	health_read_number(facts, "/proc/sys/net/netfilter/nf_conntrack_count", &used);
	bool full = max > 0 && used * 100 >= max * 95;
	bool filling = max > 0 && used * 100 >= max * 75;
	if (!filling && (max >= SMALL || max == 0)) {
		health_add(report, "conntrack", HEALTH_OK, "%lld of %lld connections tracked", used, max);
		return;
	}
	finding = health_add(report, "conntrack", full ? HEALTH_FAIL : HEALTH_WARN, "%lld of %lld connections tracked",
			     used, max);
	health_why(finding,
		   "each connection of a sandbox takes an entry here and one in its namespace; when the table is "
		   "full, new connections are dropped silently");
	health_fix(finding, "sysctl -w net.netfilter.nf_conntrack_max=%lld (and in /etc/sysctl.d, to keep it)",
		   max * 4 > 262144 ? max * 4 : 262144);
}
