/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder is known by device and inode. The first one is trusted as the start trusted it, by whatever links its path leads there.
 */
#include "base/folder.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OTHERS_MAY_WRITE = S_IWGRP | S_IWOTH };

char *base_folder_above(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

int base_folder_note(struct folder *folder, const char *path, struct err *err)
{
	struct stat status;

	*folder = (struct folder){ .mode = 0755 };
	folder->path = base_folder_above(path);
	if (!folder->path)
		return err_set(err, ENOMEM, "%s", path);
	if (stat(folder->path, &status) < 0)
		return 0; /* an unknown one is never taken for the first */
	folder->device = status.st_dev;
	folder->inode = status.st_ino;
	folder->mode = status.st_mode & 07777;
	folder->owner = status.st_uid;
	folder->group = status.st_gid;
	return 0;
}

void base_folder_clear(struct folder *folder)
{
	free(folder->path);
	folder->path = NULL;
}

bool base_folder_is_same(const struct folder *folder)
{
	struct stat status;

	return stat(folder->path, &status) == 0 && status.st_dev == folder->device && status.st_ino == folder->inode;
}

int base_folder_make_parents(const char *path, struct err *err)
{
	AUTO_FREE char *copy = strdup(path);

	if (!copy)
		return err_set(err, ENOMEM, "%s", path);
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return err_set(err, errno, "%s", copy);
		*slash = '/';
	}
	return 0;
}

/* The mode comes last, so that nobody gets in before. */
static int base_folder_make(const struct folder *folder, struct err *err)
{
	if (base_folder_make_parents(folder->path, err) < 0)
		return -1;
	if (mkdir(folder->path, 0700) < 0)
		return errno == EEXIST ? 0 : err_set(err, errno, "%s", folder->path);

	AUTO_FD int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, folder->owner, folder->group) < 0 || fchmod(fd, folder->mode) < 0)
		return err_set(err, errno, "%s", folder->path);
	return 0;
}

int base_folder_renew(struct folder *folder, struct err *err)
{
	struct stat status;

	if (base_folder_is_same(folder))
		return 0;
	if (base_folder_make(folder, err) < 0)
		return -1;
	AUTO_FD int fd = open(folder->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(err, 0, "%s is a symbolic link, or no directory", folder->path);
	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, errno, "%s", folder->path);
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return err_set(err, 0, "%s belongs to uid %u", folder->path, status.st_uid);
	if ((status.st_mode & OTHERS_MAY_WRITE) && !(status.st_mode & S_ISVTX))
		return err_set(err, 0, "%s can be written by others (mode %04o)", folder->path, status.st_mode & 07777);
	folder->device = status.st_dev;
	folder->inode = status.st_ino;
	return 0;
}
