/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start behind the control socket, which answers meanwhile. So everything here is done in pieces of some milliseconds, one in
 * an iteration of the loop. The builder reads the kernel while the files are read here; then the two are compared.
 *
 * The files say what is wanted, and the kernel's marks what exists:
 *
 *	wanted and there      adopted: matching parts stay untouched, others are repaired
 *	wanted, nothing there made anew, and reported as a repair
 *	draining              taken apart, as the former run had begun to
 *	neither proved        tried again, with the state that the carrier says (takeover.c)
 *	there, not wanted     taken apart, unless a VM lives on it: then kept, untouched, and shown as failed
 *	a damaged file        kept as it is; its slot is not handed out
 */
#include "daemon/restart.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/door.h"
#include "daemon/endpoints.h"
#include "daemon/handed_over.h"
#include "daemon/host_services.h"
#include "daemon/listeners.h"
#include "daemon/loopback.h"
#include "daemon/marks.h"
#include "daemon/notify.h"
#include "daemon/recall.h"
#include "daemon/reserve.h"
#include "daemon/rooms.h"
#include "daemon/takeover.h"
#include "daemon/tenant.h"
#include "daemon/unregister.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEP_US = 5000,         /* of an iteration of the loop */
	DEFAULT_PAUSE_MS = 100, /* between tries of the default endpoint */
};

/* How far the files are; the kernel is read meanwhile. */
enum restart_phase {
	PHASE_ROOMS,       /* fabric and forwarder are not there yet */
	PHASE_READING,     /* files */
	PHASE_REGISTERING, /* the sandboxes that were read */
	PHASE_LETTING_IN,  /* opening the default endpoint */
	PHASE_TAKING_OVER, /* adopting, as soon as the kernel's state is known, and opening endpoints */
};

struct restart {
	struct daemon *daemon;
	struct timer step; /* the next piece, in the next iteration of the loop */
	enum restart_phase phase;
	struct store_contents contents;
	size_t registered;                /* of the contents */
	bool scanned, known;              /* the kernel was read; its state is known: false where weftd stops */
	const struct fabric_found *found; /* the fabric's */
	size_t found_count, taken;        /* of FOUND: all, and those that were taken over */
	size_t hurried;                   /* of FOUND: those that were looked at for connections that wait */
	bool seen[CONFIG_SLOT_MAX + 1];   /* by slot: it was found */
	bool all_taken, all_open;
	unsigned taking;  /* up to this slot, sandboxes that were not found are taken over */
	unsigned opening; /* up to this slot, endpoints were opened */
	size_t adoptions_left;
	uint64_t started_ms;
};

static void daemon_restart_take_damage(struct daemon *daemon, const struct store_contents *contents)
{
	for (size_t i = 0; i < contents->damage_count; i++) {
		const struct store_damage *damage = &contents->damage[i];

		log_error("state file not readable; it is left as it is", F_STR("file", damage->text),
			  F_STR("fix", "mend or remove it; its slot is not used before"));
		if (damage->slot)
			daemon_reserve_slot(daemon, damage->slot, damage->text);
	}
}

/*
 * A kill between the two files of a take leaves two with the default: the later taker has it. The other's file is written again, so
 * that it does not come back when that one is gone.
 */
static void daemon_restart_settle_default(struct restart *restart)
{
	struct store_contents *contents = &restart->contents;
	struct stored *holder = NULL;

	for (size_t i = 0; i < contents->count; i++) {
		struct stored *stored = &contents->items[i];

		if (stored->spec->is_default && (!holder || stored->default_turn > holder->default_turn))
			holder = stored;
	}
	for (size_t i = 0; i < contents->count; i++) {
		struct stored *stored = &contents->items[i];

		if (stored->spec->is_default && stored != holder) {
			stored->spec->is_default = false;
			stored->changed = true;
		}
	}
}

/* Whether all sandboxes that were read are in the registry. */
static bool daemon_restart_register_some(struct restart *restart, uint64_t until_us)
{
	struct store_contents *contents = &restart->contents;
	struct daemon *daemon = restart->daemon;

	while (restart->registered < contents->count) {
		struct stored *stored = &contents->items[restart->registered++];
		struct err why;

		if (daemon_recall_sandbox(daemon, stored, &why) < 0) {
			log_error("stored sandbox not taken over", F_STR("sandbox", stored->id),
				  F_STR("error", why.text));
			daemon_reserve_slot(daemon, stored->slot, why.text);
		}
		if (clock_now_us() >= until_us)
			return false;
	}
	store_contents_clear(contents);
	return true;
}

