/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy of another process's descriptor (pidfd_getfd(2)) tells the socket's address and namespace. The copies are closed at once, so
 * that none of them keeps an address taken.
 */
#include "inspect/socket_holder.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct holder_search {
	const struct addr *listen;
	int type;
	struct stat netns; /* of the calling thread */
	struct inspect_socket_holder *holder;
};

static bool inspect_socket_holder_is_here(const struct holder_search *search, int fd)
{
	AUTO_FD int netns = ioctl(fd, SIOCGSKNS);
	struct stat found;

	return netns >= 0 && fstat(netns, &found) == 0 && found.st_ino == search->netns.st_ino &&
	       found.st_dev == search->netns.st_dev;
}

/* Whether the socket FD is sought. */
static bool inspect_socket_holder_matches(const struct holder_search *search, int fd)
{
	struct addr local = { 0 };
	socklen_t length = sizeof(local), size = sizeof(int);
	int type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != search->type)
		return false;
	if (getsockname(fd, &local.any, &length) < 0 || length > sizeof(local) ||
	    (local.any.sa_family != AF_INET && local.any.sa_family != AF_INET6))
		return false;
	return addr_port(&local) && addr_is_in_the_way(&local, search->listen) &&
	       inspect_socket_holder_is_here(search, fd);
}

static void inspect_socket_holder_name(const char *pid, char name[static 32])
{
	char path[64];

	snprintf(name, 32, "?");
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	FILE *comm = fopen(path, "re");
	if (comm && fgets(name, 32, comm))
		name[strcspn(name, "\n")] = '\0';
	if (comm)
		fclose(comm);
}

/* Whether the descriptor ENTRY of process PID is sought; then the holder is filled in. */
static bool inspect_socket_holder_look(const struct holder_search *search, const char *pid, int process,
				       const char *entry)
{
	AUTO_FD int fd = (int)syscall(SYS_pidfd_getfd, process, atoi(entry), 0);
	struct stat socket;

	if (fd < 0 || !inspect_socket_holder_matches(search, fd) || fstat(fd, &socket) < 0)
		return false;
	search->holder->pid = atoi(pid);
	search->holder->uid = socket.st_uid;
	inspect_socket_holder_name(pid, search->holder->name);
	return true;
}

static bool inspect_socket_holder_search(const struct holder_search *search, const char *pid)
{
	char path[64], target[16];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	DIR *fds = opendir(path);
	AUTO_FD int process = fds ? (int)syscall(SYS_pidfd_open, atoi(pid), 0) : -1;
	for (struct dirent *entry; process >= 0 && !found && (entry = readdir(fds));) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target));

		found = length > 7 && memcmp(target, "socket:", 7) == 0 &&
			inspect_socket_holder_look(search, pid, process, entry->d_name);
	}
	if (fds)
		closedir(fds);
	return found;
}

bool inspect_socket_holder(const struct addr *listen, int type, struct inspect_socket_holder *holder)
{
	struct holder_search search = { .listen = listen, .type = type, .holder = holder };
	bool found = false;

	*holder = (struct inspect_socket_holder){ 0 };
	if (stat("/proc/thread-self/ns/net", &search.netns) < 0)
		return false;
	DIR *processes = opendir("/proc");
	for (struct dirent *entry; processes && !found && (entry = readdir(processes));)
		found = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
			inspect_socket_holder_search(&search, entry->d_name);
	if (processes)
		closedir(processes);
	return found;
}
