/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket listens, so that a process that connects to it can ask the kernel for the holder's pid. Those connections stay in its
 * queue, even when they have ended, until they are thrown away.
 *
 * Any user may take an abstract name. A holder that is neither root nor our own user, or does not listen, is no weftd. A full queue
 * keeps us from connecting; then the kernel's list of sockets tells the user.
 */
#include "daemon/host_lock.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "inspect/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TRIES_MAX = 20, PAUSE_MS = 5 };

static socklen_t daemon_lock_name(uint32_t link_group, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* The first byte stays zero: that makes the name abstract. */
	int length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "weft-link-group-%u", link_group);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Who holds the name, as far as the kernel tells; pid 0: it does not. 0, or -1 with errno (ECONNREFUSED: nobody listens). */
static int daemon_lock_ask(const struct sockaddr_un *address, socklen_t length, struct ucred *holder)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(*holder);

	*holder = (struct ucred){ 0 };
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, length) < 0)
		return -1;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, holder, &size);
}

static bool daemon_lock_is_strange(uid_t uid)
{
	return uid != 0 && uid != geteuid();
}

/* The name is taken. Returns -1 with ERR. */
static int daemon_lock_refuse(const struct sockaddr_un *address, socklen_t length, uint32_t link_group, struct err *err)
{
	const char *name = address->sun_path + 1;
	struct ucred holder;
	int result, tries = 0;
	struct err ignored;
	uid_t uid;

	/* Another start may be about to listen. */
	while ((result = daemon_lock_ask(address, length, &holder)) < 0 && errno == ECONNREFUSED && tries++ < TRIES_MAX)
		poll(NULL, 0, PAUSE_MS);
	if (result < 0 && errno == ECONNREFUSED)
		return err_set(err, EADDRINUSE, "a process that is no weftd holds the name @%s", name);
	if (result == 0 && daemon_lock_is_strange(holder.uid))
		return err_set(err, EADDRINUSE, "process %d of uid %u, which is no weftd, holds the name @%s",
			       holder.pid, holder.uid, name);
	if (result < 0 && inspect_unix_socket_owner(name, &uid, &ignored) > 0 && daemon_lock_is_strange(uid))
		return err_set(err, EADDRINUSE, "a process of uid %u, which is no weftd, holds the name @%s", uid,
			       name);
	return err_set(err, 0,
		       "another weftd (pid %d) manages the sandboxes of link group %u in this network namespace",
		       holder.pid, link_group);
}

pid_t daemon_lock_holder(uint32_t link_group)
{
	struct sockaddr_un address;
	socklen_t length = daemon_lock_name(link_group, &address);
	struct ucred holder;

	if (daemon_lock_ask(&address, length, &holder) < 0 || daemon_lock_is_strange(holder.uid))
		return 0;
	return holder.pid;
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
		return daemon_lock_refuse(&address, length, link_group, err);
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
