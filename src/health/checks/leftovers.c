/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of a daemon that is gone. It survives on purpose, so it is a fault only while no new daemon takes it over. A daemon that
 * hangs is worse than none, for its service manager sees no fault.
 */
#include "health/doctor.h"
#include "health/owner.h"
#include "health/process.h"

#include <string.h>

/* PID is the daemon's, -1 if it is not visible. */
static void check_leftovers_report_silent(const struct health_facts *facts, int pid, struct health_report *report)
{
	struct health_process process = { 0 };

	if (pid > 0)
		health_process_look(facts->read_text, facts->context, pid, &process);
	struct health_finding *finding = health_add(report, "leftovers", HEALTH_FAIL, "%s%s%s", facts->said.silent,
						    process.state[0] ? ": " : "", process.state);
	health_why(
	    finding,
	    "the kernel still takes connections for it, so clients wait; no sandbox can be registered, changed or "
	    "removed");
	if (process.fix[0])
		health_fix(finding, "%s", process.fix);
	else
		health_fix(
		    finding,
		    "look at its last words (journalctl -u weftd), then: systemctl restart weftd; sandboxes go on "
		    "meanwhile");
}

/* A daemon that answers, or one that may do so. */
static void check_leftovers_report_daemon(const struct health_facts *facts, int pid, size_t links,
					  struct health_report *report)
{
	const char *state = strcmp(facts->said.state, "adopting") == 0
				? ", and takes over the sandboxes of its former run: changes wait until it is through"
			    : strcmp(facts->said.state, "stopping") == 0 ? ", and stops"
									 : "";

	if (pid > 0)
		health_add(report, "leftovers", HEALTH_OK, "weftd runs as process %d, with %zu slots%s", pid, links,
			   state);
	else
		health_add(report, "leftovers", HEALTH_OK, "weftd runs%s", state);
}

void check_leftovers(const struct health_facts *facts, struct health_report *report)
{
	size_t links = 0, namespaces = 0;
	int daemon = health_daemon(facts);

	for (size_t i = 0; i < facts->host.link_count; i++)
		links += health_is_group_used(facts, facts->host.links[i].group) &&
			 health_claim_link(facts, &facts->host.links[i]) == CLAIM_WEFT;
	for (size_t i = 0; i < facts->netns_names.count; i++)
		namespaces +=
		    health_is_netns_of_slot(facts, facts->netns_names.items[i].dir, facts->netns_names.items[i].name);

	if (facts->said.silent[0]) {
		check_leftovers_report_silent(facts, daemon, report);
		return;
	}
	if (daemon || facts->said.answered) {
		check_leftovers_report_daemon(facts, daemon, links, report);
		return;
	}
	if (!links && !namespaces) {
		health_add(report, "leftovers", HEALTH_OK, "weftd does not run, and left nothing");
		return;
	}
	struct health_finding *finding =
	    health_add(report, "leftovers", HEALTH_WARN,
		       "nobody listens on %s, and %zu links and %zu namespaces of sandboxes are there", facts->socket,
		       links, namespaces);
	health_why(finding,
		   "sandboxes go on without weftd, but nothing forwards to them, watches them or removes them");
	health_fix(finding, "systemctl start weftd (it takes them over); where they are not wanted: weftd --cleanup "
			    "--unless-live (it removes them, if no VM runs)");
}
