/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_STORE_H
#define WEFT_STORE_STORE_H

/*
 * The state directory: one file for each sandbox, SLOT.json, written before the first kernel change, renamed into place, read
 * strictly at start, and readable to an operator. Main thread (a file is a few hundred bytes on a tmpfs).
 */

#include "base/vec.h"
#include "registry/registry.h"

#include <stddef.h>
#include <stdint.h>

struct config;
struct err;
struct store;

/*
 * Opens the directory at PATH, made with mode 0700 if need be, and locks it against a second daemon. NULL with ERR: not owned
 * by root, writable to others, a symbolic link, or locked ("another weftd (pid 17) uses it").
 */
struct store *store_open(const char *path, const struct config *config, struct err *err);
void store_close(struct store *store);

/* The same without the lock, for reading alone, beside a daemon that may run. NULL with ERR; ENOENT: there is no directory. */
struct store *store_open_read(const char *path, const struct config *config, struct err *err);

/*
 * Adds the layouts of marks.json to those of the configuration. 0, or -1 with ERR: ENOENT if there is no such file, EBADMSG if it is
 * damaged; store_load() then finds those that stored sandboxes have.
 */
int store_marks_load(struct store *store, struct err *err);

/* Writes the layouts of the configuration, its own and those of former ones, as marks.json. 0, or -1 with ERR. */
int store_marks_save(struct store *store, struct err *err);

/* Whether marks.json, as it was read, has the configuration's own layout. */
bool store_marks_are_current(const struct store *store);

/* Whether marks.json is as it was written: not deleted, altered or replaced. */
bool store_marks_are_intact(const struct store *store);

/* Removes marks.json, when nothing that we made is left on the host. No such file is no error. 0, or -1 with ERR. */
int store_marks_remove(struct store *store, struct err *err);

/*
 * Writes the file of the sandbox: id, slot, layout, specification, endpoint addresses, paused, draining, tap_lost, registered_at, the
 * state with its time and reason, the carrier and how often it was lost, the base of the counters. 0 or -1 with ERR.
 */
int store_save(struct store *store, const struct sandbox *sandbox, struct err *err);

/* Removes the file of SLOT, if there is one. 0 or -1 with ERR. */
int store_remove(struct store *store, unsigned slot, struct err *err);

/* Whether the file of SLOT is as it was written or read: not deleted, altered, replaced or opened to others since. */
bool store_is_intact(const struct store *store, unsigned slot);

/* The slot whose file has the name NAME: "7.json", not "07.json"; 0: none. */
unsigned store_slot_of_name(const char *name);

/* Whether there is a file of SLOT, ours or not. */
bool store_has_file(const struct store *store, unsigned slot);

enum store_followed {
	STORE_IN_PLACE,
	STORE_LOCK_PUT_BACK, /* the lock's file had gone or been replaced */
	STORE_RENEWED, /* the directory at the path, made if missing, has taken the former one's place by the rules of
				store_open(), or it was open to others: the caller writes everything anew */
};

/*
 * Checks whether the directory is still the one at its path, and the lock the file in it. 0 and *FOLLOWED. -1 with ERR: the path
 * cannot be used, and the store goes on in the directory that it has; or another process has the lock, and until it is gone
 * nothing is written.
 */
int store_follow_directory(struct store *store, enum store_followed *followed, struct err *err);

/*
 * After STORE_RENEWED: gives the files of slots for which WANTED says false another name (7.json.aside), under which they are no
 * sandbox's. 0 or -1 with ERR.
 */
int store_set_aside(struct store *store, bool (*wanted)(void *context, unsigned slot), void *context, struct err *err);

/* The state that a sandbox was in, and what the kernel said about its TAP. */
struct stored_status {
	bool known; /* false: the file is of a weftd that did not store it */
	enum sandbox_state state;
	int64_t since_ms;
	char reason[256];
	bool carrier, was_attached; /* struct sandbox has them, too */
	int64_t carrier_downs;      /* -1: not known */
};

/* One sandbox as a former run left it. */
struct stored {
	char id[SANDBOX_ID_MAX + 1];
	char execution[SANDBOX_EXECUTION_SIZE]; /* "": the file is of a weftd that wrote none */
	unsigned slot;
	struct spec *spec; /* owned by the struct until taken (set to NULL) */
	struct endpoint *endpoints;
	size_t endpoint_count;
	bool paused, draining;
	bool tap_lost; /* FAILURE_TAP, which only DELETE ends */
	struct stored_status status;
	int64_t registered_ms;
	int64_t last_activity_ms;
	int64_t wake_asked_ms;
	char wake_by[SANDBOX_WAKE_BY_SIZE];
	char wake_via[SANDBOX_WAKE_VIA_SIZE];
	bool strict;
	unsigned mtu;
	const struct config_layout *layout; /* of its slot; NULL: the file is of a weftd that wrote none */
	char *others;                       /* owned: the members that this weftd does not know, as JSON; NULL: none */
	uint64_t netns_device, netns_inode;
	uint64_t default_turn;
	bool changed;         /* by the reader: the file is to be written again */
	struct counters base; /* the values of the counters when the file was written */
};

/* A file that is not to be trusted, and is left as it is. SLOT is that of its name; 0 if the name has none. */
struct store_damage {
	unsigned slot;
	char text[256]; /* "7.json: version 9 is not known to this weftd (1 to 1)" */
};

struct store_contents {
	VEC_OF(struct stored); /* by slot */
	struct store_damage *damage;
	size_t damage_count, damage_room;
	void *directory; /* the stream being read; NULL when all is read */
};

/* Reads all files. 0, or -1 with ERR if the directory itself cannot be read. store_contents_clear() afterwards. */
int store_load(struct store *store, struct store_contents *contents, struct err *err);

/*
 * The same in steps, for a caller with more to do than to wait for thousands of files. store_load_some() reads until UNTIL_US
 * of clock_now_us(), but at least one file. 1: there is more; 0: all is read, and only now CONTENTS is valid; -1 with ERR.
 * store_contents_clear() may end it at any time.
 */
int store_load_begin(struct store *store, struct store_contents *contents, struct err *err);
int store_load_some(struct store *store, struct store_contents *contents, uint64_t until_us, struct err *err);
void store_contents_clear(struct store_contents *contents);

#endif
