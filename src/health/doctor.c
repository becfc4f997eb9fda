/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks run in order from the needs of every sandbox to those of a few.
 */
#include "health/doctor.h"

void health_doctor_examine(const struct health_facts *facts, struct health_report *report)
{
	static void (*const checks[])(const struct health_facts *facts, struct health_report *report) = {
		check_configuration,   check_kernel,
		check_ip_forward,      check_rp_filter,
		check_conntrack,       check_descriptors,
		check_neighbours,      check_routes,
		check_uplink,          check_firewall,
		check_services,        check_redirects,
		check_tunnels,         check_proxy_environment,
		check_ports,           check_door,
		check_port_range,      check_link_group,
		check_mounts,          check_state_directory,
		check_startup_reclaim, check_loopback,
		check_catalog,         check_wake,
		check_leftovers,
	};

	if (facts->incomplete)
		health_why(health_add(report, "memory", HEALTH_FAIL, "there was no memory to gather all facts"),
			   "the checks below judge by a part of them");
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](facts, report);
}
