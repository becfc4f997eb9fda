/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A full connection table drops all new connections of the host. Guests are hostile, so it should hold what all of them may open at once.
 */
#include "config/config.h"
#include "health/doctor.h"

enum { SMALL = 65536, ENTRY_BYTES = 320 };

/* Whether the guests of SANDBOXES, each at its limit, leave room in the table of MAX. */
static bool check_conntrack_holds_all(const struct health_facts *facts, long long used, long long max,
				      struct health_report *report)
{
	const struct config *config = facts->config;
	unsigned flows = config->egress.flows;
	/* Flows to services of the host and to DNS servers have a share of their own, if there are any. */
	bool services = config->egress.allow_host.count || config->addresses.dns.count;
	long long sandboxes = (long long)facts->said.sandboxes, shares = sandboxes * (services ? 2 : 1);
	long long most = shares * flows;

	if (!max || most <= max)
		return true;
	long long wanted = (most / SMALL + 2) * SMALL, fits = max * 3 / 4 / shares;
	struct health_finding *finding =
	    health_add(report, "conntrack", HEALTH_WARN,
		       "%lld of %lld connections tracked, and the guests of %lld sandboxes may open %lld", used, max,
		       sandboxes, most);
	health_why(finding,
		   "[egress] flows = %u allows each that many%s: some of them can fill the table, and then new "
		   "connections of all "
		   "are dropped silently",
		   flows, services ? " into the world, and as many to services of the host" : "");
	health_fix(finding,
		   "sysctl -w net.netfilter.nf_conntrack_max=%lld (and in /etc/sysctl.d; %lld MiB if it fills), or "
		   "[egress] flows = %lld",
		   wanted, wanted * ENTRY_BYTES >> 20, fits ? fits : 1);
	return false;
}

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
		if (check_conntrack_holds_all(facts, used, max, report))
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
