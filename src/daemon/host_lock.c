/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket listens, so that a process that connects to it can ask the kernel for the holder's pid. Those connections stay in its
 * queue, even when they have ended, until they are thrown away.
 */
#include "daemon/host_lock.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t daemon_lock_name(uint32_t link_group, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* The first byte stays zero: that makes the name abstract. */
	int length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "weft-link-group-%u", link_group);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* The pid of the process that holds the name; 0 if it is not known. */
static int daemon_lock_holder(const struct sockaddr_un *address, socklen_t length)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, length) < 0)
		return 0;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

int daemon_lock_host(uint32_t link_group, struct err *err)
{
	struct sockaddr_un address;
	socklen_t length = daemon_lock_name(link_group, &address);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, errno, "lock of link group %u", link_group);
	if (bind(fd, (struct sockaddr *)&address, length) < 0) {
		if (errno != EADDRINUSE)
			return err_set(err, errno, "lock of link group %u", link_group);
		return err_set(
		    err, 0, "another weftd (pid %d) manages the sandboxes of link group %u in this network namespace",
		    daemon_lock_holder(&address, length), link_group);
	}
	if (listen(fd, SOMAXCONN) < 0)
		return err_set(err, errno, "lock of link group %u", link_group);
	return steal_fd(&fd);
}

void daemon_lock_drain(int lock)
{
	int fd;

	while (lock >= 0 && (fd = accept4(lock, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}
