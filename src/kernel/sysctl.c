/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each network namespace has files of its own under the same names in /proc/sys. The kernel remembers the names that were looked
 * up, for all namespaces in one list, which every later lookup walks: milliseconds with 4,000 namespaces. But these lists belong
 * to an instance of proc, so we use an instance of our own, mounted nowhere, and replace it every so often. Where the kernel
 * gives none, the common one serves, slowly.
 */
#include "kernel/sysctl.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spares.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { WRITES_AN_INSTANCE = 256, WRITES_WITHOUT = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int proc_fd = -1; /* under LOCK, and the count too */
static unsigned writes_left;

/* An instance of proc that is mounted nowhere; -1: the kernel gives none. */
static int kern_sysctl_open_instance(void)
{
	AUTO_FD int context = SPARES_TRY(fsopen("proc", FSOPEN_CLOEXEC));

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return SPARES_TRY(fsmount(context, FSMOUNT_CLOEXEC, 0));
}

static int kern_sysctl_open_setting(const char *path, int flags)
{
	char whole[256];

	if (!writes_left) {
		cleanup_fd(&proc_fd);
		proc_fd = kern_sysctl_open_instance();
		/* It may only have been a bad moment. */
		writes_left = proc_fd >= 0 ? WRITES_AN_INSTANCE : WRITES_WITHOUT;
	}
	writes_left--;
	snprintf(whole, sizeof(whole), "%s/%s", proc_fd >= 0 ? "sys" : "/proc/sys", path);
	return SPARES_TRY(openat(proc_fd, whole, flags | O_CLOEXEC));
}

int kern_sysctl_write(const char *path, const char *value, struct err *err)
{
	AUTO_FD int fd = -1;

	pthread_mutex_lock(&lock);
	fd = kern_sysctl_open_setting(path, O_WRONLY);
	pthread_mutex_unlock(&lock);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_set(err, errno, "/proc/sys/%s", path);
	return 0;
}

int kern_sysctl_read(const char *path, char *value, size_t size, struct err *err)
{
	AUTO_FD int fd = -1;
	ssize_t got = 0;

	pthread_mutex_lock(&lock);
	fd = kern_sysctl_open_setting(path, O_RDONLY);
	pthread_mutex_unlock(&lock);
	value[0] = '\0';
	if (fd >= 0)
		got = read(fd, value, size - 1);
	if (fd < 0 || got < 0)
		return errno == ENOENT || errno == EIO ? 0 : err_set(err, errno, "/proc/sys/%s", path);
	value[got] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

void kern_sysctl_close(void)
{
	pthread_mutex_lock(&lock);
	cleanup_fd(&proc_fd);
	writes_left = 0;
	pthread_mutex_unlock(&lock);
}
