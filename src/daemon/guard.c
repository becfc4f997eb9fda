/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files say what is wanted, and the next start believes them: so changes of them by others are undone while we run. Each
 * second the directory and the files of some slots are compared with the marks that the store keeps; a file that is gone, altered
 * or replaced is written anew from the registry, and reported as a repair.
 */
#include "daemon/guard.h"

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "daemon/reserve.h"
#include "daemon/rooms.h"
#include "daemon/tenant.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

enum { GUARD_MS = 1000, FILES_AT_ONCE = 500, COMPLAIN_MS = 60 * 1000 };

struct guard {
	struct daemon *daemon;
	struct timer timer;
	unsigned cursor; /* the slot whose file was looked at last */
	struct log_limit lines;
};

static void daemon_guard_report(struct daemon *daemon, const struct sandbox *sandbox, const char *what)
{
	daemon_follow_repaired(daemon, sandbox ? sandbox->slot : 0, what);
}

/* A fault, as a rule, lasts for many checks. */
static void daemon_guard_complain(struct daemon *daemon, const struct err *err)
{
	uint64_t suppressed;

	if (log_limit_allows(&daemon->guard->lines, &suppressed))
		log_error("state directory not in order", F_STR("error", err->text), F_SOME("suppressed", suppressed));
}

/* Whether the sandbox has a file that only we may change, and no change of it is under way. */
static bool daemon_guard_concerns(const struct sandbox *sandbox)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);

	return tenant && !tenant->kept && !tenant->busy;
}

static void daemon_guard_check_file(struct daemon *daemon, struct sandbox *sandbox)
{
	struct err err;

	if (!daemon_guard_concerns(sandbox) || store_is_intact(daemon->store, sandbox->slot))
		return;
	if (store_save(daemon->store, sandbox, &err) < 0)
		daemon_guard_complain(daemon, &err);
	else
		daemon_guard_report(daemon, sandbox, "state file");
}

/* The next few; after the last, the first again. */
static void daemon_guard_check_files(struct daemon *daemon)
{
	for (unsigned i = 0; i < FILES_AT_ONCE; i++) {
		struct sandbox *sandbox = registry_next(daemon->registry, daemon->guard->cursor);

		if (!sandbox) {
			daemon->guard->cursor = 0;
			return;
		}
		daemon->guard->cursor = sandbox->slot;
		daemon_guard_check_file(daemon, sandbox);
	}
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

static void daemon_guard_write_all(struct daemon *daemon)
{
	struct err err;

	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		if (daemon_tenant_of(sandbox) && !daemon_tenant_of(sandbox)->kept &&
		    store_save(daemon->store, sandbox, &err) < 0)
			daemon_guard_complain(daemon, &err);
}

static void daemon_guard_check(struct daemon *daemon)
{
	struct err err;
	int followed = store_follow_directory(daemon->store, &err);

	if (followed < 0) {
		daemon_guard_complain(daemon, &err);
		return;
	}
	if (followed > 0) {
		daemon_guard_write_all(daemon);
		daemon_guard_report(daemon, NULL, "state directory");
		return;
	}
	daemon_guard_check_files(daemon);
	daemon_guard_release_reserved(daemon);
}

static void daemon_guard_on_time(void *context)
{
	struct guard *guard = context;

	daemon_rooms_count_clients(guard->daemon);
	if (guard->daemon->state == DAEMON_RUNNING)
		daemon_guard_check(guard->daemon);
	timer_start(&guard->timer, GUARD_MS);
}

int daemon_guard_start(struct daemon *daemon, struct err *err)
{
	struct guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return err_set(err, ENOMEM, "guard of the state directory");
	daemon->guard = guard;
	guard->daemon = daemon;
	guard->lines = (struct log_limit){ .burst = 1, .interval_ms = COMPLAIN_MS };
	if (timer_init(&guard->timer, daemon->base, daemon_guard_on_time, guard, err) < 0)
		return -1;
	timer_start(&guard->timer, GUARD_MS);
	return 0;
}

void daemon_guard_stop(struct daemon *daemon)
{
	if (!daemon->guard)
		return;
	timer_free(&daemon->guard->timer);
	free(daemon->guard);
	daemon->guard = NULL;
}
