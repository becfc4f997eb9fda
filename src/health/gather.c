/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state directory, and processes that would take weft's slots. Whether a file can be written, only writing tells (quotas, immutable
 * directories, a full file system with a reserve): a file without a name (O_TMPFILE) leaves nothing behind and nobody sees it.
 */
#include "health/gather.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TRIAL_SIZE = 4096, ENVIRONMENT_MAX = 4 * 1024 * 1024 };

/* The errno of writing a page to the directory FD; 0: it came off; -1: its file system has no files without names. */
static int health_try_to_write(int fd)
{
	static const char page[TRIAL_SIZE];
	AUTO_FD int file = openat(fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (file < 0)
		return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ? -1 : errno;
	ssize_t written = write(file, page, sizeof(page));
	if (written < 0)
		return errno;
	return written == (ssize_t)sizeof(page) ? 0 : ENOSPC;
}

void health_gather_directory(struct health_directory *directory, const char *path, int pid)
{
	char there[sizeof(directory->path) + 32] = "";
	struct stat status;
	struct statvfs system;

	*directory = (struct health_directory){ .trial = -1 };
	snprintf(directory->path, sizeof(directory->path), "%s", path);
	if (pid > 0)
		snprintf(there, sizeof(there), "/proc/%d/root", pid);
	/* Without privileges, or for a path that starts nowhere, ours counts. */
	if (*path != '/' || access(there, X_OK) < 0)
		there[0] = '\0';
	snprintf(there + strlen(there), sizeof(there) - strlen(there), "%.500s", path);
	if (lstat(there, &status) < 0) {
		directory->error = errno;
		return;
	}
	directory->mode = status.st_mode;
	directory->owner = status.st_uid;
	if (!S_ISDIR(status.st_mode))
		return;
	if (statvfs(there, &system) == 0) {
		directory->read_only = system.f_flag & ST_RDONLY;
		directory->bytes = (uint64_t)system.f_blocks * system.f_frsize;
		directory->free_bytes = (uint64_t)system.f_bfree * system.f_frsize;
		directory->files = system.f_files;
		directory->free_files = system.f_ffree;
	}
	AUTO_FD int fd = geteuid() == 0 ? open(there, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd >= 0)
		directory->trial = health_try_to_write(fd);
}

/* Whether VALUE turns a switch of E2B's on: the words of Go's strconv.ParseBool(). */
static bool health_is_true(const char *value)
{
	static const char *const words[] = { "1", "t", "T", "true", "TRUE", "True" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}

/* The environment is as the process was started with it. */
static void health_read_switch(struct health_orchestrator *orchestrator)
{
	static const char name[] = "DISABLE_STARTUP_RECLAIM=";
	char path[32];
	AUTO_FREE char *line = NULL;
	size_t room = 0, read = 0;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/environ", orchestrator->pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return;
	orchestrator->visible = true;
	while (read < ENVIRONMENT_MAX && (length = getdelim(&line, &room, '\0', file)) > 0) {
		read += (size_t)length;
		if (strncmp(line, name, strlen(name)) == 0)
			orchestrator->disabled = health_is_true(line + strlen(name));
	}
	fclose(file);
}

void health_gather_orchestrators(struct health_facts *facts)
{
	DIR *dir = opendir("/proc");

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char path[300];
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		AUTO_FREE char *comm = facts->read_text(facts->context, path);
		if (!comm || strcmp(comm, "orchestrator\n") != 0)
			continue;
		struct health_orchestrator *found = vec_push(&facts->orchestrators);
		if (!found) {
			facts->incomplete = true;
			break;
		}
		*found = (struct health_orchestrator){ .pid = atoi(entry->d_name) };
		health_read_switch(found);
	}
	if (dir)
		closedir(dir);
}