static void daemon_restart_end_step(struct daemon *daemon)
{
	struct restart *restart = daemon->restart;

	/* A stop may have come first, and it stands. */
	if (--restart->adoptions_left || daemon->state != DAEMON_ADOPTING)
		return;
	daemon_loopback_open(daemon, true);
	daemon_become(daemon, DAEMON_RUNNING);
	daemon_marks_tell(daemon);
	log_info("running", F_UINT("sandboxes", registry_count(daemon->registry)),
		 F_UINT("adopted_in_ms", clock_now_ms() - restart->started_ms));
	control_adopted(daemon->control);
}

static void daemon_restart_open(struct daemon *daemon, struct sandbox *sandbox)
{
	if (daemon_tenant_of(sandbox)->opened)
		return;
	daemon_endpoints_open_some(daemon, sandbox, false);
	daemon_tenant_of(sandbox)->opened = true;
	daemon_handed_over_follow(daemon_tenant_of(sandbox));
}

/* Whether all endpoints were tried. */
static bool daemon_restart_open_some(struct restart *restart, uint64_t until_us)
{
	struct daemon *daemon = restart->daemon;
	struct sandbox *sandbox;

	while ((sandbox = registry_next(daemon->registry, restart->opening))) {
		restart->opening = sandbox->slot;
		if (sandbox->tenant && !daemon_tenant_of(sandbox)->kept && sandbox->state != SANDBOX_DRAINING)
			daemon_restart_open(daemon, sandbox);
		if (clock_now_us() >= until_us)
			return false;
	}
	daemon_listeners_close_unwanted(daemon);
	return true;
}

static void daemon_restart_adopt_one(struct daemon *daemon, struct sandbox *sandbox, const struct fabric_found *found)
{
	daemon->restart->adoptions_left++;
	daemon_takeover_begin(daemon_tenant_of(sandbox), found && found->carrier, daemon_restart_end_step);
}

/* The slot has no file, but a VM: it is shown under the name in its alias, and left alone. */
static void daemon_restart_keep_vm(struct daemon *daemon, const struct fabric_found *found)
{
	char id[SANDBOX_ID_MAX + 1];
	struct problem problem;
	struct err err;
	struct spec *spec = registry_spec_new(daemon->config);
	struct sandbox *sandbox = NULL;

	if (registry_sandbox_id_is_valid(found->alias) && !registry_lookup(daemon->registry, found->alias))
		memcpy(id, found->alias, sizeof(id));
	else
		snprintf(id, sizeof(id), "slot-%u", found->slot);
	daemon_reserve_release(daemon, found->slot);
	daemon_recall_free_id(daemon, id);
	/* It may have asked for a token, which is lost with the file: nobody comes in through the door. */
	if (spec)
		spec->door = (struct door_policy){ .is_public = false };
	if (spec)
		sandbox = registry_adopt(daemon->registry, id, found->slot, found->layout, spec, NULL, 0, &problem);
	if (!sandbox) {
		log_error("VM on a slot without a readable state file, and no room to show it",
			  F_UINT("slot", found->slot));
		registry_block_slot(daemon->registry, found->slot, "a VM lives on it");
		registry_spec_free(spec);
		return;
	}
	if (daemon_tenant_new(daemon, sandbox, &err) < 0) {
		registry_remove(daemon->registry, sandbox);
		registry_block_slot(daemon->registry, found->slot, "a VM lives on it");
		return;
	}
	daemon_tenant_of(sandbox)->kept = true;
	registry_sandbox_fail(
	    daemon->registry, sandbox, FAILURE_FILE, "restart",
	    "a VM lives on this slot, but no state file that can be read wants it; DELETE removes it");
	daemon_restart_adopt_one(daemon, sandbox, found);
}

static void daemon_restart_on_removed(void *context, const struct err *err)
{
	struct daemon *daemon = context;

	if (err)
		log_error("leftover not removed; its slot is skipped", F_STR("error", err->text),
			  F_STR("fix", "weftd --cleanup, once weftd is stopped"));
	daemon_restart_end_step(daemon);
}

