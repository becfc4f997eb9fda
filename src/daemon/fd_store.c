/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages to the store. systemd compares a new descriptor with all that it has, so there are never more than a few in it.
 * FDPOLL=0: systemd would drop a queue whose sender is gone, and just then it is needed.
 */
#include "daemon/fd_store.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <fcntl.h>
#include <systemd/sd-daemon.h>

bool daemon_fd_store_is_there(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void daemon_fd_store_receive(int *first, size_t *count, char ***names)
{
	int found = sd_listen_fds_with_names(1, names);

	*first = SD_LISTEN_FDS_START;
	*count = found > 0 ? (size_t)found : 0;
	if (found <= 0)
		*names = NULL;
}

int daemon_fd_store_put(const char *name, const int *fds, size_t count)
{
	char message[128];

	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	int result = sd_pid_notify_with_fds(0, 0, message, fds, (unsigned)count);

	if (result > 0)
		return 0;
	errno = -result;
	if (!result || errno == ENOENT || errno == ECONNREFUSED || errno == EACCES || errno == EPERM)
		errno = ENOTCONN;
	return -1;
}

/* A name goes into a message of lines. */
static bool daemon_fd_store_is_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isprint((unsigned char)*c))
			return false;
	return *name && strlen(name) < 256;
}

void daemon_fd_store_remove(const char *name)
{
	char message[320];

	if (!daemon_fd_store_is_name(name))
		return;
	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	sd_notify(0, message);
}

int daemon_fd_store_barrier(void)
{
	int ends[2], result;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	result = sd_pid_notify_with_fds(0, 0, "BARRIER=1", &ends[1], 1);
	close(ends[1]);
	if (result > 0)
		return ends[0];
	close(ends[0]);
	errno = result < 0 ? -result : ENOTCONN;
	return -1;
}
#else
bool daemon_fd_store_is_there(void)
{
	return false;
}

void daemon_fd_store_receive(int *first, size_t *count, char ***names)
{
	*first = -1;
	*count = 0;
	*names = NULL;
}

int daemon_fd_store_put(const char *name, const int *fds, size_t count)
{
	(void)name;
	(void)fds;
	(void)count;
	errno = ENOTCONN;
	return -1;
}

void daemon_fd_store_remove(const char *name)
{
	(void)name;
}

int daemon_fd_store_barrier(void)
{
	errno = ENOTCONN;
	return -1;
}
#endif

void daemon_fd_store_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}
