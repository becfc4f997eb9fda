/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory and its lock. The lock goes with its descriptor, however the daemon ends; its file stays.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/folder.h"
#include "config/config.h"
#include "store/store.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OTHERS_WRITE = S_IWGRP | S_IWOTH };

int store_check_directory(int fd, const char *path, struct err *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return err_set(err, errno, "%s", path);
	if (status.st_uid != geteuid())
		return err_set(err, 0, "%s belongs to uid %u, not to uid %u", path, status.st_uid, geteuid());
	if (status.st_mode & OTHERS_WRITE)
		return err_set(err, 0, "%s can be written by others (mode %04o): it must be 0700", path,
			       status.st_mode & 07777);
	return 0;
}

int store_open_directory(const char *path, struct err *err)
{
	AUTO_FD int fd = -1;

	if (base_folder_make_parents(path, err) < 0)
		return -1;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "%s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(err, 0, "%s is a symbolic link, or no directory", path);
	if (fd < 0)
		return err_set(err, errno, "%s", path);
	if (store_check_directory(fd, path, err) < 0)
		return -1;
	return steal_fd(&fd);
}

DIR *store_list_directory(const struct store *store, struct err *err)
{
	int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

	if (directory)
		return directory;
	err_set(err, errno, "%s", store->path);
	cleanup_fd(&fd);
	return NULL;
}

/* The pid that is written in the lock FD; -1: none that can be read. */
static pid_t store_read_lock_holder(int fd)
{
	char text[32] = "";
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	long pid = length > 0 ? strtol(text, NULL, 10) : 0;

	return pid > 0 ? (pid_t)pid : -1;
}

int store_name_lock_holder(pid_t pid, const char *path, struct err *err)
{
	if (pid > 0)
		return err_set(err, 0, "%s: another weftd (pid %d) uses it", path, pid);
	return err_set(err, 0, "%s: another weftd uses it", path);
}

bool store_is_same_file(int fd, int dir_fd, const char *name)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* A lock whose file was deleted between its opening and its locking locks nothing: the next try meets the file that took its place. */
int store_take_lock(int dir_fd, const char *path, pid_t *holder, struct err *err)
{
	enum { TRIES = 10 };
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", getpid());

	*holder = 0;
	for (int tries = 0; tries < TRIES; tries++) {
		AUTO_FD int fd =
		    openat(dir_fd, STORE_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);

		if (fd < 0)
			return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno != EWOULDBLOCK)
				return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
			*holder = store_read_lock_holder(fd);
			return store_name_lock_holder(*holder, path, err);
		}
		if (!store_is_same_file(fd, dir_fd, STORE_LOCK_NAME))
			continue;
		if (fchmod(fd, 0600) < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
			return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
		return steal_fd(&fd);
	}
	return err_set(err, 0, "%s/%s is replaced again and again", path, STORE_LOCK_NAME);
}

struct file_mark store_mark_of(const struct stat *status)
{
	return (struct file_mark){ .inode = status->st_ino,
				   .size = status->st_size,
				   .modified = status->st_mtim,
				   .mode = status->st_mode,
				   .owner = status->st_uid };
}

unsigned store_slot_of_name(const char *name)
{
	char canonical[STORE_NAME_SIZE];
	unsigned long slot = strtoul(name, NULL, 10);

	if (slot < 1 || slot > CONFIG_SLOT_MAX)
		return 0;
	snprintf(canonical, sizeof(canonical), "%lu" STORE_SUFFIX, slot);
	return strcmp(name, canonical) == 0 ? (unsigned)slot : 0;
}
