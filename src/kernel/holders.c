/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process has a TAP open if one of its descriptors is /dev/net/tun and fdinfo names the interface. All sandboxes' TAPs have
 * the same name. A copy of the descriptor tells the namespace of its TAP, whichever the process itself runs in; where there is none
 * to be had, the process's own namespace tells them apart. Processes come and go meanwhile; those that cannot be read are passed
 * over.
 *
 * This process comes last, and only if none else was found: whoever lists the thousands of descriptors of weftd has the kernel make an
 * entry of /proc for each, and take them apart at its end, while a restart waits.
 */
#include "kernel/holders.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spares.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROC_PATH_SIZE = 320, PROC_PID_SIZE = 24 };

/* This process as /proc calls it; "" if that is unknown. */
static void kern_holders_read_own(char pid[static PROC_PID_SIZE])
{
	ssize_t length = readlink("/proc/self", pid, PROC_PID_SIZE - 1);

	pid[length > 0 ? length : 0] = '\0';
}

/* The next process of /proc but OWN; NULL: there is none. */
static const char *kern_holders_next(DIR *processes, const char *own)
{
	const struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, own) != 0)
			return entry->d_name;
	return NULL;
}

static bool kern_holders_is_inside(const char *pid, const struct kern_namespace_key *key)
{
	char path[PROC_PATH_SIZE];
	struct stat stat_buffer;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	if (stat(path, &stat_buffer) < 0)
		return false;
	return stat_buffer.st_ino == key->inode && stat_buffer.st_dev == key->device;
}

/* Whether the descriptor FD of process PID, an open /dev/net/tun, is attached to a TAP called LINK. */
static bool kern_holders_has_name(const char *pid, const char *fd, const char *link, bool *is_short)
{
	char path[PROC_PATH_SIZE], line[128], wanted[64];
	bool found = false;
	FILE *info;

	snprintf(wanted, sizeof(wanted), "iff:\t%s\n", link);
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	info = SPARES_TRY_STREAM(fopen(path, "re"));
	if (!info) {
		*is_short |= err_code_is_exhaustion(errno);
		return false;
	}
	while (!found && fgets(line, sizeof(line), info))
		found = strcmp(line, wanted) == 0;
	fclose(info);
	return found;
}

/* The namespace of the TAP that process PID has open as descriptor FD, wherever the process itself is; -1 with errno. */
static int kern_holders_namespace_of_tap(const char *pid, const char *fd)
{
	AUTO_FD int process = SPARES_TRY((int)syscall(SYS_pidfd_open, atoi(pid), 0));
	AUTO_FD int tap = process < 0 ? -1 : SPARES_TRY((int)syscall(SYS_pidfd_getfd, process, atoi(fd), 0));

	return tap < 0 ? -1 : SPARES_TRY(ioctl(tap, TUNGETDEVNETNS));
}

/* The sought holders, and a shortage met meanwhile. */
struct kern_holders_sought {
	const struct kern_namespace_key *key;
	const char *link; /* NULL: any process of the namespace */
	bool is_short;    /* something could not be looked at for want of descriptors or memory */
};

/* Whether the descriptor FD of process PID, a TAP with the sought name, is of the sought namespace. INSIDE: the process runs there. */
static bool kern_holders_is_of_namespace(struct kern_holders_sought *sought, const char *pid, const char *fd,
					 bool inside)
{
	AUTO_FD int netns = kern_holders_namespace_of_tap(pid, fd);

	if (netns >= 0) {
		struct kern_namespace_key key = kern_namespace_key_of(netns);
		return kern_namespace_key_equal(&key, sought->key);
	}
	sought->is_short |= err_code_is_exhaustion(errno);
	/* An older kernel, or a process that may be looked at and not be asked. A VMM runs in the namespace of its TAP. */
	return inside;
}

static bool kern_holders_has_tap(struct kern_holders_sought *sought, const char *pid, bool inside)
{
	char path[PROC_PATH_SIZE], target[32];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = SPARES_TRY_STREAM(opendir(path));
	sought->is_short |= !fds && err_code_is_exhaustion(errno);
	while (fds && !found && (entry = readdir(fds))) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (length <= 0)
			continue;
		target[length] = '\0';
		found = strcmp(target, "/dev/net/tun") == 0 &&
			kern_holders_has_name(pid, entry->d_name, sought->link, &sought->is_short) &&
			kern_holders_is_of_namespace(sought, pid, entry->d_name, inside);
	}
	if (fds)
		closedir(fds);
	return found;
}

static void kern_holders_add(const char *pid, char text[static KERN_HOLDERS_TEXT_SIZE])
{
	char path[PROC_PATH_SIZE], name[32] = "?";
	size_t used = strlen(text);
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	comm = SPARES_TRY_STREAM(fopen(path, "re"));
	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = '\0';
		fclose(comm);
	}
	snprintf(text + used, KERN_HOLDERS_TEXT_SIZE - used, "%s%s (pid %s)", used ? ", " : "", name, pid);
}

