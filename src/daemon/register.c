/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registering: reserve slot and ports, open the endpoints (a client that is early is held), write the intent down, have the
 * fabric make the slot, answer. A step that fails undoes those before it, in reverse, and the answer names that step.
 *
 * Two failures are not the manager's and are tried around: an automatic port that another program holds, and a slot whose
 * names are in use by something that is not ours.
 */
#include "daemon/register.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/endpoints.h"
#include "daemon/metrics.h"
#include "daemon/tenant.h"
#include "store/store.h"
#include "wire/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 64 }; /* foreign ports met in one registration */

static void register_explain(const struct err *err, struct problem *problem)
{
	if (err->code == ECANCELED)
		problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "weftd is stopping");
	else
		daemon_explain(err, problem);
}

/* The sandbox that is there already answers the request, in one way or the other. */
static void register_answer_existing(struct daemon *daemon, struct sandbox *sandbox, struct ctl_request *request)
{
	struct problem problem;

	if (sandbox->state == SANDBOX_DRAINING || sandbox->state == SANDBOX_FAILED) {
		problem_set(&problem, PROBLEM_CONFLICT, "id", "sandbox %s is %s; unregister it first", sandbox->id,
			    sandbox_state_name(sandbox->state));
		ctl_request_refuse(request, &problem);
	} else if (!spec_equal(sandbox->spec, request->spec)) {
		problem_set(&problem, PROBLEM_CONFLICT, "id", "sandbox %s is registered otherwise; PATCH or DELETE it",
			    sandbox->id);
		ctl_request_refuse(request, &problem);
	} else if (tenant_of(sandbox)->busy) {
		ctl_park_add(&daemon->parked, request, daemon_register, daemon);
	} else {
		tenant_refresh(sandbox);
		ctl_request_answer(request, 200, wire_write_sandbox(sandbox, daemon->config));
	}
}

/* Removes the sandbox from file and registry once its route is gone; the fabric's part is gone already. ID gets its name. */
static void register_forget(struct tenant *tenant, char id[static SANDBOX_ID_MAX + 1])
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct err err;

	memcpy(id, sandbox->id, sizeof(sandbox->id));
	if (store_remove(daemon->store, sandbox->slot, &err) < 0)
		log_error("state file not removed", F_STR("sandbox", id), F_STR("error", err.text));
	tenant_free(tenant);
	registry_remove(daemon->registry, sandbox);
	daemon_default_follow(daemon);
}

static void register_on_undone(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct problem failure = tenant->failure;
	struct ctl_request *request = TAILQ_FIRST(&tenant->leaving); /* NULL: answered already */
	char id[SANDBOX_ID_MAX + 1];

	if (request)
		TAILQ_REMOVE(&tenant->leaving, request, next);
	register_forget(tenant, id);
	ctl_sandbox_gone(daemon->control, id);
	if (request)
		ctl_request_refuse(request, &failure);
	ctl_park_run_sandbox(&daemon->parked, id);
}

/* Takes back what was done, and only then answers, so that a manager who hears of the failure finds nothing left. */
static void register_undo(struct tenant *tenant, const struct err *err)
{
	struct sandbox *sandbox = tenant->sandbox;
	struct ctl_request *request = steal_ptr(&tenant->registering);

	log_error("sandbox not registered", F_STR("sandbox", sandbox->id), F_STR("error", err->text));
	register_explain(err, &tenant->failure);
	/* A stop: the answer does not wait for the route. */
	if (err->code == ECANCELED)
		ctl_request_refuse(request, &tenant->failure);
	else
		TAILQ_INSERT_TAIL(&tenant->leaving, request, next);
	daemon_endpoints_close(sandbox->endpoints, sandbox->endpoint_count, true);
	tenant->busy = true;
	fwd_route_close(tenant->route, CLOSE_UNREGISTERED, 0, register_on_undone, tenant);
}

static void register_on_undone_retry(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct ctl_request *request = steal_ptr(&tenant->registering);
	char id[SANDBOX_ID_MAX + 1];

	registry_block_slot(daemon->registry, tenant->sandbox->slot, "its names are in use by others");
	register_forget(tenant, id);
	daemon_register(daemon, request);
}

/* The slot turned out to be foreign: everything is undone, and the request goes through the front door again. */
static void register_retry_elsewhere(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;

	daemon_endpoints_close(sandbox->endpoints, sandbox->endpoint_count, true);
	fwd_route_close(tenant->route, CLOSE_UNREGISTERED, 0, register_on_undone_retry, tenant);
}

