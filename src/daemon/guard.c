/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of ours that others delete, alter or replace are put back while we run. Clients find the control socket by its file, the
 * lock keeps a second weftd away by its file, and the next start believes the state files. Everything is written from memory.
 *
 * A look compares what is there with what we left: each second, and soon after inotify told that something is gone. But whoever
 * deletes a folder deletes one file after the other, and would be hindered by files that come back meanwhile; so a look waits
 * until they are through. Each second the state files of some slots are looked at, and those that were named at once. A directory
 * that is new is filled in pieces, one in an iteration of the loop.
 */
#include "daemon/guard.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/door.h"
#include "daemon/file_watch.h"
#include "daemon/follow.h"
#include "daemon/marks.h"
#include "daemon/options.h"
#include "daemon/pace.h"
#include "daemon/reserve.h"
#include "daemon/rooms.h"
#include "daemon/tenant.h"
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	GUARD_MS = 1000,
	QUIET_MS = 100,    /* without a further event, before a look */
	PATIENCE_MS = 900, /* but no longer than this after the first event */
	FILES_AT_ONCE = 500,
	WRITES_AT_ONCE = 50, /* of an iteration of the loop */
	COMPLAIN_MS = 60 * 1000,
};

struct guarded {
	struct pace pace;
	char error[256]; /* of the last failure in a row */
};

struct guard {
	struct daemon *daemon;
	struct timer timer;
	struct file_watch *watch; /* NULL: this host has no inotify for us */
	uint64_t first_event_ms;  /* clock_now_ms(), of those that no look has followed yet; 0: none */
	uint64_t last_event_ms;
	uint64_t next_round_ms; /* of looking at state files in turn */
	unsigned cursor;        /* the slot whose file was looked at last */
	bool named_any;         /* an event named a slot's file */
	bool named[CONFIG_SLOT_MAX + 1];
	bool filling; /* the state directory is new: all files are being written, up to the slot below */
	unsigned filled;
	struct guarded socket, door, directory, files;
};

/* An event, beside that of the repair, for those who watch the host. */
static void daemon_guard_tell(struct daemon *daemon, const char *status, const char *detail)
{
	control_event_host(daemon->control, "files", status, detail);
}

static void daemon_guard_put_back(struct daemon *daemon, struct guarded *guarded, const char *what)
{
	char detail[64];

	daemon_pace_done(&guarded->pace, clock_now_ms());
	snprintf(detail, sizeof(detail), "%s put back", what);
	daemon_follow_repaired(daemon, 0, what);
	daemon_guard_tell(daemon, "ok", detail);
}

/* A fault, as a rule, lasts for many looks: it is told once, and now and then. */
static void daemon_guard_complain(struct daemon *daemon, const char *message, struct guarded *guarded,
				  const struct err *err)
{
	static const struct log_limit again = { .burst = 1, .interval_ms = COMPLAIN_MS };
	bool is_new = daemon_pace_failed(&guarded->pace, clock_now_ms()) || strcmp(guarded->error, err->text) != 0;

	snprintf(guarded->error, sizeof(guarded->error), "%s", err->text);
	if (is_new)
		daemon_guard_tell(daemon, "fail", err->text);
	if (is_new)
		log_error(message, F_STR("error", err->text));
	else
		log_limited(&again, LOG_ERROR_LEVEL, message, F_STR("error", err->text));
}

static void daemon_guard_fine(struct daemon *daemon, struct guarded *guarded, const char *detail)
{
	if (daemon_pace_is_fine(&guarded->pace, clock_now_ms()))
		daemon_guard_tell(daemon, "ok", detail);
}

/* ---- the control socket ---- */

static void daemon_guard_check_socket(struct daemon *daemon)
{
	struct guarded *guarded = &daemon->guard->socket;
	struct err err;

	if (!daemon_pace_allows(&guarded->pace, clock_now_ms()))
		return;
	int followed = control_follow_file(daemon->control, &err);
	if (followed < 0) {
		daemon_guard_complain(daemon, "control socket not in order", guarded, &err);
	} else if (followed > 0) {
		daemon_guard_put_back(daemon, guarded, "control socket");
	} else {
		daemon_guard_fine(daemon, guarded, "control socket in order");
	}
}

/* ---- the door ---- */

static void daemon_guard_check_door(struct daemon *daemon)
{
	struct guarded *guarded = &daemon->guard->door;
	struct err err;

	if (!daemon_pace_allows(&guarded->pace, clock_now_ms()))
		return;
	int followed = daemon_door_follow_file(daemon, &err);
	if (followed < 0)
		daemon_guard_complain(daemon, "door not in order", guarded, &err);
	else if (followed > 0)
		daemon_guard_put_back(daemon, guarded, "door");
	else
		daemon_guard_fine(daemon, guarded, "door in order");
}

