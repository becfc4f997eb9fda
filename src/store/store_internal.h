/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_STORE_INTERNAL_H
#define WEFT_STORE_STORE_INTERNAL_H

/*
 * The inside of the store, for its own files alone.
 */

#include "base/folder.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#define STORE_LOCK_NAME  "lock"
#define STORE_MARKS_NAME "marks.json"
#define STORE_SUFFIX     ".json"
#define STORE_TEMPORARY  ".new"   /* appended while a file is being written */
#define STORE_ASIDE      ".aside" /* appended to a file that nobody wants */

enum { STORE_NAME_SIZE = 32 };

struct config;
struct err;

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
	char *path;
	struct folder parent; /* of the directory */
	int dir_fd;
	int lock_fd;
	bool marks_current;      /* marks.json has the configuration's own layout */
	bool read_only;          /* a running daemon may write to it meanwhile */
	bool renewed;            /* the directory is another one since store_follow_directory() said so last */
	pid_t usurper;           /* another process has the lock; 0: none. -1: one whose pid is unknown */
	struct file_mark *marks; /* by slot; 0: of marks.json */
};

/* ---- directory.c ---- */

struct file_mark store_mark_of(const struct stat *status);

/* Opens the directory at PATH, made if missing, by the rules of store_open(). Its descriptor, or -1 with ERR. */
int store_open_directory(const char *path, struct err *err);

/* Whether the open directory keeps to these rules. 0, or -1 with ERR. */
int store_check_directory(int fd, const char *path, struct err *err);

/* Opens the directory in use for readdir(3): the caller's to close. NULL with ERR. */
DIR *store_list_directory(const struct store *store, struct err *err);

/*
 * Locks the directory at PATH, open as DIR_FD, against a second daemon. The lock's descriptor, or -1 with ERR. *HOLDER gets the
 * process that has the lock, or -1 if its pid is not known; else 0.
 */
int store_take_lock(int dir_fd, const char *path, pid_t *holder, struct err *err);

/* Sets ERR, which names the HOLDER of the lock. -1. */
int store_name_lock_holder(pid_t holder, const char *path, struct err *err);

/* Whether NAME in the directory DIR_FD is the file FD. */
bool store_is_same_file(int fd, int dir_fd, const char *name);

/* ---- store.c ---- */

/* Writes the file NAME and renames it into place. *MARK identifies what was written. 0, or -1 with ERR. */
int store_put_file(struct store *store, const char *name, struct file_mark *mark, const char *text, size_t length,
		   struct err *err);

/* ---- load.c ---- */

/*
 * The text of a file, allocated, with its length. NULL with WHY: it is not to be trusted, or not there. NULL with an empty WHY
 * and errno: a shortage.
 */
char *store_read_file(int dir_fd, const char *name, size_t *length, struct file_mark *mark, char *why, size_t why_size);

/* ---- follow.c ---- */

/* Whether the directory is still the one at its path. */
bool store_is_in_place(const struct store *store);

/* Takes over the directory that is at the path now, and notes that for store_follow_directory(). 0, or -1 with ERR. */
int store_renew(struct store *store, struct err *err);

#endif
