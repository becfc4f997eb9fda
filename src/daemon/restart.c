/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over what a former run left. The files say what is wanted, the kernel's marks say what exists:
 *
 *	wanted and there      adopted: what matches stays untouched, what differs is repaired
 *	wanted, nothing there made anew, and reported as a repair
 *	draining              taken apart: the former run was about to
 *	there, not wanted     taken apart, unless a VM lives on it: then kept, untouched, and shown as failed
 *	a damaged file        kept as it is; its slot is not handed out
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/inherited.h"
#include "daemon/notify.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPENING_US = 5000 }; /* of a turn of the loop */

static int load_one(struct daemon *daemon, struct stored *stored, struct err *err)
{
	struct problem problem;
	struct sandbox *sandbox = registry_adopt(daemon->registry, stored->id, stored->slot, stored->spec,
						 stored->endpoints, stored->endpoint_count, &problem);

	if (!sandbox)
		return err_set(err, 0, "sandbox %s, slot %u: %s", stored->id, stored->slot, problem.detail);
	stored->spec = NULL;
	sandbox->paused = stored->paused;
	sandbox->registered_ms = stored->registered_ms;
	sandbox->last_activity_ms = stored->last_activity_ms;
	sandbox->mtu = stored->mtu;
	sandbox->counters = stored->base;
	if (tenant_new(daemon, sandbox, err) < 0) {
		registry_remove(daemon->registry, sandbox);
		return -1;
	}
	tenant_of(sandbox)->base = stored->base;
	tenant_of(sandbox)->stored = true;
	if (stored->draining)
		sandbox_set_state(daemon->registry, sandbox, SANDBOX_DRAINING, "restart", NULL);
	return 0;
}

/* A port that somebody took meanwhile costs neither the sandbox its life nor the other ports: it is tried again. */
static void open_endpoints(struct daemon *daemon, struct sandbox *sandbox)
{
	struct problem problem;

	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		if (endpoints_open(daemon, tenant_of(sandbox), &sandbox->endpoints[i], 1, "/ports", NULL, &problem) < 0)
			log_error("endpoint closed until its port is free", F_STR("sandbox", sandbox->id),
				  F_STR("fix", "stop the holder; weftd tries again every 10 s"),
				  F_STR("error", problem.detail));
	}
}

void restart_reserve_slot(struct daemon *daemon, unsigned slot, const char *why)
{
	daemon->reserved[slot] = true;
	registry_block_slot(daemon->registry, slot, why);
	fabric_shun(daemon->fabric, slot, true);
}

void restart_release_slot(struct daemon *daemon, unsigned slot)
{
	daemon->reserved[slot] = false;
	registry_unblock_slot(daemon->registry, slot);
	fabric_shun(daemon->fabric, slot, false);
}

int restart_load(struct daemon *daemon, struct err *err)
{
	struct store_contents contents;

	if (store_load(daemon->store, &contents, err) < 0)
		return -1;
	for (size_t i = 0; i < contents.damage_count; i++) {
		const struct store_damage *damage = &contents.damage[i];

		log_error("state file not readable; it is left as it is", F_STR("file", damage->text),
			  F_STR("fix", "mend or remove it; its slot is not used before"));
		if (damage->slot)
			restart_reserve_slot(daemon, damage->slot, damage->text);
	}
	for (size_t i = 0; i < contents.count; i++) {
		struct err why;

		if (load_one(daemon, &contents.items[i], &why) < 0) {
			log_error("stored sandbox not taken over", F_STR("sandbox", contents.items[i].id),
				  F_STR("error", why.text));
			restart_reserve_slot(daemon, contents.items[i].slot, why.text);
		}
	}
	store_contents_clear(&contents);
	default_endpoint_follow(daemon);
	return 0;
}

static void one_done(struct daemon *daemon)
{
	/* A stop may have come first, and it stands. */
	if (--daemon->adoptions_left || daemon->state != DAEMON_ADOPTING)
		return;
	daemon->state = DAEMON_RUNNING;
	log_info("running", F_UINT("sandboxes", registry_count(daemon->registry)),
		 F_UINT("adopted_in_ms", clock_now_ms() - daemon->adopt_started_ms));
	control_adopted(daemon->control);
	notify_ready();
}

void restart_open_some(void *context)
{
	struct daemon *daemon = context;
	uint64_t until_us = clock_now_us() + OPENING_US;
	struct sandbox *sandbox;

	while ((sandbox = registry_next(daemon->registry, daemon->opening_cursor))) {
		daemon->opening_cursor = sandbox->slot;
		if (sandbox->tenant && !tenant_of(sandbox)->kept && sandbox->state != SANDBOX_DRAINING)
			open_endpoints(daemon, sandbox);
		if (clock_now_us() >= until_us) {
			timer_start(&daemon->opening, 0);
			return;
		}
	}
	inherited_free(steal_ptr(&daemon->inherited));
	one_done(daemon);
}

static void on_adopted(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;

	tenant->busy = false;
	if (err && err->code == ECANCELED) {
		/* We stop: the next start takes it over. */
	} else if (err) {
		log_error("sandbox not taken over", F_STR("sandbox", sandbox->id), F_STR("error", err->text),
			  F_STR("fix", "weftctl unregister, and register again"));
		sandbox_set_state(daemon->registry, sandbox, SANDBOX_FAILED, "restart", err->text);
	} else {
		tenant_attach_namespace(tenant, slot);
		if (!tenant->kept)
			sandbox_set_state(daemon->registry, sandbox, sandbox_settled_state(sandbox), "restart", NULL);
		tenant_follow_readiness(tenant);
	}
	unpark(daemon, sandbox->id);
	one_done(daemon);
}

