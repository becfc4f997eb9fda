/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setns(2) concerns the calling thread only. The way back may fail for a moment, for it takes a little of the kernel's memory; so it
 * is tried for a while. If it still fails, going on in the wrong namespace would be worse than stopping.
 */
#include "base/netns.h"

#include "base/err.h"
#include "base/spares.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { HOME_TRIES = 200, HOME_PAUSE_MS = 10 };

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

int base_netns_enter(int netns_fd, struct err *err)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "entering a network namespace");
	return 0;
}

void base_netns_leave(void)
{
	int saved = errno;

	for (int i = 0; setns(home_fd, CLONE_NEWNET) < 0; i++) {
		if (errno == EBADF || i == HOME_TRIES)
			abort();
		poll(NULL, 0, HOME_PAUSE_MS);
	}
	errno = saved;
}

int base_netns_socket(int netns_fd, int domain, int type, int protocol, struct err *err)
{
	int fd;

	if (netns_fd < 0) {
		fd = SPARES_TRY(socket(domain, type, protocol));
	} else {
		if (base_netns_enter(netns_fd, err) < 0)
			return -1;
		fd = SPARES_TRY(socket(domain, type, protocol));
		base_netns_leave();
	}
	if (fd < 0)
		return err_set(err, errno, "socket");
	return fd;
}
