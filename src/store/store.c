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
#include "base/spares.h"
#include "config/config.h"
#include "store/codec.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct store *store_open(const char *path, const struct config *config, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));
	pid_t holder;

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
	if (store->dir_fd < 0 || base_folder_note(&store->parent, path, err) < 0)
		goto fail;
	store->lock_fd = store_take_lock(store->dir_fd, path, &holder, err);
	if (store->lock_fd < 0)
		goto fail;
	return store;

fail:
	err_wrap(err, "state directory");
	store_close(store);
	return NULL;
}

struct store *store_open_read(const char *path, const struct config *config, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store) {
		err_set(err, ENOMEM, "%s", path);
		return NULL;
	}
	store->config = config;
	store->lock_fd = -1;
	store->path = strdup(path);
	store->marks = calloc(CONFIG_SLOT_MAX + 1, sizeof(*store->marks));
	store->read_only = true;
	store->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->dir_fd >= 0 && store->path && store->marks && store_check_directory(store->dir_fd, path, err) == 0)
		return store;
	if (store->dir_fd < 0 || !store->path || !store->marks)
		err_set(err, store->dir_fd < 0 ? errno : ENOMEM, "%s", path);
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	cleanup_fd(&store->lock_fd);
	cleanup_fd(&store->dir_fd);
	base_folder_clear(&store->parent);
	free(store->path);
	free(store->marks);
	free(store);
}

static bool store_look_at_file(const struct store *store, unsigned slot, struct stat *status)
{
	char name[STORE_NAME_SIZE];

	if (slot)
		snprintf(name, sizeof(name), "%u" STORE_SUFFIX, slot);
	else
		snprintf(name, sizeof(name), STORE_MARKS_NAME);
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

	/* A deletion writes its intent first, and must be possible while the process has no descriptors. */
	AUTO_FD int fd = SPARES_TRY(openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));

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

int store_put_file(struct store *store, const char *name, struct file_mark *mark, const char *text, size_t length,
		   struct err *err)
{
	char temporary[STORE_NAME_SIZE];
	struct file_mark written;

	snprintf(temporary, sizeof(temporary), "%s" STORE_TEMPORARY, name);
	if (unlinkat(store->dir_fd, temporary, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s/%s", store->path, temporary);
	if (store_write_file(store->dir_fd, temporary, text, length, &written, err) < 0)
		return err_wrap(err, "%s", store->path);
	if (renameat(store->dir_fd, temporary, store->dir_fd, name) < 0) {
		err_set(err, errno, "%s/%s", store->path, name);
		unlinkat(store->dir_fd, temporary, 0);
		return -1;
	}
	*mark = written;
	return 0;
}

/* Writes the file of SLOT. */
static int store_put_slot(struct store *store, unsigned slot, const char *text, size_t length, struct err *err)
{
	char name[STORE_NAME_SIZE];

	snprintf(name, sizeof(name), "%u" STORE_SUFFIX, slot);
	return store_put_file(store, name, &store->marks[slot], text, length, err);
}

int store_save(struct store *store, const struct sandbox *sandbox, struct err *err)
{
	json_t *json = store_encode(sandbox);
	AUTO_FREE char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	size_t length = text ? strlen(text) : 0;

	json_decref(json);
	if (!text)
		return err_set(err, ENOMEM, "state of sandbox %s", sandbox->id);
	if (store->usurper)
		return store_name_lock_holder(store->usurper, store->path, err);
	text[length] = '\n'; /* in the place of the terminator: a text file ends with it */
	if (store_put_slot(store, sandbox->slot, text, length + 1, err) == 0)
		return 0;
	/* Somebody deleted the directory: no request has to fail until the next look finds that. */
	if (err->code != ENOENT || store_is_in_place(store) || store_renew(store, err) < 0)
		return -1;
	return store_put_slot(store, sandbox->slot, text, length + 1, err);
}

int store_remove(struct store *store, unsigned slot, struct err *err)
{
	char name[STORE_NAME_SIZE];

	snprintf(name, sizeof(name), "%u" STORE_SUFFIX, slot);
	if (unlinkat(store->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s/%s", store->path, name);
	return 0;
}
