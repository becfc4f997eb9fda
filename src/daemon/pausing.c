/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pause comes to the forwarder before the kernel, and a resume the other way round, so that nothing flows into a guest that stands
 * still. The record of a sandbox changes with its route.
 *
 * The fabric mends its rules by itself. It is asked again all the same, because it cannot find flows that were not forgotten, and because a
 * call for which there was no memory never reached it.
 */
#include "daemon/pausing.h"

#include "base/err.h"
#include "daemon/daemon.h"
#include "daemon/follow.h"
#include "daemon/loopback.h"
#include "daemon/tenant.h"

#include <errno.h>
#include <stdlib.h>

static void daemon_pausing_report(const struct tenant *tenant, const struct err *err)
{
	const struct fabric_repair repair = { .slot = tenant->sandbox->slot,
					      .what = tenant->pausing.pauses ? "pause" : "resume",
					      .ok = !err,
					      .changed = !err,
					      .error = err ? err->text : NULL };

	daemon_follow_repair(tenant->daemon, &repair);
}

static void daemon_pausing_note(struct tenant *tenant, const struct err *err)
{
	struct tenant_pausing *pausing = &tenant->pausing;

	pausing->owed = err && err->code != ECANCELED; /* else we stop, and the next start adopts it as its file says */
	if (pausing->owed == pausing->reported)
		return;
	daemon_pausing_report(tenant, err);
	pausing->reported = pausing->owed;
}

/* The kernel is done with the resume: the record and the route follow. */
static void daemon_pausing_go_on(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;

	sandbox->paused = false;
	sandbox->strict = !tenant->pausing.keeps;
	sandbox->guest_answers = false; /* readiness is probed anew */
	/* It may be a guest of before its server started, whose clients must be held. */
	if (!tenant->pausing.keeps)
		daemon_loopback_forget(tenant);
	registry_wake_forget(sandbox);
	fwd_route_resume(tenant->route, tenant->pausing.keeps);
	daemon_tenant_settle(tenant, "resumed");
	fabric_recheck(tenant->daemon->fabric, sandbox->slot);
}

static void daemon_pausing_on_kernel(void *context, const struct err *err)
{
	struct tenant *tenant = context;
	struct tenant_pausing *pausing = &tenant->pausing;
	fabric_done *done = pausing->done;
	bool stops = err && err->code == ECANCELED;

	daemon_pausing_note(tenant, err);
	if (pausing->resuming && !stops)
		daemon_pausing_go_on(tenant);
	pausing->resuming = false;
	pausing->done = NULL;
	if (done) {
		done(pausing->context, stops && !pausing->pauses ? err : NULL);
		return;
	}
	tenant->busy = false;
	control_park_run_sandbox(&tenant->daemon->parked, tenant->sandbox->id);
}

static void daemon_pausing_ask_kernel(struct tenant *tenant)
{
	const struct tenant_pausing *pausing = &tenant->pausing;
	struct tenant_plan *made = daemon_tenant_plan_new(tenant->sandbox);
	struct fabric *fabric = tenant->daemon->fabric;
	struct err err;

	if (!made) {
		err_set(&err, ENOMEM, "sandbox %s", tenant->sandbox->id);
		daemon_pausing_on_kernel(tenant, &err);
		return;
	}
	if (pausing->pauses)
		fabric_pause(fabric, &made->plan, daemon_pausing_on_kernel, tenant);
	else
		fabric_resume(fabric, &made->plan, pausing->keeps, daemon_pausing_on_kernel, tenant);
	free(made);
}

void daemon_pausing_try_again(struct daemon *daemon, struct sandbox *sandbox)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);

	(void)daemon;
	if (!tenant->pausing.owed || tenant->busy || tenant->unregistered)
		return;
	tenant->busy = true;
	daemon_pausing_ask_kernel(tenant);
}

static void daemon_pausing_begin(struct tenant *tenant, const struct tenant_pausing *change)
{
	struct tenant_pausing *pausing = &tenant->pausing;

	pausing->done = change->done;
	pausing->context = change->context;
	pausing->pauses = change->pauses;
	pausing->keeps = change->keeps;
	pausing->resuming = change->resuming;
}

void daemon_pausing_pause(struct tenant *tenant, fabric_done *done, void *context)
{
	struct sandbox *sandbox = tenant->sandbox;

	daemon_pausing_begin(
	    tenant, &(struct tenant_pausing){ .done = done, .context = context, .pauses = true, .keeps = true });
	daemon_loopback_cut(tenant);
	sandbox->paused = true;
	sandbox->strict = false;
	registry_wake_forget(sandbox);
	fwd_route_pause(tenant->route);
	daemon_tenant_settle(tenant, "paused");
	daemon_pausing_ask_kernel(tenant);
}

void daemon_pausing_resume(struct tenant *tenant, bool keep, fabric_done *done, void *context)
{
	daemon_pausing_begin(
	    tenant, &(struct tenant_pausing){ .done = done, .context = context, .keeps = keep, .resuming = true });
	daemon_pausing_ask_kernel(tenant);
}