/* ---- the state files ---- */

/* Whether the sandbox has a file that only we may change, and no change of it is under way. */
static bool daemon_guard_concerns(const struct sandbox *sandbox)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);

	return tenant && !tenant->kept && !tenant->busy;
}

/* 0, or -1 if a file is not there and cannot be written. */
static int daemon_guard_check_file(struct daemon *daemon, struct sandbox *sandbox)
{
	struct err err;
	bool intact = store_is_intact(daemon->store, sandbox->slot);

	if (!daemon_guard_concerns(sandbox) || (intact && !daemon_tenant_of(sandbox)->unsaved))
		return 0;
	if (store_save(daemon->store, sandbox, &err) < 0) {
		daemon_guard_complain(daemon, "state file not written", &daemon->guard->files, &err);
		return -1;
	}
	daemon_tenant_of(sandbox)->unsaved = false;
	if (!intact)
		daemon_follow_repaired(daemon, sandbox->slot, "state file");
	return 0;
}

/* The next few; after the last, the first again. */
static int daemon_guard_check_some(struct daemon *daemon)
{
	struct guard *guard = daemon->guard;

	for (unsigned i = 0; i < FILES_AT_ONCE; i++) {
		struct sandbox *sandbox = registry_next(daemon->registry, guard->cursor);

		guard->cursor = sandbox ? sandbox->slot : 0;
		if (!sandbox)
			return 0;
		if (daemon_guard_check_file(daemon, sandbox) < 0)
			return -1;
	}
	return 0;
}

static int daemon_guard_check_named(struct daemon *daemon)
{
	struct guard *guard = daemon->guard;

	for (unsigned slot = 1; guard->named_any && slot <= CONFIG_SLOT_MAX; slot++) {
		struct sandbox *sandbox = guard->named[slot] ? registry_at(daemon->registry, slot) : NULL;

		if (sandbox && daemon_guard_check_file(daemon, sandbox) < 0)
			return -1;
		guard->named[slot] = false;
	}
	guard->named_any = false;
	return 0;
}

/* A damaged file reserved its slot until an operator took it away. */
static void daemon_guard_release_reserved(struct daemon *daemon)
{
	for (unsigned slot = 1; slot <= CONFIG_SLOT_MAX; slot++) {
		if (!daemon_reserve_has(daemon, slot) || store_has_file(daemon->store, slot))
			continue;
		log_info("damaged state file is gone; its slot is free", F_UINT("slot", slot));
		daemon_reserve_release(daemon, slot);
	}
}

static void daemon_guard_check_files(struct daemon *daemon)
{
	struct guard *guard = daemon->guard;
	uint64_t now = clock_now_ms();

	if (guard->filling || !daemon_pace_allows(&guard->files.pace, now) || daemon_guard_check_named(daemon) < 0)
		return;
	if (now < guard->next_round_ms)
		return;
	guard->next_round_ms = now + GUARD_MS;
	if (daemon_guard_check_some(daemon) < 0)
		return;
	if (!guard->cursor)
		daemon_guard_fine(daemon, &guard->files, "state files in order");
	daemon_guard_release_reserved(daemon);
}

/* ---- the state directory ---- */

/* Whether the file of SLOT is ours, or one that is kept for an operator. */
static bool daemon_guard_wants_file(void *context, unsigned slot)
{
	struct daemon *daemon = context;
	const struct sandbox *sandbox = registry_at(daemon->registry, slot);

	return daemon_reserve_has(daemon, slot) || (sandbox && sandbox->tenant && !daemon_tenant_of(sandbox)->kept);
}

static void daemon_guard_begin_filling(struct daemon *daemon)
{
	struct err err;

	/* What lies in a directory that came from elsewhere, or back, is older than what we know. */
	if (store_set_aside(daemon->store, daemon_guard_wants_file, daemon, &err) < 0)
		daemon_guard_complain(daemon, "state directory not in order", &daemon->guard->directory, &err);
	daemon->guard->filling = true;
	daemon->guard->filled = 0;
}

/* Writes the next few files. */
static void daemon_guard_fill_some(struct daemon *daemon)
{
	struct guard *guard = daemon->guard;
	struct sandbox *sandbox;
	struct err err;

	for (unsigned i = 0; i < WRITES_AT_ONCE; i++) {
		sandbox = registry_next(daemon->registry, guard->filled);
		if (!sandbox)
			break;
		if (sandbox->tenant && !daemon_tenant_of(sandbox)->kept &&
		    !store_is_intact(daemon->store, sandbox->slot) && store_save(daemon->store, sandbox, &err) < 0) {
			daemon_guard_complain(daemon, "state file not written", &guard->files, &err);
			return;
		}
		guard->filled = sandbox->slot;
	}
	if (registry_next(daemon->registry, guard->filled))
		return;
	guard->filling = false;
	daemon_pace_is_fine(&guard->files.pace, clock_now_ms());
	daemon_guard_put_back(daemon, &guard->directory, "state directory");
}

