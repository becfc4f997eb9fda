/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host whose kernel cannot lead clients past weftd is in order: they are served all the same, by the forwarder. It deserves a look
 * where it was asked for by name.
 */
#include "config/config.h"
#include "health/doctor.h"

#include <string.h>

static void check_loopback_absent(const struct health_loopback *loopback, bool wished, struct health_report *report)
{
	struct health_finding *finding =
	    health_add(report, "loopback", wished ? HEALTH_WARN : HEALTH_OK,
		       "clients of loopback endpoints go through the forwarder: %s",
		       loopback->error[0] ? loopback->error : "weftd has not opened the kernel's table yet");

	if (!wished)
		return;
	health_why(finding,
		   "[forwarder] loopback = kernel asks for the kernel's path, which is faster and costs weftd nothing");
	health_fix(finding,
		   "give weftd a cgroup2 and a bpffs (mount -t bpf bpf /sys/fs/bpf) and reload it; or set auto");
}

static void check_loopback_open(const struct health_loopback *loopback, struct health_report *report)
{
	struct health_finding *finding;

	if (loopback->error[0] || loopback->entries != loopback->wanted) {
		finding = health_add(report, "loopback", HEALTH_WARN,
				     "%zu of %zu entries are in the kernel's table: %s", loopback->entries,
				     loopback->wanted, loopback->error[0] ? loopback->error : "a change is under way");
		health_why(finding, "the forwarder serves the others' clients; weftd tries again each second");
		health_fix(
		    finding,
		    "journalctl -u weftd has what the kernel said; systemctl restart weftd makes the table anew");
		return;
	}
	health_add(report, "loopback", HEALTH_OK, "the kernel leads clients in %s to %zu address%s%s", loopback->cgroup,
		   loopback->entries, loopback->entries == 1 ? "" : "es",
		   loopback->ipv6 ? "" : "; those of ::1 go through the forwarder");
}

void check_loopback(const struct health_facts *facts, struct health_report *report)
{
	const struct health_loopback *loopback = &facts->said.loopback;

	if (!loopback->mode[0])
		health_add(report, "loopback", HEALTH_SKIPPED, "weftd does not say how it fares");
	else if (strcmp(loopback->mode, "forwarder") == 0)
		health_add(report, "loopback", HEALTH_OK,
			   "off: clients of loopback endpoints go through the forwarder");
	else if (!loopback->open)
		check_loopback_absent(loopback, strcmp(loopback->mode, "kernel") == 0, report);
	else
		check_loopback_open(loopback, report);
}
