/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setns(2) concerns the calling thread only. The way back cannot fail but for a bug of ours (the home descriptor was closed),
 * and then going on would be worse than stopping.
 */
#include "base/netns.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

static int home_fd = -1;

int base_netns_init(struct err *err)
{
	if (home_fd >= 0)
		return 0;
	home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home_fd < 0)
		return err_set(err, errno, "/proc/self/ns/net");
	return 0;
}

int base_netns_home(void)
{
	return home_fd;
}

int base_netns_enter(int netns_fd, struct err *err)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "entering a network namespace");
	return 0;
}

void base_netns_leave(void)
{
	int saved = errno;

	if (setns(home_fd, CLONE_NEWNET) < 0)
		abort();
	errno = saved;
}

int base_netns_socket(int netns_fd, int domain, int type, int protocol, struct err *err)
{
	int fd;

	if (netns_fd < 0) {
		fd = socket(domain, type, protocol);
	} else {
		if (base_netns_enter(netns_fd, err) < 0)
			return -1;
		fd = socket(domain, type, protocol);
		base_netns_leave();
	}
	if (fd < 0)
		return err_set(err, errno, "socket");
	return fd;
}
