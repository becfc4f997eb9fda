/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of a daemon that is gone. It survives on purpose, so it is a fault only while no new daemon takes it over.
 */
#include "config/config.h"
#include "health/doctor.h"

void check_leftovers(const struct health_facts *facts, struct health_report *report)
{
	const struct config *config = facts->config;
	size_t links = 0, namespaces = 0;
	int daemon = health_daemon(facts);

	for (size_t i = 0; i < facts->host.link_count; i++)
		links += facts->host.links[i].group == config->names.link_group &&
			 config_veth_slot(config, facts->host.links[i].name);
	for (size_t i = 0; i < facts->netns_names.count; i++)
		namespaces += config_netns_slot(config, facts->netns_names.items[i]) != 0;

	if (daemon > 0) {
		health_add(report, "leftovers", HEALTH_OK, "weftd runs as process %d, with %zu slots", daemon, links);
		return;
	}
	if (daemon || (!links && !namespaces)) {
		health_add(report, "leftovers", HEALTH_OK,
			   daemon ? "weftd runs" : "weftd does not run, and left nothing");
		return;
	}
	struct health_finding *finding =
	    health_add(report, "leftovers", HEALTH_WARN,
		       "nobody listens on %s, and %zu links and %zu namespaces of sandboxes are there", facts->socket,
		       links, namespaces);
	health_why(finding,
		   "sandboxes go on without weftd, but nothing forwards to them, watches them or removes them");
	health_fix(finding, "systemctl start weftd (it takes them over), or weftd --cleanup (it removes them)");
}
