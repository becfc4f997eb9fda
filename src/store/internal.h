/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_INTERNAL_H
#define WEFT_STORE_INTERNAL_H

/*
 * The store from within: for its own files alone.
 */

#define STORE_LOCK_NAME "lock"
#define STORE_SUFFIX    ".json"
#define STORE_TEMPORARY ".new" /* appended while a file is being written */

enum { STORE_NAME_SIZE = 32 };

struct config;

struct store {
	const struct config *config;
	char *path; /* for messages */
	int dir_fd;
	int lock_fd;
};

#endif