static void daemon_restart_remove_unwanted(struct daemon *daemon, const struct fabric_found *found)
{
	unsigned slot = found->slot;

	log_warning("slot that nobody wants is removed", F_UINT("slot", slot));
	registry_block_slot(daemon->registry, slot, "a leftover is being removed");
	daemon->restart->adoptions_left++;
	fabric_destroy(daemon->fabric, slot, found->layout, daemon_restart_on_removed, daemon);
}

/* A file of a weftd that stored no layout: the kernel shows what the slot was made with. */
static void daemon_restart_learn_layout(struct sandbox *sandbox, const struct fabric_found *found)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);

	if (!tenant->layout_assumed)
		return;
	sandbox->layout = found->layout;
	fwd_route_set_guest(tenant->route, found->layout->guest.ip);
}

static void daemon_restart_take_over_found(struct daemon *daemon, const struct fabric_found *found)
{
	struct sandbox *sandbox = registry_at(daemon->registry, found->slot);

	if (sandbox)
		daemon_restart_learn_layout(sandbox, found);
	if (sandbox && sandbox->state == SANDBOX_DRAINING)
		daemon_unregister_begin(daemon, sandbox, 0, NULL);
	else if (sandbox && !daemon_tenant_of(sandbox)->busy && !daemon_tenant_of(sandbox)->takeover.begun)
		daemon_restart_adopt_one(daemon, sandbox, found);
	else if (!sandbox && found->carrier)
		daemon_restart_keep_vm(daemon, found);
	else if (!sandbox)
		daemon_restart_remove_unwanted(daemon, found);
}

static void daemon_restart_take_over_missing(struct daemon *daemon, struct sandbox *sandbox)
{
	if (sandbox->state == SANDBOX_DRAINING)
		daemon_unregister_begin(daemon, sandbox, 0, NULL);
	else
		daemon_restart_adopt_one(daemon, sandbox, NULL);
}

/* The slots for which connections wait go first. */
static void daemon_restart_hurry_some(struct restart *restart, uint64_t until_us)
{
	struct daemon *daemon = restart->daemon;

	while (restart->hurried < restart->found_count && clock_now_us() < until_us) {
		const struct fabric_found *found = &restart->found[restart->hurried++];
		struct sandbox *sandbox = registry_at(daemon->registry, found->slot);

		if (!sandbox || !daemon_tenant_of(sandbox)->awaited || sandbox->state == SANDBOX_DRAINING)
			continue;
		daemon_restart_take_over_found(daemon, found);
		daemon_restart_open(daemon, sandbox);
	}
}

/* Whether all slots, found and missing, are on their way. */
static bool daemon_restart_take_over_some(struct restart *restart, uint64_t until_us)
{
	struct daemon *daemon = restart->daemon;
	struct sandbox *sandbox;

	daemon_restart_hurry_some(restart, until_us);
	if (restart->hurried < restart->found_count)
		return false;
	while (restart->taken < restart->found_count) {
		daemon_restart_take_over_found(daemon, &restart->found[restart->taken++]);
		if (clock_now_us() >= until_us)
			return false;
	}
	while (restart->known && (sandbox = registry_next(daemon->registry, restart->taking))) {
		restart->taking = sandbox->slot;
		if (!restart->seen[sandbox->slot])
			daemon_restart_take_over_missing(daemon, sandbox);
		if (clock_now_us() >= until_us)
			return false;
	}
	if (restart->known)
		fabric_open(daemon->fabric);
	return true;
}

static void daemon_restart_keep_found(struct restart *restart, const struct fabric_found *found, size_t count)
{
	restart->found = found;
	restart->found_count = count;
	restart->known = true;
	for (size_t i = 0; i < count; i++)
		if (found[i].slot <= CONFIG_SLOT_MAX)
			restart->seen[found[i].slot] = true;
}

static void daemon_restart_on_scanned(void *context, const struct fabric_found *found, size_t count,
				      const struct err *err)
{
	struct restart *restart = context;

	/* It fails only where we stop; the next start takes them over. */
	if (!err)
		daemon_restart_keep_found(restart, found, count);
	restart->scanned = true;
	timer_start(&restart->step, 0);
}

static void daemon_restart_give_up(struct restart *restart, const struct err *err)
{
	timer_stop(&restart->step);
	daemon_rooms_give_up(restart->daemon, err);
}

