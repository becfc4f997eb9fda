/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A slot that cannot be taken over says nothing about its sandbox, unless the fabric proves a failure on the way: then that is
 * reported. It ends when a later attempt succeeds, or the fabric's repair of a slot that it took over as it was. After any other
 * error the sandbox has the state that it had, or the one that its carrier says. Its traffic on the kernel path flows, and clients of its
 * endpoints are held, as before a VM comes. The attempts are counted down by one timer.
 */
#include "daemon/takeover.h"

#include "base/backoff.h"
#include "base/err.h"
#include "base/loop.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "daemon/handed_over.h"
#include "daemon/loopback.h"
#include "daemon/tenant.h"

#include <errno.h>
#include <stdlib.h>

enum { TAKEOVER_TICK_MS = 1000, TAKEOVER_PAUSE_MIN = 1, TAKEOVER_PAUSE_MAX = 30 }; /* the pauses in ticks */

struct takeover {
	struct daemon *daemon;
	struct timer timer;
};

static void daemon_takeover_report(const struct tenant *tenant, const struct err *err)
{
	const struct fabric_repair repair = {
		.slot = tenant->sandbox->slot, .what = "slot", .ok = !err, .error = err ? err->text : NULL
	};

	daemon_follow_repair(tenant->daemon, &repair);
}

/* The state that follows from the carrier as it is now. */
static void daemon_takeover_settle(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;

	if (sandbox->state != SANDBOX_FAILED)
		registry_sandbox_set_state(tenant->daemon->registry, sandbox, registry_sandbox_settled_state(sandbox),
					   "restart", NULL);
}

/*
 * CARRIER and DOWNS are as they were stored. What changed while no daemon ran is told in its order: a carrier that is as it was, but
 * was lost meanwhile, is the VM that left and another one that came, or the other way round.
 */
static void daemon_takeover_follow_carrier(struct tenant *tenant, bool carrier, int64_t downs)
{
	struct sandbox *sandbox = tenant->sandbox;
	bool blinked =
	    sandbox->carrier == carrier && downs >= 0 && sandbox->carrier_downs >= 0 && sandbox->carrier_downs != downs;

	if (blinked || sandbox->carrier != carrier) {
		sandbox->guest_answers = false;
		daemon_loopback_forget(tenant);
		/* Those of the guest that left wait for nobody. */
		if (!sandbox->paused && (blinked || !sandbox->carrier))
			daemon_loopback_end_clients(tenant);
	}
	if (blinked) {
		sandbox->carrier = !carrier;
		sandbox->was_attached = true;
		daemon_takeover_settle(tenant);
		sandbox->carrier = carrier;
	}
	daemon_takeover_settle(tenant);
}

static void daemon_takeover_failed(struct tenant *tenant, const struct err *err)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct tenant_takeover *takeover = &tenant->takeover;

	/* The pool must not take its number meanwhile. */
	fabric_shun(daemon->fabric, sandbox->slot, true);
	takeover->untaken = true;
	takeover->pause = base_backoff_next(takeover->pause, TAKEOVER_PAUSE_MIN, TAKEOVER_PAUSE_MAX);
	takeover->left = takeover->pause;
	if (!timer_is_armed(&daemon->takeover->timer))
		timer_start(&daemon->takeover->timer, TAKEOVER_TICK_MS);
	if (!takeover->known) {
		bool stored = sandbox->carrier;

		/* How often it was lost is not known, and is asked when the slot is taken over. */
		takeover->known = true;
		sandbox->carrier = takeover->carrier;
		sandbox->was_attached |= takeover->carrier;
		if (stored != sandbox->carrier)
			sandbox->carrier_downs = -1;
		daemon_takeover_follow_carrier(tenant, stored, -1);
	}
	if (sandbox->state == SANDBOX_FAILED || takeover->reported)
		return;
	takeover->reported = true;
	daemon_takeover_report(tenant, err);
}

