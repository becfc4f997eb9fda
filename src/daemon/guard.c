/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files say what is wanted, and the next start believes them: so what somebody does to them while we run is undone. Each
 * second the directory and the files of some slots are compared with the marks that the store keeps; what is gone, altered or
 * replaced is written anew from the registry, which knows better, and told as a repair.
 */
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "store/store.h"

enum { GUARD_MS = 1000, FILES_A_TURN = 500, COMPLAIN_MS = 60 * 1000 };

static void tell(struct daemon *daemon, const struct sandbox *sandbox, const char *what)
{
	daemon_watcher.repaired(daemon, sandbox ? sandbox->slot : 0, what);
}

/* What is not in order stays so, as a rule, for many looks. */
static void complain(struct daemon *daemon, const struct err *err)
{
	uint64_t suppressed;

	if (log_limit_allows(&daemon->guard_lines, &suppressed))
		log_error("state directory not in order", F_STR("error", err->text), F_SOME("suppressed", suppressed));
}

/* Whether the sandbox has a file that only we may change, and it is not just about to. */
static bool is_guarded(const struct sandbox *sandbox)
{
	const struct tenant *tenant = tenant_of(sandbox);

	return tenant && !tenant->kept && !tenant->busy;
}

static void look_at_file(struct daemon *daemon, struct sandbox *sandbox)
{
	struct err err;

	if (!is_guarded(sandbox) || store_is_intact(daemon->store, sandbox->slot))
		return;
	if (store_save(daemon->store, sandbox, &err) < 0)
		complain(daemon, &err);
	else
		tell(daemon, sandbox, "state file");
}

/* The next few, in turn. */
static void look_at_files(struct daemon *daemon)
{
	for (unsigned i = 0; i < FILES_A_TURN; i++) {
		struct sandbox *sandbox = registry_next(daemon->registry, daemon->guard_cursor);

		if (!sandbox) {
			daemon->guard_cursor = 0;
			return;
		}
		daemon->guard_cursor = sandbox->slot;
		look_at_file(daemon, sandbox);
	}
}

/* A damaged file kept its slot from everybody: somebody took it away. */
static void release_reserved(struct daemon *daemon)
{
	for (unsigned slot = 1; slot <= CONFIG_SLOT_MAX; slot++) {
		if (!daemon->reserved[slot] || store_has_file(daemon->store, slot))
			continue;
		log_info("damaged state file is gone; its slot is free", F_UINT("slot", slot));
		restart_release_slot(daemon, slot);
	}
}

static void write_all(struct daemon *daemon)
{
	struct err err;

	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		if (tenant_of(sandbox) && !tenant_of(sandbox)->kept && store_save(daemon->store, sandbox, &err) < 0)
			complain(daemon, &err);
}

static void look(struct daemon *daemon)
{
	struct err err;
	int followed = store_follow_directory(daemon->store, &err);

	if (followed < 0) {
		complain(daemon, &err);
		return;
	}
	if (followed > 0) {
		write_all(daemon);
		tell(daemon, NULL, "state directory");
		return;
	}
	look_at_files(daemon);
	release_reserved(daemon);
}

static void on_time(void *context)
{
	struct daemon *daemon = context;

	if (daemon->state == DAEMON_RUNNING)
		look(daemon);
	timer_start(&daemon->guarding, GUARD_MS);
}

int guard_start(struct daemon *daemon, struct err *err)
{
	if (timer_init(&daemon->guarding, daemon->base, on_time, daemon, err) < 0)
		return -1;
	daemon->guard_lines = (struct log_limit){ .burst = 1, .interval_ms = COMPLAIN_MS };
	timer_start(&daemon->guarding, GUARD_MS);
	return 0;
}