static void daemon_restart_start_rooms(struct restart *restart)
{
	struct daemon *daemon = restart->daemon;
	struct err err;

	if (daemon_rooms_start(daemon, &err) < 0 || store_load_begin(daemon->store, &restart->contents, &err) < 0) {
		daemon_restart_give_up(restart, &err);
		return;
	}
	fabric_scan(daemon->fabric, daemon_restart_on_scanned, restart);
	restart->phase = PHASE_READING;
}

static void daemon_restart_read_some(struct restart *restart, uint64_t until_us)
{
	struct err err;
	int more = store_load_some(restart->daemon->store, &restart->contents, until_us, &err);

	if (more < 0) {
		daemon_restart_give_up(restart, &err);
	} else if (!more) {
		daemon_restart_take_damage(restart->daemon, &restart->contents);
		daemon_restart_settle_default(restart);
		restart->phase = PHASE_REGISTERING;
	}
}

/* The default endpoint opens, at each of its addresses, only when its sandbox is known; services, when all who may ask are. */
static void daemon_restart_let_in(struct restart *restart)
{
	struct daemon *daemon = restart->daemon;
	struct err err;
	int again;

	daemon_default_follow(daemon);
	again = daemon_default_open(daemon, &err);
	if (again < 0) {
		daemon_restart_give_up(restart, &err);
		return;
	}
	if (again) {
		timer_start(&restart->step, DEFAULT_PAUSE_MS);
		return;
	}
	if (daemon_services_open(daemon, &err) < 0) {
		daemon_restart_give_up(restart, &err);
		return;
	}
	if (daemon_door_open(daemon, &err) < 0) {
		daemon_restart_give_up(restart, &err);
		return;
	}
	daemon_handed_over_follow_default(daemon);
	restart->phase = PHASE_TAKING_OVER;
	daemon_become(daemon, DAEMON_ADOPTING);
	control_loaded(daemon->control);
	/* Nothing that follows can fail the start, and adoption takes as long as the kernel is busy. */
	daemon_notify_ready();
}

/* The builder waits for the found slots: they go first. */
static void daemon_restart_take_over(struct restart *restart, uint64_t until_us)
{
	if (restart->scanned && !restart->all_taken)
		restart->all_taken = daemon_restart_take_over_some(restart, until_us);
	else if (!restart->all_open)
		restart->all_open = daemon_restart_open_some(restart, until_us);
	if (!restart->all_taken || !restart->all_open)
		return;
	timer_stop(&restart->step);
	daemon_restart_end_step(restart->daemon);
}

static void daemon_restart_on_step(void *context)
{
	struct restart *restart = context;
	uint64_t until_us = clock_now_us() + STEP_US;

	if (restart->daemon->state == DAEMON_STOPPING)
		return;
	if (restart->phase < PHASE_TAKING_OVER || !restart->all_open || restart->scanned)
		timer_start(&restart->step, 0);
	switch (restart->phase) {
	case PHASE_ROOMS:
		daemon_restart_start_rooms(restart);
		break;
	case PHASE_READING:
		daemon_restart_read_some(restart, until_us);
		break;
	case PHASE_REGISTERING:
		if (daemon_restart_register_some(restart, until_us)) {
			restart->phase = PHASE_LETTING_IN;
			daemon_loopback_open(restart->daemon, false);
			daemon_handed_over_take(restart->daemon);
		}
		break;
	case PHASE_LETTING_IN:
		daemon_restart_let_in(restart);
		break;
	case PHASE_TAKING_OVER:
		daemon_restart_take_over(restart, until_us);
		break;
	}
}

int daemon_restart_begin(struct daemon *daemon, struct err *err)
{
	struct restart *restart = calloc(1, sizeof(*restart));

	if (!restart)
		return err_set(err, ENOMEM, "start");
	daemon->restart = restart;
	restart->daemon = daemon;
	restart->started_ms = clock_now_ms();
	/* One for this file itself, so that the last adoption cannot end the start before all have begun. */
	restart->adoptions_left = 1;
	if (timer_init(&restart->step, daemon->base, daemon_restart_on_step, restart, err) < 0)
		return -1;
	timer_start(&restart->step, 0);
	return 0;
}

void daemon_restart_free(struct daemon *daemon)
{
	struct restart *restart = daemon->restart;

	if (!restart)
		return;
	timer_free(&restart->step);
	store_contents_clear(&restart->contents);
	free(restart);
	daemon->restart = NULL;
}