static void daemon_takeover_succeeded(struct tenant *tenant, const struct fabric_slot *slot)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct tenant_takeover *takeover = &tenant->takeover;
	bool carrier = sandbox->carrier;
	int64_t downs = sandbox->carrier_downs;

	if (takeover->untaken)
		fabric_shun(daemon->fabric, sandbox->slot, false);
	takeover->untaken = false;
	takeover->known = true;
	daemon_tenant_attach_namespace(tenant, slot);
	daemon_takeover_follow_carrier(tenant, carrier, downs);
	/* A failed slot is taken over as it is, and its recovery reported. */
	if (sandbox->state == SANDBOX_FAILED && !slot->failure)
		daemon_tenant_recover(tenant);
	daemon_tenant_follow_readiness(tenant);
	daemon_loopback_follow(tenant);
	daemon_asleep_follow(tenant);
	daemon_handed_over_follow(tenant);
	if (!takeover->reported)
		return;
	takeover->reported = false;
	daemon_takeover_report(tenant, NULL);
}

static void daemon_takeover_on_done(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	void (*done)(struct daemon * daemon) = tenant->takeover.done;

	tenant->busy = false;
	tenant->takeover.done = NULL;
	if (!err)
		daemon_takeover_succeeded(tenant, slot);
	else if (err->code != ECANCELED) /* else we stop, and the next start takes it over */
		daemon_takeover_failed(tenant, err);
	control_park_run_sandbox(&daemon->parked, tenant->sandbox->id);
	if (done)
		done(daemon);
}

static void daemon_takeover_attempt(struct tenant *tenant)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct tenant_plan *made;
	struct err err;

	tenant->busy = true;
	if (tenant->kept) {
		fabric_keep(daemon->fabric, sandbox->slot, sandbox->layout, daemon_takeover_on_done, tenant);
		return;
	}
	made = daemon_tenant_plan_new(sandbox);
	if (!made) {
		err_set(&err, ENOMEM, "sandbox %s", sandbox->id);
		daemon_takeover_on_done(tenant, NULL, &err);
		return;
	}
	fabric_adopt(daemon->fabric, &made->plan, daemon_takeover_on_done, tenant);
	free(made);
}

/* Whether TENANT is still waiting for its next attempt. */
static bool daemon_takeover_count_down(struct tenant *tenant)
{
	if (!tenant->takeover.untaken || tenant->busy)
		return false;
	if (--tenant->takeover.left)
		return true;
	daemon_takeover_attempt(tenant);
	return false;
}

static void daemon_takeover_on_tick(void *context)
{
	struct takeover *takeover = context;
	struct registry *registry = takeover->daemon->registry;
	struct sandbox *sandbox;
	bool waiting = false;

	if (takeover->daemon->state == DAEMON_STOPPING)
		return;
	for (unsigned slot = 0; (sandbox = registry_next(registry, slot));) {
		slot = sandbox->slot;
		if (daemon_tenant_of(sandbox))
			waiting |= daemon_takeover_count_down(daemon_tenant_of(sandbox));
	}
	if (waiting && !timer_is_armed(&takeover->timer))
		timer_start(&takeover->timer, TAKEOVER_TICK_MS);
}

void daemon_takeover_begin(struct tenant *tenant, bool carrier, void (*done)(struct daemon *daemon))
{
	tenant->takeover.begun = true;
	tenant->takeover.carrier = carrier;
	tenant->takeover.done = done;
	daemon_takeover_attempt(tenant);
}

int daemon_takeover_start(struct daemon *daemon, struct err *err)
{
	daemon->takeover = calloc(1, sizeof(*daemon->takeover));
	if (!daemon->takeover)
		return err_set(err, ENOMEM, "start");
	daemon->takeover->daemon = daemon;
	return timer_init(&daemon->takeover->timer, daemon->base, daemon_takeover_on_tick, daemon->takeover, err);
}

void daemon_takeover_stop(struct daemon *daemon)
{
	if (!daemon->takeover)
		return;
	timer_free(&daemon->takeover->timer);
	free(daemon->takeover);
	daemon->takeover = NULL;
}
