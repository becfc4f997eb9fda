/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process has a TAP open if one of its descriptors is /dev/net/tun and fdinfo names the interface. All sandboxes' TAPs have
 * the same name, so the process's own network namespace tells them apart: a VMM runs in the namespace of its TAP. Processes
 * come and go while we look; what cannot be read is passed over.
 */
#include "fabric/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROC_PATH_SIZE = 320 };

static bool is_inside(const char *pid, const struct namespace_key *key)
{
	char path[PROC_PATH_SIZE];
	struct stat stat_buffer;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	if (stat(path, &stat_buffer) < 0)
		return false;
	return stat_buffer.st_ino == key->inode && stat_buffer.st_dev == key->device;
}

static bool names_the_tap(const char *pid, const char *fd, const char *link)
{
	char path[PROC_PATH_SIZE], line[128], wanted[64];
	bool found = false;
	FILE *info;

	snprintf(wanted, sizeof(wanted), "iff:\t%s\n", link);
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	info = fopen(path, "re");
	if (!info)
		return false;
	while (!found && fgets(line, sizeof(line), info))
		found = strcmp(line, wanted) == 0;
	fclose(info);
	return found;
}

static bool has_the_tap(const char *pid, const char *link)
{
	char path[PROC_PATH_SIZE], target[32];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds))) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (length <= 0)
			continue;
		target[length] = '\0';
		found = strcmp(target, "/dev/net/tun") == 0 && names_the_tap(pid, entry->d_name, link);
	}
	if (fds)
		closedir(fds);
	return found;
}

static void add_process(const char *pid, char text[static HOLDERS_TEXT_SIZE])
{
	char path[PROC_PATH_SIZE], name[32] = "?";
	size_t used = strlen(text);
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = '\0';
		fclose(comm);
	}
	snprintf(text + used, HOLDERS_TEXT_SIZE - used, "%s%s (pid %s)", used ? ", " : "", name, pid);
}

unsigned holders_of_tap(const struct namespace_key *key, const char *link, char text[static HOLDERS_TEXT_SIZE])
{
	struct dirent *entry;
	unsigned count = 0;
	DIR *processes = opendir("/proc");

	text[0] = '\0';
	while (processes && (entry = readdir(processes))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (!is_inside(entry->d_name, key) || !has_the_tap(entry->d_name, link))
			continue;
		add_process(entry->d_name, text);
		count++;
	}
	if (processes)
		closedir(processes);
	return count;
}
