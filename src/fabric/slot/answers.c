/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's mask names the types of ICMP that it limits, as bits: at first `destination unreachable', `source quench', `time exceeded'
 * and `parameter problem'.
 */
#include "fabric/slot/answers.h"

#include "base/netns.h"
#include "kernel/sysctl.h"

static const char setting[] = "net/ipv4/icmp_ratemask";
static const char at_first[] = "6168", but_unreachable[] = "6160";

int slot_answers_set(int netns_fd, bool all, struct err *err)
{
	int status;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	status = kern_sysctl_write(setting, all ? but_unreachable : at_first, err);
	base_netns_leave();
	return status;
}
