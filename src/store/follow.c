/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Others may delete the directory or its lock, or put something else in their place. Our descriptors then lead to what is gone;
 * what is at the path is taken over by the rules of the start.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "store/store.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory is ours, but others may write to it. Its mode is set right, and its contents are not to be trusted. */
static int store_shut_out_others(struct store *store, struct err *err)
{
	struct stat status;

	if (store_check_directory(store->dir_fd, store->path, err) == 0)
		return 0;
	if (fstat(store->dir_fd, &status) < 0 || status.st_uid != geteuid() || fchmod(store->dir_fd, 0700) < 0)
		return -1;
	store->renewed = true;
	return 0;
}

bool store_is_in_place(const struct store *store)
{
	return store_is_same_file(store->dir_fd, AT_FDCWD, store->path);
}

/* Takes over the directory that is at the path now. */
int store_renew(struct store *store, struct err *err)
{
	pid_t holder;

	if (base_folder_renew(&store->parent, err) < 0)
		return -1;
	AUTO_FD int dir_fd = store_open_directory(store->path, err);
	if (dir_fd < 0)
		return -1;
	if (!base_folder_is_same(&store->parent))
		return err_set(err, 0, "%s was replaced meanwhile", store->parent.path);
	int lock_fd = store_take_lock(dir_fd, store->path, &holder, err);
	if (lock_fd < 0)
		return -1;
	cleanup_fd(&store->dir_fd);
	cleanup_fd(&store->lock_fd);
	store->dir_fd = steal_fd(&dir_fd);
	store->lock_fd = lock_fd;
	store->usurper = 0;
	store->renewed = true;
	return 0;
}

/*
 * The lock's file was deleted, and with it the protection against a second daemon. Somebody may have locked a new one since:
 * then the directory is theirs as well as ours, and nothing is written until they are gone.
 */
static int store_relock(struct store *store, bool *put_back, struct err *err)
{
	*put_back = false;
	if (store_is_same_file(store->lock_fd, store->dir_fd, STORE_LOCK_NAME))
		return 0;
	int fd = store_take_lock(store->dir_fd, store->path, &store->usurper, err);
	if (fd < 0)
		return -1;
	cleanup_fd(&store->lock_fd);
	store->lock_fd = fd;
	*put_back = true;
	return 0;
}

int store_follow_directory(struct store *store, enum store_followed *followed, struct err *err)
{
	bool lock_put_back = false;

	*followed = STORE_IN_PLACE;
	if (!store_is_in_place(store) && store_renew(store, err) < 0)
		return -1;
	if (store_shut_out_others(store, err) < 0 || store_relock(store, &lock_put_back, err) < 0)
		return -1;
	if (store->renewed)
		*followed = STORE_RENEWED;
	else if (lock_put_back)
		*followed = STORE_LOCK_PUT_BACK;
	store->renewed = false;
	return 0;
}

int store_set_aside(struct store *store, bool (*wanted)(void *context, unsigned slot), void *context, struct err *err)
{
	DIR *directory = store_list_directory(store, err);
	char aside[STORE_NAME_SIZE];
	int result = 0;

	if (!directory)
		return -1;
	for (const struct dirent *entry; (entry = readdir(directory));) {
		unsigned slot = store_slot_of_name(entry->d_name);

		if (!slot || wanted(context, slot))
			continue;
		snprintf(aside, sizeof(aside), "%u" STORE_SUFFIX STORE_ASIDE, slot);
		if (renameat(store->dir_fd, entry->d_name, store->dir_fd, aside) < 0)
			result = err_set(err, errno, "%s/%s", store->path, entry->d_name);
	}
	closedir(directory);
	return result;
}
