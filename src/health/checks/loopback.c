/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing is wrong with a host whose kernel cannot lead clients past weftd, because the forwarder serves them all the same. That deserves a
 * warning only where the configuration asks for the kernel's path by name.
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
	health_why(finding, "[forwarder] loopback = kernel asks for the kernel's path, which is faster and costs weftd "
			    "nothing. It needs a cgroup2, a bpffs at /sys/fs/bpf, and a weftd built with BPF");
	health_fix(finding, "mend what is named above and run systemctl restart weftd; or set loopback = auto, which "
			    "is content with the forwarder");
}

static void check_loopback_open(const struct health_loopback *loopback, struct health_report *report)
{
	struct health_finding *finding;

	if (loopback->error[0] || loopback->entries != loopback->wanted) {
		finding = health_add(report, "loopback", HEALTH_WARN,
				     "%zu of %zu entries are in the kernel's table: %s", loopback->entries,
				     loopback->wanted, loopback->error[0] ? loopback->error : "a change is under way");
		health_why(finding,
			   "the forwarder serves clients of the other addresses; weftd tries again each second");
		health_fix(
		    finding,
		    "see what the kernel said in journalctl -u weftd; systemctl restart weftd makes a new table");
		return;
	}
	health_add(report, "loopback", HEALTH_OK,
		   "the kernel leads clients of %zu loopback address%s straight to guests, for processes in %s%s",
		   loopback->entries, loopback->entries == 1 ? "" : "es", loopback->cgroup,
		   loopback->ipv6 ? "" : "; clients of ::1 go through the forwarder");
}

void check_loopback(const struct health_facts *facts, struct health_report *report)
{
	const struct health_loopback *loopback = &facts->said.loopback;

	if (!loopback->mode[0])
		health_add(report, "loopback", HEALTH_SKIPPED,
			   "weftd does not say which way clients of loopback endpoints go");
	else if (strcmp(loopback->mode, "forwarder") == 0)
		health_add(report, "loopback", HEALTH_OK,
			   "off: clients of loopback endpoints go through the forwarder");
	else if (!loopback->open)
		check_loopback_absent(loopback, strcmp(loopback->mode, "kernel") == 0, report);
	else
		check_loopback_open(loopback, report);
}
