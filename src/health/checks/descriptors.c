/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftd needs two descriptors for each connection, up to four more for pipes while it moves bulk data, one for each client of a UDP
 * endpoint, and one for each sandbox. A part of them is not for clients.
 */
#include "base/descriptors.h"
#include "base/cleanup.h"
#include "health/doctor.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENOUGH = 65536 };

/* The soft limit of the running daemon; false if no daemon runs, or its limit is not visible. */
static bool check_descriptors_of_daemon(const struct health_facts *facts, int pid, long long *limit)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	AUTO_FREE char *text = facts->read_text(facts->context, path);
	const char *line = text ? strstr(text, "Max open files") : NULL;
	if (!line)
		return false;
	*limit = strtoll(line + strlen("Max open files"), NULL, 10);
	return *limit > 0;
}

/* The limit of the whole system. The file reads "used 0 max". */
static bool check_descriptors_of_system(const struct health_facts *facts, struct health_report *report)
{
	AUTO_FREE char *text = facts->read_text(facts->context, "/proc/sys/fs/file-nr");
	long long used, max;

	if (!text || sscanf(text, "%lld %*d %lld", &used, &max) != 2 || used < max / 10 * 9)
		return true;
	struct health_finding *finding = health_add(report, "descriptors", HEALTH_FAIL,
						    "%lld of the system's %lld open files are in use", used, max);
	health_why(finding, "beyond it no program can open anything; accept() and socket() fail for weftd too");
	health_fix(finding, "sysctl -w fs.file-max=%lld", max < LLONG_MAX / 2 ? max * 2 : LLONG_MAX);
	return false;
}

void check_descriptors(const struct health_facts *facts, struct health_report *report)
{
	int pid = health_daemon(facts);
	struct health_finding *finding;
	long long limit;

	if (!check_descriptors_of_system(facts, report))
		return;
	if (pid > 0 && check_descriptors_of_daemon(facts, pid, &limit)) {
		if (limit >= ENOUGH) {
			health_add(report, "descriptors", HEALTH_OK, "weftd may have %lld open files", limit);
			return;
		}
		finding = health_add(report, "descriptors", HEALTH_WARN, "weftd may have %lld open files only", limit);
	} else if (health_read_number(facts, "/proc/sys/fs/nr_open", &limit) && limit >= ENOUGH) {
		health_add(report, "descriptors", HEALTH_OK, "a process may be given %lld open files", limit);
		return;
	} else {
		finding = health_add(report, "descriptors", HEALTH_WARN,
				     "no process may have more than %lld open files", limit);
	}
	size_t reserve = base_descriptors_reserve((size_t)limit);
	health_why(
	    finding,
	    "each forwarded connection takes two, and four more while it moves bulk data; %zu are kept for the control "
	    "socket and for weftd itself. That is enough for about %lld connections at once; near that, a sandbox "
	    "that has its share of them gets no more",
	    reserve, (limit - (long long)reserve) / 6);
	health_fix(finding, "LimitNOFILE=1048576 in weftd's unit; sysctl -w fs.nr_open=1048576");
}
