/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each id and each name means one sandbox, also where the files say otherwise, because others altered them or the last ones before a
 * loss of power were not written: then an id counts more than a name, the name of a lower slot more than that of a higher one, and
 * who loses the name keeps all else.
 */
#include "daemon/recall.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "store/store.h"

#include <string.h>

static void daemon_recall_log_unnamed(const char *id, unsigned slot, const char *name, const char *owner)
{
	log_warning("sandbox lost its name, which means another one too", F_STR("sandbox", id), F_UINT("slot", slot),
		    F_STR("name", name), F_STR("owner", owner),
		    F_STR("fix", "give one of them another name, by PATCH or weftctl set --name"));
}

void daemon_recall_free_id(struct daemon *daemon, const char *id)
{
	struct sandbox *holder = registry_lookup(daemon->registry, id);

	if (!holder || strcmp(holder->id, id) == 0)
		return;
	daemon_recall_log_unnamed(holder->id, holder->slot, id, id);
	registry_drop_name(daemon->registry, holder);
	fwd_route_set_name(daemon_tenant_of(holder)->route, NULL);
	daemon_publish(daemon_tenant_of(holder), CATALOG_KEEP);
	daemon_tenant_of(holder)->unsaved = true;
}

/* Takes from STORED a name that means another sandbox already. Whether it did. */
static bool daemon_recall_unname(struct daemon *daemon, struct stored *stored)
{
	char *name = stored->spec->name;
	const struct sandbox *owner = *name ? registry_lookup(daemon->registry, name) : NULL;

	if (!owner)
		return false;
	daemon_recall_log_unnamed(stored->id, stored->slot, name, owner->id);
	*name = '\0';
	return true;
}

/*
 * The sandbox is shown in the state that it was in, until its slot is looked at. A guest that was ready is believed to be so, as long
 * as its carrier proves to be the same.
 */
static void daemon_recall_restore_status(struct daemon *daemon, struct sandbox *sandbox,
					 const struct stored_status *status)
{
	if (!status->known || status->state == SANDBOX_CREATING)
		return;
	sandbox->carrier = status->carrier;
	sandbox->was_attached = status->was_attached;
	sandbox->carrier_downs = status->carrier_downs;
	sandbox->guest_answers = status->state == SANDBOX_READY && sandbox->spec->ready_port;
	registry_sandbox_restore_state(daemon->registry, sandbox, status->state, status->since_ms, status->reason);
}

/* The wall clock, which dates the pause, may have been set since. */
static void daemon_recall_pause(const struct sandbox *sandbox)
{
	int64_t paused_for_ms = clock_wall_ms() - sandbox->since_ms;
	uint64_t now_ms = clock_now_ms();

	if (paused_for_ms < 0)
		paused_for_ms = 0;
	fwd_route_pause_since(daemon_tenant_of(sandbox)->route,
			      now_ms > (uint64_t)paused_for_ms ? now_ms - (uint64_t)paused_for_ms : 1);
}

int daemon_recall_sandbox(struct daemon *daemon, struct stored *stored, struct err *err)
{
	struct problem problem;

	stored->changed |= daemon_recall_unname(daemon, stored);
	daemon_recall_free_id(daemon, stored->id);
	struct sandbox *sandbox = registry_adopt(daemon->registry, stored->id, stored->slot, stored->layout,
						 stored->spec, stored->endpoints, stored->endpoint_count, &problem);
	if (!sandbox)
		return err_set(err, 0, "sandbox %s, slot %u: %s", stored->id, stored->slot, problem.detail);
	stored->spec = NULL;
	if (stored->execution[0])
		memcpy(sandbox->execution, stored->execution, sizeof(sandbox->execution));
	stored->changed |= !stored->execution[0];
	sandbox->paused = stored->paused;
	sandbox->registered_ms = stored->registered_ms;
	sandbox->last_activity_ms = stored->last_activity_ms;
	sandbox->wake_asked_ms = stored->wake_asked_ms;
	memcpy(sandbox->wake_by, stored->wake_by, sizeof(sandbox->wake_by));
	memcpy(sandbox->wake_via, stored->wake_via, sizeof(sandbox->wake_via));
	sandbox->strict = stored->strict;
	sandbox->mtu = stored->mtu;
	sandbox->others = steal_ptr(&stored->others);
	sandbox->netns_device = stored->netns_device;
	sandbox->netns_inode = stored->netns_inode;
	sandbox->counters = stored->base;
	registry_set_default_turn(daemon->registry, sandbox, stored->default_turn);
	if (daemon_tenant_new(daemon, sandbox, err) < 0) {
		registry_remove(daemon->registry, sandbox);
		return -1;
	}
	daemon_tenant_of(sandbox)->base = stored->base;
	daemon_tenant_of(sandbox)->stored = true;
	daemon_recall_restore_status(daemon, sandbox, &stored->status);
	if (sandbox->paused)
		daemon_recall_pause(sandbox);
	daemon_tenant_of(sandbox)->layout_assumed = daemon_tenant_of(sandbox)->unsaved = !stored->layout;
	if (stored->draining)
		registry_sandbox_set_state(daemon->registry, sandbox, SANDBOX_DRAINING, "restart", NULL);
	else
		daemon_publish(daemon_tenant_of(sandbox), CATALOG_KEEP);
	if (!stored->draining && stored->tap_lost)
		registry_sandbox_fail(daemon->registry, sandbox, FAILURE_TAP, "restart", FAILURE_TAP_REASON);
	daemon_asleep_follow(daemon_tenant_of(sandbox));
	/* Without a layout of its own the file is written when the kernel has shown which it is. */
	if (stored->changed && stored->layout && store_save(daemon->store, sandbox, err) < 0)
		log_error("state not written", F_SANDBOX(sandbox), F_STR("error", err->text));
	return 0;
}
