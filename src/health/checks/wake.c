/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet can wake a sandbox only if somebody hears that it is wanted: the program at [wake] notify, or one that reads events. A manager
 * that polls hears too, but cannot be seen from here, so its absence is a warning and no fault.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <errno.h>
#include <string.h>

/* Nobody is at the socket. Who reads events may resume sandboxes all the same. */
static void check_wake_unheard(const struct health_facts *facts, int error, struct health_report *report)
{
	const char *path = facts->config->wake.notify;

	if (error == EACCES) {
		health_fix(health_add(report, "wake", HEALTH_SKIPPED, "%s is not visible from here", path),
			   "run it as root");
		return;
	}
	struct health_finding *finding =
	    health_add(report, "wake", HEALTH_WARN, "[wake] notify = %s: %s", path,
		       error == ENOTSOCK ? "it is another program's file, and no socket" : strerror(error));
	health_why(finding, "%s",
		   facts->said.event_readers ? "only readers of events hear that a sandbox is wanted"
					     : "nobody hears that a sandbox is wanted, and it stays paused");
	health_fix(finding, "start the VM manager that listens there, or set [wake] notify to where it does; then: "
			    "systemctl reload weftd");
}

void check_wake(const struct health_facts *facts, struct health_report *report)
{
	const char *path = facts->config->wake.notify;
	int error = path ? facts->socket_at(facts->context, path) : 0;
	size_t wakeable = facts->said.wakeable, readers = facts->said.event_readers;

	if (error) {
		check_wake_unheard(facts, error, report);
	} else if (path) {
		health_add(report, "wake", HEALTH_OK, "the manager listens at [wake] notify = %s", path);
	} else if (!facts->said.answered || !wakeable) {
		health_add(report, "wake", HEALTH_OK, "no sandbox can be woken by packets");
	} else if (readers) {
		health_add(report, "wake", HEALTH_OK, "%zu reader%s of events %s told", readers,
			   readers == 1 ? "" : "s", readers == 1 ? "is" : "are");
	} else {
		struct health_finding *finding =
		    health_add(report, "wake", HEALTH_WARN, "packets wake %zu sandbox%s, and nobody is told", wakeable,
			       wakeable == 1 ? "" : "es");
		health_why(finding,
			   "without [wake] notify, and without a reader of events, a manager learns of it only "
			   "if it asks for /v1/sandboxes?wake=asked");
		health_fix(finding,
			   "set [wake] notify to the unix socket of the VM manager, or let it read /v1/events");
	}
}