static void daemon_guard_check_directory(struct daemon *daemon)
{
	struct guarded *guarded = &daemon->guard->directory;
	enum store_followed followed;
	struct err err;

	if (!daemon_pace_allows(&guarded->pace, clock_now_ms()))
		return;
	if (store_follow_directory(daemon->store, &followed, &err) < 0) {
		daemon_guard_complain(daemon, "state directory not in order", guarded, &err);
		return;
	}
	switch (followed) {
	case STORE_IN_PLACE:
		daemon_guard_fine(daemon, guarded, "state directory in order");
		break;
	case STORE_LOCK_PUT_BACK:
		daemon_guard_put_back(daemon, guarded, "lock of the state directory");
		break;
	case STORE_RENEWED:
		daemon_guard_begin_filling(daemon);
		break;
	}
}

/* ---- when ---- */

static void daemon_guard_watch(struct guard *guard)
{
	const struct options *options = guard->daemon->options;
	char inside[PATH_MAX];

	snprintf(inside, sizeof(inside), "%s/.", options->state_dir);
	daemon_watch_follow(guard->watch, options->socket);
	daemon_watch_follow(guard->watch, inside);
}

/* How long whoever deletes files now may need: 0: nobody does. */
static uint64_t daemon_guard_wait_ms(const struct guard *guard)
{
	uint64_t now = clock_now_ms(), due = guard->last_event_ms + QUIET_MS,
		 last = guard->first_event_ms + PATIENCE_MS;

	if (!guard->first_event_ms)
		return 0;
	due = due < last ? due : last;
	return due > now ? due - now : 0;
}

static bool daemon_guard_can_fill(const struct guard *guard)
{
	return guard->filling && daemon_pace_allows(&guard->files.pace, clock_now_ms());
}

static void daemon_guard_look(struct guard *guard)
{
	struct daemon *daemon = guard->daemon;

	guard->first_event_ms = 0;
	daemon_guard_check_socket(daemon);
	daemon_guard_check_door(daemon);
	/* Before that the registry does not know what belongs into the files. */
	if (daemon_is_loaded(daemon)) {
		if (daemon_guard_can_fill(guard))
			daemon_guard_fill_some(daemon);
		else if (!guard->filling)
			daemon_guard_check_directory(daemon);
	}
	if (daemon->state == DAEMON_RUNNING) {
		daemon_guard_check_files(daemon);
		daemon_marks_settle(daemon);
	}
	daemon_guard_watch(guard);
}

static void daemon_guard_on_time(void *context)
{
	struct guard *guard = context;
	uint64_t wait_ms = daemon_guard_wait_ms(guard);

	daemon_rooms_count_clients(guard->daemon);
	if (guard->daemon->state == DAEMON_STOPPING) {
		timer_start(&guard->timer, GUARD_MS);
		return;
	}
	if (!wait_ms) {
		daemon_guard_look(guard);
		wait_ms = daemon_guard_can_fill(guard) ? 0 : GUARD_MS;
	}
	timer_start(&guard->timer, wait_ms);
}

/* "7.json": its slot is looked at. A temporary name comes and goes with each file that we write. */
static void daemon_guard_on_event(void *context, const char *name)
{
	struct guard *guard = context;
	size_t length = name ? strlen(name) : 0;
	unsigned slot = name ? store_slot_of_name(name) : 0;

	if (length > 4 && strcmp(name + length - 4, ".new") == 0)
		return;
	if (slot)
		guard->named_any = guard->named[slot] = true;
	guard->last_event_ms = clock_now_ms();
	if (!guard->first_event_ms) {
		guard->first_event_ms = guard->last_event_ms;
		timer_start(&guard->timer, QUIET_MS);
	}
}

int daemon_guard_start(struct daemon *daemon, struct err *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return err_set(err, ENOMEM, "guard of the state directory");
	daemon->guard = guard;
	guard->daemon = daemon;
	if (timer_init(&guard->timer, daemon->base, daemon_guard_on_time, guard, err) < 0)
		return -1;
	guard->watch = daemon_watch_new(daemon->base, daemon_guard_on_event, guard);
	daemon_guard_watch(guard);
	timer_start(&guard->timer, GUARD_MS);
	return 0;
}

void daemon_guard_stop(struct daemon *daemon)
{
	if (!daemon->guard)
		return;
	daemon_watch_free(daemon->guard->watch);
	timer_free(&daemon->guard->timer);
	free(daemon->guard);
	daemon->guard = NULL;
}
