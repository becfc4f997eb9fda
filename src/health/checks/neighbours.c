/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All namespaces of a host share one neighbour table. weft's entries are permanent and do not count, except those of guests whose
 * MACs are learnt.
 */
#include "config/config.h"
#include "health/doctor.h"

void check_neighbours(const struct health_facts *facts, struct health_report *report)
{
	bool learnt = facts->config->layout.guest_mac_learn;
	struct health_finding *finding;
	long long most;

	if (!health_read_number(facts, "/proc/sys/net/ipv4/neigh/default/gc_thresh3", &most)) {
		health_add(report, "neighbours", HEALTH_SKIPPED,
			   "net.ipv4.neigh.default.gc_thresh3 is not visible from here: it is the initial namespace's");
		return;
	}
	if (!learnt || most >= 4096) {
		health_add(report, "neighbours", HEALTH_OK, "gc_thresh3 is %lld%s", most,
			   learnt ? "" : "; weft's entries are permanent and exempt");
		return;
	}
	finding =
	    health_add(report, "neighbours", HEALTH_WARN,
		       "gc_thresh3 is %lld, and the MACs of guests are learnt ([addresses] guest_mac = learn)", most);
	health_why(finding,
		   "three entries for each talking sandbox: about %lld of them fill the table that all namespaces "
		   "share, and then the host finds no new neighbours",
		   most / 3);
	health_fix(finding, "sysctl -w net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=16384 "
			    "net.ipv4.neigh.default.gc_thresh3=32768");
}
