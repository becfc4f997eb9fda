/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the directory at the start. Its contents are input: a file counts only if it is a regular file of ours that no other
 * user may write, under the name of the slot in it. Any other file stays as it is and is reported.
 */
#include "store/store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/vec.h"
#include "config/config.h"
#include "registry/problem.h"
#include "store/codec.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 4 << 20 }; /* bytes: many times what the longest request becomes */

/* One more, at the end; NULL for lack of memory. */
static struct store_damage *store_push_damage(struct store_contents *contents)
{
	if (contents->damage_count == contents->damage_room) {
		struct store_damage *grown =
		    vec_grown(contents->damage, &contents->damage_room, contents->damage_count + 1, sizeof(*grown));

		if (!grown)
			return NULL;
		contents->damage = grown;
	}
	return &contents->damage[contents->damage_count++];
}

static int store_add_damage(struct store_contents *contents, unsigned slot, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int store_add_damage(struct store_contents *contents, unsigned slot, struct err *err, const char *format, ...)
{
	struct store_damage *damage = store_push_damage(contents);
	va_list args;

	if (!damage)
		return err_set(err, ENOMEM, "state directory");
	damage->slot = slot;
	va_start(args, format);
	vsnprintf(damage->text, sizeof(damage->text), format, args);
	va_end(args);
	return 0;
}

static int store_check_file(int fd, struct file_mark *mark, char *why, size_t why_size)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		snprintf(why, why_size, "%s", strerror(errno));
	else if (!S_ISREG(status.st_mode))
		snprintf(why, why_size, "is no regular file");
	else if (status.st_uid != geteuid())
		snprintf(why, why_size, "belongs to uid %u", status.st_uid);
	else if (status.st_mode & (S_IWGRP | S_IWOTH))
		snprintf(why, why_size, "can be written by others (mode %04o)", status.st_mode & 07777);
	else if (status.st_size > FILE_MAX)
		snprintf(why, why_size, "is too long (%lld bytes)", (long long)status.st_size);
	else {
		*mark = store_mark_of(&status);
		return 0;
	}
	return -1;
}

static ssize_t store_read_all(int fd, char *text, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t length = read(fd, text + used, size - used);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -1;
		if (length == 0)
			break;
		used += (size_t)length;
	}
	return (ssize_t)used;
}

char *store_read_file(int dir_fd, const char *name, size_t *length, struct file_mark *mark, char *why, size_t why_size)
{
	AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	AUTO_FREE char *text = NULL;
	ssize_t result;

	*why = '\0';
	if (fd < 0) {
		if (!err_code_is_exhaustion(errno))
			snprintf(why, why_size, "%s", errno == ELOOP ? "is a symbolic link" : strerror(errno));
		return NULL;
	}
	if (store_check_file(fd, mark, why, why_size) < 0)
		return NULL;
	text = malloc((size_t)mark->size + 1);
	result = text ? store_read_all(fd, text, (size_t)mark->size) : -1;
	if (result < 0) {
		if (!err_code_is_exhaustion(errno))
			snprintf(why, why_size, "%s", strerror(errno));
		return NULL;
	}
	*length = (size_t)result;
	return steal_ptr(&text);
}

static void store_drop_last(struct store_contents *contents)
{
	store_item_clear(&contents->items[--contents->count]);
}

static int store_load_file(struct store *store, const char *name, struct store_contents *contents, struct err *err)
{
	unsigned slot = store_slot_of_name(name);
	struct problem problem;
	struct stored *stored;
	AUTO_FREE char *text = NULL;
	char why[128];
	size_t length = 0;

	if (slot == 0)
		return store_add_damage(contents, 0, err, "%.64s: is no file of weftd", name);
	text = store_read_file(store->dir_fd, name, &length, &store->marks[slot], why, sizeof(why));
	if (!text && !*why)
		return err_set(err, errno, "%s/%s", store->path, name);
	if (!text)
		return store_add_damage(contents, slot, err, "%s: %s", name, why);
	stored = vec_push(contents);
	if (!stored)
		return err_set(err, ENOMEM, "state directory");
	if (store_decode(text, length, store->config, stored, &problem) < 0) {
		store_drop_last(contents);
		if (problem.kind == PROBLEM_UNAVAILABLE)
			return err_set(err, ENOMEM, "%s/%s", store->path, name);
		return store_add_damage(contents, slot, err, "%s: %s%s%s", name,
					problem.field + (problem.field[0] == '/'), problem.field[0] ? ": " : "",
					problem.detail);
	}
	if (stored->slot != slot) {
		unsigned other = stored->slot;

		store_drop_last(contents);
		return store_add_damage(contents, slot, err, "%s: speaks of slot %u", name, other);
	}
	return 0;
}

