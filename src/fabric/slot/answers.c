/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's icmp_ratemask has a bit for each type of ICMP that the kernel limits. A new namespace has those of `destination unreachable',
 * `source quench', `time exceeded' and `parameter problem'.
 */
#include "fabric/slot/answers.h"

#include "base/netns.h"
#include "kernel/sysctl.h"

static const char setting[] = "net/ipv4/icmp_ratemask";
static const char as_new[] = "6168", but_unreachable[] = "6160";

int slot_answers_set(int netns_fd, bool all, struct err *err)
{
	int status;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	status = kern_sysctl_write(setting, all ? but_unreachable : as_new, err);
	base_netns_leave();
	return status;
}
