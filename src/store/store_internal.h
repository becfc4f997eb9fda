/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_STORE_INTERNAL_H
#define WEFT_STORE_STORE_INTERNAL_H

/*
 * The inside of the store, for its own files alone.
 */

#define STORE_LOCK_NAME "lock"
#define STORE_SUFFIX    ".json"
#define STORE_TEMPORARY ".new" /* appended while a file is being written */

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum { STORE_NAME_SIZE = 32 };

struct config;

/* Identifies a version of a file: writing to the file, or putting another in its place, changes one of these. */
struct file_mark {
	ino_t inode; /* 0: there is no file of ours */
	off_t size;
	struct timespec modified;
	mode_t mode;
	uid_t owner;
};

struct store {
	const struct config *config;
	char *path; /* for messages */
	int dir_fd;
	int lock_fd;
	struct file_mark *marks; /* by slot */
};

struct file_mark store_mark_of(const struct stat *status);

#endif
