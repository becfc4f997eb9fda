/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_FOLDER_H
#define WEFT_BASE_FOLDER_H

/*
 * The folder of a file that is put back when others delete it. Whoever deletes a file may have put another folder, or a link, in
 * the place of its folder. One other than the first is used only if nobody but root can change it. Any thread, one at a time.
 */

#include <stdbool.h>
#include <sys/types.h>

struct err;

struct folder {
	char *path; /* owned */
	dev_t device;
	ino_t inode;
	mode_t mode;
	uid_t owner;
	gid_t group;
};

/* The path of the folder that PATH lies in, "." for a bare name; the caller's. NULL for want of memory. */
char *base_folder_above(const char *path);

/* Notes the folder of the file PATH as it is. 0, or -1 with ERR (ENOMEM). */
int base_folder_note(struct folder *folder, const char *path, struct err *err);

/* Makes the folders above PATH that are missing, with mode 0755. 0, or -1 with ERR. */
int base_folder_make_parents(const char *path, struct err *err);

/* Frees its path. Harmless on a struct of zeroes. */
void base_folder_clear(struct folder *folder);

/*
 * Makes it, if it is missing, with the owner, group and mode that it had. One that took its place must belong to root, be writable
 * to nobody else (unless it is sticky) and be no symbolic link. 0, or -1 with ERR.
 */
int base_folder_renew(struct folder *folder, struct err *err);

/* Whether its path leads to the folder that was noted or renewed last. */
bool base_folder_is_same(const struct folder *folder);

#endif
