/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that the daemon behind the control socket holds is free when it ends. In a successor's way is only what another process holds, or
 * something else in the socket's place.
 */
#include "daemon/successor.h"

#include "config/config.h"
#include "daemon/host_lock.h"
#include "health/facts.h"
#include "health/findings.h"

#include <sys/stat.h>
#include <sys/types.h>

static void daemon_successor_examine_lock(const struct health_facts *facts, const struct config *config,
					  struct health_report *report)
{
	pid_t holder = daemon_lock_holder(config->layout.link_group);
	int predecessor = health_daemon(facts);
	struct health_finding *finding;

	/* Without one that is visible, the holder may be the one that is to be restarted. */
	if (!holder || predecessor <= 0 || holder == predecessor)
		return;
	finding = health_add(report, "link_group", HEALTH_FAIL,
			     "another weftd (process %d) than that of %s (process %d) manages link group %u", holder,
			     facts->socket, predecessor, config->layout.link_group);
	health_ends_start(finding);
	health_why(finding, "of two weftds in one network namespace with one link group the second does not start");
	health_fix(finding, "choose another [names] link_group for one of them");
}

static void daemon_successor_examine_socket(const struct health_facts *facts, struct health_report *report)
{
	struct stat status;
	struct health_finding *finding;

	if (lstat(facts->socket, &status) < 0 || S_ISSOCK(status.st_mode))
		return;
	finding = health_add(report, "control_socket", HEALTH_FAIL, "%s is there and is not a socket", facts->socket);
	health_ends_start(finding);
	health_why(finding, "weftd replaces no other file by its control socket");
	health_fix(finding, "move it away");
}

void daemon_successor_examine(const struct health_facts *facts, const struct config *config,
			      struct health_report *report)
{
	daemon_successor_examine_lock(facts, config, report);
	daemon_successor_examine_socket(facts, report);
}