/* Whether PID is one of them, which TEXT has then. */
static bool kern_holders_look(struct kern_holders_sought *sought, const char *pid,
			      char text[static KERN_HOLDERS_TEXT_SIZE])
{
	bool inside = kern_holders_is_inside(pid, sought->key);

	if (sought->link ? !kern_holders_has_tap(sought, pid, inside) : !inside)
		return false;
	kern_holders_add(pid, text);
	return true;
}

/* Returns the number of the sought processes; -1: none is among those that could be looked at, and there was a shortage. */
static int kern_holders_find(struct kern_holders_sought *sought, char text[static KERN_HOLDERS_TEXT_SIZE])
{
	char own[PROC_PID_SIZE];
	const char *pid;
	int count = 0;
	DIR *processes = SPARES_TRY_STREAM(opendir("/proc"));

	text[0] = '\0';
	sought->is_short |= !processes && err_code_is_exhaustion(errno);
	kern_holders_read_own(own);
	while ((pid = kern_holders_next(processes, own)))
		count += kern_holders_look(sought, pid, text);
	if (processes && own[0] && (!count || !sought->link))
		count += kern_holders_look(sought, own, text);
	if (processes)
		closedir(processes);
	return count || !sought->is_short ? count : -1;
}

int kern_holders_of_tap(const struct kern_namespace_key *key, const char *link,
			char text[static KERN_HOLDERS_TEXT_SIZE])
{
	return kern_holders_find(&(struct kern_holders_sought){ .key = key, .link = link }, text);
}

int kern_holders_of_namespace(const struct kern_namespace_key *key, char text[static KERN_HOLDERS_TEXT_SIZE])
{
	return kern_holders_find(&(struct kern_holders_sought){ .key = key }, text);
}

/* ---- The namespace itself, from a process that holds it ---- */

/* The namespace that is sought: by its key, or, where that is NULL, by its number. */
struct kern_holders_search {
	struct kern_rtnl *host;
	int nsid;
	const struct kern_namespace_key *key;
	const char *link;
};

static bool kern_holders_is_sought(const struct kern_holders_search *search, int fd)
{
	struct kern_namespace_key key;
	struct err ignored;
	int found;

	if (fd < 0)
		return false;
	if (!search->key)
		return kern_namespace_known_id(search->host, fd, &found, &ignored) == 0 && found == search->nsid;
	key = kern_namespace_key_of(fd);
	return kern_namespace_key_equal(&key, search->key);
}

/* Process PID has a TAP of the namespace open: its descriptor; else -1. */
static int kern_holders_namespace_of_taps(const struct kern_holders_search *search, const char *pid)
{
	char path[PROC_PATH_SIZE], target[32];
	struct dirent *entry;
	AUTO_FD int found = -1;
	bool ignored = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = SPARES_TRY_STREAM(opendir(path));
	while (fds && !kern_holders_is_sought(search, found) && (entry = readdir(fds))) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		cleanup_fd(&found);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (strcmp(target, "/dev/net/tun") == 0 &&
		    kern_holders_has_name(pid, entry->d_name, search->link, &ignored))
			found = kern_holders_namespace_of_tap(pid, entry->d_name);
	}
	if (fds)
		closedir(fds);
	return kern_holders_is_sought(search, found) ? steal_fd(&found) : -1;
}

/* Process PID runs in the namespace: its descriptor; else -1. */
static int kern_holders_namespace_of_process(const struct kern_holders_search *search, const char *pid)
{
	char path[PROC_PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	AUTO_FD int fd = SPARES_TRY(open(path, O_RDONLY | O_CLOEXEC));
	return kern_holders_is_sought(search, fd) ? steal_fd(&fd) : -1;
}

static int kern_holders_ask(const struct kern_holders_search *search, const char *pid)
{
	int fd = kern_holders_namespace_of_process(search, pid);

	return fd < 0 ? kern_holders_namespace_of_taps(search, pid) : fd;
}

static int kern_holders_search(const struct kern_holders_search *search)
{
	char own[PROC_PID_SIZE];
	const char *pid;
	int fd = -1;
	DIR *processes = SPARES_TRY_STREAM(opendir("/proc"));

	kern_holders_read_own(own);
	while (fd < 0 && (pid = kern_holders_next(processes, own)))
		fd = kern_holders_ask(search, pid);
	if (processes && fd < 0 && own[0])
		fd = kern_holders_ask(search, own);
	if (processes)
		closedir(processes);
	return fd;
}

int kern_holders_find_namespace(struct kern_rtnl *host, int nsid, const char *link)
{
	return kern_holders_search(&(struct kern_holders_search){ .host = host, .nsid = nsid, .link = link });
}

int kern_holders_find_known(const struct kern_namespace_key *key, const char *link)
{
	return kern_holders_search(&(struct kern_holders_search){ .key = key, .link = link });
}
