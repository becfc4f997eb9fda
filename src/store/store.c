/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state directory. Every file is reached from the descriptor of the directory and opened without following links, so that
 * the directory checked at the start is the one in use. A file is written whole under another name and renamed into place: a
 * reader, or a daemon killed half way, sees either the old contents or the new.
 *
 * Nothing is synced to disk, because the kernel objects do not outlive a crash of the machine either.
 */
#include "store/store.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "store/codec.h"
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

/* Makes the directories above PATH that are missing. */
static int store_make_parents(const char *path, struct err *err)
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

static int store_check_directory(int fd, const char *path, struct err *err)
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

static int store_open_directory(const char *path, struct err *err)
{
	AUTO_FD int fd = -1;

	if (store_make_parents(path, err) < 0)
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

static int store_name_lock_holder(int fd, const char *path, struct err *err)
{
	char text[32] = "";
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	long pid = length > 0 ? strtol(text, NULL, 10) : 0;

	if (pid > 0)
		return err_set(err, 0, "%s: another weftd (pid %ld) uses it", path, pid);
	return err_set(err, 0, "%s: another weftd uses it", path);
}

/* The lock goes with its descriptor, however the daemon ends; the file stays. */
static int store_take_lock(int dir_fd, const char *path, struct err *err)
{
	AUTO_FD int fd = openat(dir_fd, STORE_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", getpid());

	if (fd < 0)
		return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return store_name_lock_holder(fd, path, err);
		return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
		return err_set(err, errno, "%s/%s", path, STORE_LOCK_NAME);
	return steal_fd(&fd);
}

struct store *store_open(const char *path, const struct config *config, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store) {
		err_set(err, ENOMEM, "%s", path);
		return NULL;
	}
	store->config = config;
	store->dir_fd = store->lock_fd = -1;
	store->path = strdup(path);
	store->marks = calloc(CONFIG_SLOT_MAX + 1, sizeof(*store->marks));
	if (!store->path || !store->marks) {
		err_set(err, ENOMEM, "%s", path);
		goto fail;
	}
	store->dir_fd = store_open_directory(path, err);
	if (store->dir_fd < 0)
		goto fail;
	store->lock_fd = store_take_lock(store->dir_fd, path, err);
	if (store->lock_fd < 0)
		goto fail;
	return store;

fail:
	err_wrap(err, "state directory");
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	cleanup_fd(&store->lock_fd);
	cleanup_fd(&store->dir_fd);
	free(store->path);
	free(store->marks);
	free(store);
}

/* ---- Whether it is still as we left it ---- */

struct file_mark store_mark_of(const struct stat *status)
{
	return (struct file_mark){ .inode = status->st_ino,
				   .size = status->st_size,
				   .modified = status->st_mtim,
				   .mode = status->st_mode,
				   .owner = status->st_uid };
}

static bool store_look_at_file(const struct store *store, unsigned slot, struct stat *status)
{
	char name[STORE_NAME_SIZE];

	snprintf(name, sizeof(name), "%u" STORE_SUFFIX, slot);
	return fstatat(store->dir_fd, name, status, AT_SYMLINK_NOFOLLOW) == 0;
}

bool store_is_intact(const struct store *store, unsigned slot)
{
	const struct file_mark *mark = &store->marks[slot];
	struct stat status;

	return store_look_at_file(store, slot, &status) && status.st_ino == mark->inode &&
	       status.st_size == mark->size && status.st_mode == mark->mode && status.st_uid == mark->owner &&
	       status.st_mtim.tv_sec == mark->modified.tv_sec && status.st_mtim.tv_nsec == mark->modified.tv_nsec;
}

bool store_has_file(const struct store *store, unsigned slot)
{
	struct stat status;

	return store_look_at_file(store, slot, &status);
}

/* The directory is ours, but others may write to it. Its mode is set right, and its contents are not to be trusted. */
static int store_shut_out_others(struct store *store, const struct stat *status)
{
	if (status->st_uid != geteuid() || fchmod(store->dir_fd, 0700) < 0)
		return -1;
	return 1;
}

int store_follow_directory(struct store *store, struct err *err)
{
	AUTO_FD int dir_fd = -1;
	struct stat there, ours;
	int lock_fd;

	if (fstat(store->dir_fd, &ours) == 0 && lstat(store->path, &there) == 0 && there.st_ino == ours.st_ino &&
	    there.st_dev == ours.st_dev)
		return store_check_directory(store->dir_fd, store->path, err) == 0
			   ? 0
			   : store_shut_out_others(store, &ours);
	dir_fd = store_open_directory(store->path, err);
	if (dir_fd < 0)
		return -1;
	lock_fd = store_take_lock(dir_fd, store->path, err);
	if (lock_fd < 0)
		return -1;
	cleanup_fd(&store->dir_fd);
	cleanup_fd(&store->lock_fd);
	store->dir_fd = steal_fd(&dir_fd);
	store->lock_fd = lock_fd;
	return 1;
}

static int store_write_all(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(fd, text, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -1;
		text += written;
		length -= (size_t)written;
	}
	return 0;
}

/* Writes the file NAME, which must not exist. */
static int store_write_file(int dir_fd, const char *name, const char *text, size_t length, struct file_mark *mark,
			    struct err *err)
{
	struct stat status;

	AUTO_FD int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(err, errno, "%s", name);
	if (store_write_all(fd, text, length) < 0 || fstat(fd, &status) < 0) {
		err_set(err, errno, "%s", name);
		unlinkat(dir_fd, name, 0);
		return -1;
	}
	*mark = store_mark_of(&status);
	return 0;
}

int store_save(struct store *store, const struct sandbox *sandbox, struct err *err)
{
	char name[STORE_NAME_SIZE], temporary[STORE_NAME_SIZE];
	json_t *json = store_encode(sandbox);
	AUTO_FREE char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	size_t length = text ? strlen(text) : 0;
	struct file_mark mark;

	json_decref(json);
	if (!text)
		return err_set(err, ENOMEM, "state of sandbox %s", sandbox->id);
	snprintf(name, sizeof(name), "%u" STORE_SUFFIX, sandbox->slot);
	snprintf(temporary, sizeof(temporary), "%u" STORE_SUFFIX STORE_TEMPORARY, sandbox->slot);
	text[length] = '\n'; /* in the place of the terminator: a text file ends with it */
	if (unlinkat(store->dir_fd, temporary, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s/%s", store->path, temporary);
	if (store_write_file(store->dir_fd, temporary, text, length + 1, &mark, err) < 0)
		return err_wrap(err, "%s", store->path);
	if (renameat(store->dir_fd, temporary, store->dir_fd, name) < 0) {
		err_set(err, errno, "%s/%s", store->path, name);
		unlinkat(store->dir_fd, temporary, 0);
		return -1;
	}
	store->marks[sandbox->slot] = mark;
	return 0;
}

int store_remove(struct store *store, unsigned slot, struct err *err)
{
	char name[STORE_NAME_SIZE];

	snprintf(name, sizeof(name), "%u" STORE_SUFFIX, slot);
	if (unlinkat(store->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s/%s", store->path, name);
	return 0;
}