static void register_on_made(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	uint64_t duration_us = clock_now_us() - tenant->registering_since_us;
	char id[SANDBOX_ID_MAX + 1];

	if (err && err->code == EEXIST) {
		register_retry_elsewhere(tenant);
		return;
	}
	if (err) {
		register_undo(tenant, err);
		return;
	}
	tenant->busy = false;
	tenant_attach_namespace(tenant, slot);
	sandbox_set_state(daemon->registry, sandbox, sandbox_settled_state(sandbox), "registered", NULL);
	tenant_follow_readiness(tenant);
	metrics_count_registration(daemon, duration_us);
	log_info("sandbox registered", F_STR("sandbox", sandbox->id), F_UINT("slot", sandbox->slot),
		 F_UINT("duration_us", duration_us));
	json_t *shown = wire_write_sandbox(sandbox, daemon->config);
	ctl_event(daemon->control, "registered", sandbox->id, json_pack("{s:i}", "slot", (int)sandbox->slot));
	memcpy(id, sandbox->id, sizeof(id));
	ctl_request_answer(steal_ptr(&tenant->registering), 201, shown);
	ctl_park_run_sandbox(&daemon->parked, id);
}

/*
 * Slot, ports and listeners. An automatic port that another program holds is avoided and another one taken. NULL with PROBLEM.
 */
static struct sandbox *register_reserve(struct daemon *daemon, const struct ctl_request *request,
					struct problem *problem)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct spec *copy = spec_copy(request->spec);
		uint16_t taken = 0;
		struct err err;

		if (!copy) {
			problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
			return NULL;
		}
		struct sandbox *sandbox = registry_add(daemon->registry, request->target.id, copy, problem);
		if (!sandbox) {
			spec_free(copy);
			return NULL;
		}
		if (tenant_new(daemon, sandbox, &err) < 0) {
			problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.text);
			registry_remove(daemon->registry, sandbox);
			return NULL;
		}
		if (daemon_endpoints_open(daemon, tenant_of(sandbox), sandbox->endpoints, sandbox->endpoint_count,
					  "/ports", &taken, problem) == 0)
			return sandbox;
		/* Nobody can have connected: the route goes with the next iteration of the loop, and nobody waits for it. */
		fwd_route_close(tenant_of(sandbox)->route, CLOSE_UNREGISTERED, 0, NULL, NULL);
		tenant_free(tenant_of(sandbox));
		registry_remove(daemon->registry, sandbox);
		if (!taken)
			return NULL;
		registry_avoid_port(daemon->registry, taken);
	}
	return NULL;
}

static void register_make(struct tenant *tenant)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct err err;

	if (store_save(daemon->store, sandbox, &err) < 0) {
		register_undo(tenant, &err);
		return;
	}
	struct fabric_nat *nat = calloc(tenant_nat_max(sandbox->endpoints, sandbox->endpoint_count), sizeof(*nat));
	if (!nat) {
		err_set(&err, ENOMEM, "sandbox %s", sandbox->id);
		register_undo(tenant, &err);
		return;
	}
	struct fabric_plan plan = tenant_plan(sandbox, nat);
	fabric_make(daemon->fabric, &plan, register_on_made, tenant);
	free(nat);
}

static void register_start(struct daemon *daemon, struct ctl_request *request)
{
	uint64_t since_us = clock_now_us();
	char id[SANDBOX_ID_MAX + 1];
	struct problem problem;

	registry_prefer_slot(daemon->registry, fabric_pool_slot(daemon->fabric));
	struct sandbox *sandbox = register_reserve(daemon, request, &problem);
	if (!sandbox) {
		memcpy(id, request->target.id, sizeof(id));
		ctl_request_refuse(request, &problem);
		ctl_park_run_sandbox(&daemon->parked, id);
		return;
	}
	struct tenant *tenant = tenant_of(sandbox);
	tenant->registering = request;
	tenant->registering_since_us = since_us;
	tenant->busy = true;
	daemon_default_follow(daemon);
	register_make(tenant);
}

void daemon_register(void *context, struct ctl_request *request)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_find(daemon->registry, request->target.id);

	if (sandbox)
		register_answer_existing(daemon, sandbox, request);
	else if (daemon->state == DAEMON_STOPPING)
		ctl_request_refuse_unavailable(request, "weftd is stopping");
	else
		register_start(daemon, request);
}
