/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of a daemon that is gone. It survives on purpose, so it is a fault only while no new daemon takes it over. A daemon that
 * hangs is worse than none, for its service manager sees no fault.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
#include <string.h>

/* Whether a signal, or a debugger, has stopped the process PID. */
static bool check_leftovers_is_stopped(const struct health_facts *facts, int pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	AUTO_FREE char *text = facts->read_text(facts->context, path);
	const char *state = text ? strstr(text, "\nState:\t") : NULL;
	return state && (state[8] == 'T' || state[8] == 't');
}

/* PID is the daemon's, -1 if it is not visible. */
static void check_leftovers_report_silent(const struct health_facts *facts, int pid, struct health_report *report)
{
	bool stopped = pid > 0 && check_leftovers_is_stopped(facts, pid);
	struct health_finding *finding = health_add(report, "leftovers", HEALTH_FAIL, "%s%s", facts->said.silent,
						    stopped ? ": a signal, or a debugger, has stopped it" : "");

	health_why(
	    finding,
	    "the kernel still takes connections for it, so clients wait; no sandbox can be registered, changed or "
	    "removed");
	if (stopped)
		health_fix(finding, "kill -CONT %d", pid);
	else
		health_fix(
		    finding,
		    "look at its last words (journalctl -u weftd), then: systemctl restart weftd; sandboxes go on "
		    "meanwhile");
}

void check_leftovers(const struct health_facts *facts, struct health_report *report)
{
	const struct config *config = facts->config;
	size_t links = 0, namespaces = 0;
	int daemon = health_daemon(facts);

	for (size_t i = 0; i < facts->host.link_count; i++)
		links += facts->host.links[i].group == config->layout.link_group &&
			 config_veth_slot(&config->layout, facts->host.links[i].name);
	for (size_t i = 0; i < facts->netns_names.count; i++)
		namespaces += config_netns_slot(&config->layout, facts->netns_names.items[i]) != 0;

	if (daemon && facts->said.silent[0]) {
		check_leftovers_report_silent(facts, daemon, report);
		return;
	}
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
