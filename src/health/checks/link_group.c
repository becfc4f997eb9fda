/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weft's rules match by link group, so any other link in the group is treated as a sandbox.
 */
#include "config/config.h"
#include "health/doctor.h"

void check_link_group(const struct health_facts *facts, struct health_report *report)
{
	const struct config *config = facts->config;
	size_t ours = 0, others = 0;

	for (size_t i = 0; i < facts->host.link_count; i++) {
		const struct inspect_link *link = &facts->host.links[i];
		if (link->group != config->layout.link_group)
			continue;
		if (config_veth_slot(&config->layout, link->name)) {
			ours++;
			continue;
		}
		others++;
		struct health_finding *finding =
		    health_add(report, "link_group", HEALTH_FAIL, "link %s is in group %u and is none of weft's",
			       link->name, config->layout.link_group);
		health_why(finding,
			   "weft's rules treat its packets as a hostile guest's: cut off from the host and from "
			   "private networks, and weftd --cleanup would remove it");
		health_fix(finding, "ip link set dev %s group default, or another [names] link_group", link->name);
	}
	if (!others)
		health_add(report, "link_group", HEALTH_OK, "group %u has %zu links, all of weft's",
			   config->layout.link_group, ours);
}