static bool store_name_ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), suffix_length = strlen(suffix);

	return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static int store_load_entry(struct store *store, const char *name, struct store_contents *contents, struct err *err)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, STORE_LOCK_NAME) == 0 ||
	    strcmp(name, STORE_MARKS_NAME) == 0)
		return 0;
	if (store_name_ends_with(name, STORE_SUFFIX STORE_TEMPORARY)) {
		/* It was never renamed: the file that it was to replace is still there. */
		if (!store->read_only)
			unlinkat(store->dir_fd, name, 0);
		return 0;
	}
	return store_load_file(store, name, contents, err);
}

static int store_compare_slots(const void *left, const void *right)
{
	const struct stored *a = left, *b = right;

	return (a->slot > b->slot) - (a->slot < b->slot);
}

static int store_compare_ids(const void *left, const void *right)
{
	const struct stored *a = *(struct stored *const *)left, *b = *(struct stored *const *)right;
	int order = strcmp(a->id, b->id);

	return order ? order : store_compare_slots(a, b);
}

/*
 * Of several files with one id, only that of the lowest slot counts, because an id can find only one. ITEMS is by slot before
 * and after.
 */
static int store_refuse_duplicates(struct store_contents *contents, struct err *err)
{
	AUTO_FREE struct stored **by_id = calloc(contents->count + 1, sizeof(struct stored *));
	size_t kept = 0;

	if (!by_id)
		return err_set(err, ENOMEM, "state directory");
	for (size_t i = 0; i < contents->count; i++)
		by_id[i] = &contents->items[i];
	qsort(by_id, contents->count, sizeof(struct stored *), store_compare_ids);
	for (size_t i = 1, first = 0; i < contents->count; i++) {
		if (strcmp(by_id[i]->id, by_id[first]->id) != 0) {
			first = i;
			continue;
		}
		if (store_add_damage(contents, by_id[i]->slot, err, "%u.json: sandbox %s is in %u.json already",
				     by_id[i]->slot, by_id[i]->id, by_id[first]->slot) < 0)
			return -1;
		by_id[i]->slot = 0;
	}
	for (size_t i = 0; i < contents->count; i++) {
		if (contents->items[i].slot)
			contents->items[kept++] = contents->items[i];
		else
			store_item_clear(&contents->items[i]);
	}
	contents->count = kept;
	return 0;
}

int store_load_begin(struct store *store, struct store_contents *contents, struct err *err)
{
	*contents = (struct store_contents){ .directory = store_list_directory(store, err) };
	return contents->directory ? 0 : -1;
}

int store_load_some(struct store *store, struct store_contents *contents, uint64_t until_us, struct err *err)
{
	const struct dirent *entry;

	while (errno = 0, (entry = readdir(contents->directory))) {
		if (store_load_entry(store, entry->d_name, contents, err) < 0)
			return -1;
		if (clock_now_us() >= until_us)
			return 1;
	}
	if (errno)
		return err_set(err, errno, "%s", store->path);
	if (contents->count)
		qsort(contents->items, contents->count, sizeof(*contents->items), store_compare_slots);
	return store_refuse_duplicates(contents, err);
}

int store_load(struct store *store, struct store_contents *contents, struct err *err)
{
	if (store_load_begin(store, contents, err) < 0)
		return -1;
	if (store_load_some(store, contents, UINT64_MAX, err) == 0)
		return 0;
	store_contents_clear(contents);
	return -1;
}

void store_contents_clear(struct store_contents *contents)
{
	for (size_t i = 0; i < contents->count; i++)
		store_item_clear(&contents->items[i]);
	vec_free(contents);
	free(contents->damage);
	if (contents->directory)
		closedir(contents->directory);
	*contents = (struct store_contents){ 0 };
}