static void on_remade(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct tenant *tenant = context;

	if (!err)
		daemon_watcher.repaired(tenant->daemon, tenant->sandbox->slot, "slot was gone; made anew");
	on_adopted(context, slot, err);
}

static void adopt_one(struct daemon *daemon, struct sandbox *sandbox, const struct fabric_found *found)
{
	struct tenant *tenant = tenant_of(sandbox);
	struct fabric_nat *nat = calloc(tenant_nat_max(sandbox->endpoints, sandbox->endpoint_count), sizeof(*nat));
	struct err err;

	daemon->adoptions_left++;
	tenant->busy = true;
	if (!nat) {
		err_set(&err, ENOMEM, "sandbox %s", sandbox->id);
		on_adopted(tenant, NULL, &err);
		return;
	}
	struct fabric_plan plan = tenant_plan(sandbox, nat);
	if (found)
		fabric_adopt(daemon->fabric, &plan, on_adopted, tenant);
	else
		fabric_make(daemon->fabric, &plan, on_remade, tenant);
	free(nat);
}

/* The slot has no file, but a VM: it is shown under the name that its alias tells, and left alone. */
static void keep(struct daemon *daemon, const struct fabric_found *found)
{
	char id[SANDBOX_ID_MAX + 1];
	struct problem problem;
	struct err err;
	struct spec *spec = spec_new(daemon->config);
	struct sandbox *sandbox = NULL;

	if (sandbox_id_is_valid(found->alias) && !registry_find(daemon->registry, found->alias))
		memcpy(id, found->alias, sizeof(id));
	else
		snprintf(id, sizeof(id), "slot-%u", found->slot);
	restart_release_slot(daemon, found->slot);
	if (spec)
		sandbox = registry_adopt(daemon->registry, id, found->slot, spec, NULL, 0, &problem);
	if (!sandbox) {
		log_error("VM on a slot without a readable state file, and no room to show it",
			  F_UINT("slot", found->slot));
		registry_block_slot(daemon->registry, found->slot, "a VM lives on it");
		spec_free(spec);
		return;
	}
	if (tenant_new(daemon, sandbox, &err) < 0) {
		registry_remove(daemon->registry, sandbox);
		registry_block_slot(daemon->registry, found->slot, "a VM lives on it");
		return;
	}
	tenant_of(sandbox)->kept = true;
	tenant_of(sandbox)->busy = true;
	sandbox_set_state(daemon->registry, sandbox, SANDBOX_FAILED, "restart",
			  "a VM lives on this slot, but no state file that can be read wants it; DELETE removes it");
	daemon->adoptions_left++;
	fabric_keep(daemon->fabric, found->slot, on_adopted, tenant_of(sandbox));
}

static void on_removed(void *context, const struct err *err)
{
	struct daemon *daemon = context;

	if (err)
		log_error("leftover not removed; its slot is skipped", F_STR("error", err->text),
			  F_STR("fix", "weftd --cleanup, once weftd is stopped"));
	one_done(daemon);
}

static void remove_unwanted(struct daemon *daemon, unsigned slot)
{
	log_warning("slot that nobody wants is removed", F_UINT("slot", slot));
	registry_block_slot(daemon->registry, slot, "a leftover is being removed");
	daemon->adoptions_left++;
	fabric_destroy(daemon->fabric, slot, on_removed, daemon);
}

static void take_over_found(struct daemon *daemon, const struct fabric_found *found)
{
	struct sandbox *sandbox = registry_at(daemon->registry, found->slot);

	if (sandbox && sandbox->state == SANDBOX_DRAINING)
		sandbox_leave(daemon, sandbox, 0, NULL);
	else if (sandbox && !tenant_of(sandbox)->busy)
		adopt_one(daemon, sandbox, found);
	else if (!sandbox && found->carrier)
		keep(daemon, found);
	else if (!sandbox)
		remove_unwanted(daemon, found->slot);
}

static void take_over_missing(struct daemon *daemon, const bool *seen)
{
	struct sandbox *next;

	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox; sandbox = next) {
		next = registry_next(daemon->registry, sandbox->slot);
		if (seen[sandbox->slot])
			continue;
		if (sandbox->state == SANDBOX_DRAINING)
			sandbox_leave(daemon, sandbox, 0, NULL);
		else
			adopt_one(daemon, sandbox, NULL);
	}
}

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	struct daemon *daemon = context;
	bool *seen = calloc(CONFIG_SLOT_MAX + 1, sizeof(*seen));

	if (err || !seen) {
		log_error("kernel state not read; stored sandboxes are not taken over",
			  F_STR("error", err ? err->text : "no memory"));
	} else {
		for (size_t i = 0; i < count; i++)
			if (found[i].slot <= CONFIG_SLOT_MAX)
				seen[found[i].slot] = true;
		for (size_t i = 0; i < count; i++)
			take_over_found(daemon, &found[i]);
		take_over_missing(daemon, seen);
	}
	free(seen);
	one_done(daemon);
}

void restart_adopt(struct daemon *daemon)
{
	daemon->adopt_started_ms = clock_now_ms();
	/* One for the endpoints, and one for the scan, so that the last adoption cannot end it before all have begun. */
	daemon->adoptions_left = 2;
	timer_start(&daemon->opening, 0);
	fabric_scan(daemon->fabric, on_scanned, daemon);
}
