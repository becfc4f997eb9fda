/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_STORE_H
#define WEFT_STORE_STORE_H

/*
 * The state directory: one file for each sandbox, SLOT.json, written before the first kernel change, renamed into place, read
 * strictly at start. An operator can read it. Main thread (a file is a few hundred bytes on a tmpfs).
 */

#include "base/vec.h"
#include "registry/registry.h"

#include <stddef.h>
#include <stdint.h>

struct config;
struct err;
struct store;

/*
 * Opens (makes, 0700) the directory at PATH and locks it against a second daemon. NULL with ERR: not root's, others may write,
 * a symbolic link, or locked ("another weftd (pid 17) uses it").
 */
struct store *store_open(const char *path, const struct config *config, struct err *err);
void store_close(struct store *store);

/* Writes, or replaces, the sandbox's file: id, slot, spec, endpoint addresses, paused, draining, registered_at, counters' base. 0 or -1 with ERR. */
int store_save(struct store *store, const struct sandbox *sandbox, struct err *err);

/* Removes the file of SLOT; none there is no error. */
int store_remove(struct store *store, unsigned slot, struct err *err);

/* Whether the file of SLOT is as it was written, or read: not deleted, altered, replaced or opened to others meanwhile. */
bool store_is_intact(const struct store *store, unsigned slot);

/* Whether there is a file of SLOT, whoever's. */
bool store_has_file(const struct store *store, unsigned slot);

/*
 * Looks whether the directory is still the one at its path. If not, the one at the path is taken (and made, if there is none),
 * by the rules of store_open(): 1, and the caller writes everything anew. 0: it is. -1 with ERR: what is at the path cannot be
 * used; the store goes on in the directory that it has.
 */
int store_follow_directory(struct store *store, struct err *err);

/* One sandbox as a former run left it. */
struct stored {
	char id[SANDBOX_ID_MAX + 1];
	unsigned slot;
	struct spec *spec; /* owned by the struct until taken (set to NULL) */
	struct endpoint *endpoints;
	size_t endpoint_count;
	bool paused, draining;
	int64_t registered_ms;
	int64_t last_activity_ms;
	unsigned mtu;
	struct counters base; /* what the counters stood at */
};

/* A file that is not to be trusted. It is kept as it is; SLOT is that of its name, 0 if that is no slot's. */
struct store_damage {
	unsigned slot;
	char text[256]; /* "7.json: version 9 is not known to this weftd (1 to 1)" */
};

struct store_contents {
	VEC_OF(struct stored); /* by slot */
	struct store_damage *damage;
	size_t damage_count, damage_room;
	void *directory; /* what is left of it to read */
};

/* Reads all files. 0, or -1 with ERR if the directory itself cannot be read. store_contents_clear() afterwards. */
int store_load(struct store *store, struct store_contents *contents, struct err *err);

/*
 * The same for who has more to do than to wait for thousands of files: store_load_some() reads on until UNTIL_US of
 * clock_now_us(), one file at least. 1: there is more; 0: all is read, and only now CONTENTS says anything; -1 with ERR.
 * store_contents_clear() ends it at any time.
 */
int store_load_begin(struct store *store, struct store_contents *contents, struct err *err);
int store_load_some(struct store *store, struct store_contents *contents, uint64_t until_us, struct err *err);
void store_contents_clear(struct store_contents *contents);

#endif
