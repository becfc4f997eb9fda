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
#include "base/sandbox_name.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/endpoints.h"
#include "daemon/listeners.h"
#include "daemon/metrics.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "store/store.h"
#include "wire/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 64 }; /* foreign ports met in one registration */

/* The sandbox that is there already answers the request, in one way or the other. */
static void daemon_register_answer_existing(struct daemon *daemon, struct sandbox *sandbox,
					    struct control_request *request)
{
	struct problem problem;

	if (sandbox->state == SANDBOX_DRAINING || sandbox->state == SANDBOX_FAILED) {
		daemon_tenant_refuse(sandbox, &problem);
		control_request_refuse(request, &problem);
	} else if (!registry_spec_equal(sandbox->spec, request->spec)) {
		AUTO_FREE char *difference = wire_write_difference(sandbox->spec, request->spec);
		registry_problem_set(&problem, PROBLEM_CONFLICT, "id", "sandbox %s is registered otherwise%s%s",
				     sandbox->id, difference ? ": " : "", difference ? difference : "");
		control_request_refuse(request, &problem);
	} else if (daemon_tenant_of(sandbox)->busy) {
		control_park_add(&daemon->parked, request, daemon_register, daemon);
	} else {
		daemon_tenant_refresh(sandbox);
		control_request_answer(request, 200, wire_write_sandbox(sandbox, daemon->config));
	}
}

/* Removes the sandbox from file and registry once its route is gone; the fabric's part is gone already. ID gets its name. */
static void daemon_register_forget(struct tenant *tenant, char id[static SANDBOX_ID_MAX + 1])
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct err err;

	memcpy(id, sandbox->id, sizeof(sandbox->id));
	daemon_publish_end(tenant);
	if (store_remove(daemon->store, sandbox->slot, &err) < 0)
		log_error("state file not removed", F_STR("sandbox", id), F_STR("error", err.text));
	daemon_tenant_free(tenant);
	registry_remove(daemon->registry, sandbox);
	daemon_default_follow(daemon);
}

static void daemon_register_on_ports_free(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct problem failure = tenant->failure;
	struct control_request *request = TAILQ_FIRST(&tenant->leaving); /* NULL: answered already */
	char id[SANDBOX_ID_MAX + 1];

	if (request)
		TAILQ_REMOVE(&tenant->leaving, request, next);
	daemon_register_forget(tenant, id);
	control_sandbox_gone(daemon->control, id);
	if (request)
		control_request_refuse(request, &failure);
	control_park_run_sandbox(&daemon->parked, id);
}

static void daemon_register_on_undone(void *context)
{
	struct tenant *tenant = context;

	daemon_listeners_settle(tenant->daemon, &tenant->settling, daemon_register_on_ports_free, tenant);
}

/* Takes back what was done, and only then answers, so that a manager who hears of the failure finds nothing left. */
static void daemon_register_undo(struct tenant *tenant, const struct err *err)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct control_request *request = steal_ptr(&tenant->registering);

	log_error("sandbox not registered", F_SANDBOX(sandbox), F_STR("error", err->text));
	daemon_explain(err, &tenant->failure);
	/* A stop: the answer does not wait for the route. */
	if (err->code == ECANCELED)
		control_request_refuse(request, &tenant->failure);
	else
		TAILQ_INSERT_TAIL(&tenant->leaving, request, next);
	daemon_endpoints_close(daemon, sandbox->endpoints, sandbox->endpoint_count, true);
	tenant->busy = true;
	fwd_route_close(tenant->route, CLOSE_UNREGISTERED, 0, daemon_register_on_undone, tenant);
}

static void daemon_register_on_ports_free_retry(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct control_request *request = steal_ptr(&tenant->registering);
	char id[SANDBOX_ID_MAX + 1];

	registry_block_slot(daemon->registry, tenant->sandbox->slot, "its names are in use by others");
	daemon_register_forget(tenant, id);
	daemon_register(daemon, request);
}

static void daemon_register_on_undone_retry(void *context)
{
	struct tenant *tenant = context;

	daemon_listeners_settle(tenant->daemon, &tenant->settling, daemon_register_on_ports_free_retry, tenant);
}

/* The slot turned out to be foreign: everything is undone, and the request is served from the start, with another slot. */
static void daemon_register_retry_elsewhere(struct tenant *tenant)
{
	struct sandbox *sandbox = tenant->sandbox;

	daemon_endpoints_close(tenant->daemon, sandbox->endpoints, sandbox->endpoint_count, true);
	fwd_route_close(tenant->route, CLOSE_UNREGISTERED, 0, daemon_register_on_undone_retry, tenant);
}

/* The listeners outlive a kill from now on: the manager may tell clients of them. */
static void daemon_register_on_kept(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	char id[SANDBOX_ID_MAX + 1];

	tenant->busy = false;
	memcpy(id, sandbox->id, sizeof(id));
	control_request_answer(steal_ptr(&tenant->registering), 201, wire_write_sandbox(sandbox, daemon->config));
	control_park_run_sandbox(&daemon->parked, id);
}

static void daemon_register_on_made(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	uint64_t duration_us = clock_now_us() - tenant->registering_since_us;

	if (err && err->code == EEXIST) {
		daemon_register_retry_elsewhere(tenant);
		return;
	}
	if (err) {
		daemon_register_undo(tenant, err);
		return;
	}
	daemon_tenant_attach_namespace(tenant, slot);
	log_info("sandbox registered", F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
		 F_STR("state", registry_sandbox_state_name(registry_sandbox_settled_state(sandbox))),
		 F_UINT("duration_us", duration_us));
	registry_sandbox_set_state(daemon->registry, sandbox, registry_sandbox_settled_state(sandbox),
				   SANDBOX_CAUSE_REGISTERED, NULL);
	daemon_tenant_follow_readiness(tenant);
	daemon_metrics_count_registration(daemon, duration_us);
	control_event(daemon->control, "registered", sandbox->id, json_pack("{s:i}", "slot", (int)sandbox->slot));
	daemon_listeners_settle(daemon, &tenant->settling, daemon_register_on_kept, tenant);
}

/*
 * Slot, ports and listeners. An automatic port that another program holds is avoided and another one taken. NULL with PROBLEM.
 */
static struct sandbox *daemon_register_reserve(struct daemon *daemon, const struct control_request *request,
					       struct problem *problem)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct spec *copy = registry_spec_copy(request->spec);
		uint16_t taken = 0;
		struct err err;

		if (!copy) {
			registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
			return NULL;
		}
		struct sandbox *sandbox = registry_add(daemon->registry, request->target.id, copy, problem);
		if (!sandbox) {
			registry_spec_free(copy);
			return NULL;
		}
		if (daemon_tenant_new(daemon, sandbox, &err) < 0) {
			registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.text);
			registry_remove(daemon->registry, sandbox);
			return NULL;
		}
		if (daemon_endpoints_open(daemon, daemon_tenant_of(sandbox), sandbox->endpoints,
					  sandbox->endpoint_count, "/ports", &taken, problem) == 0)
			return sandbox;
		/* Nobody can have connected: the route goes with the next iteration of the loop, and nobody waits for it. */
		fwd_route_close(daemon_tenant_of(sandbox)->route, CLOSE_UNREGISTERED, 0, NULL, NULL);
		daemon_tenant_free(daemon_tenant_of(sandbox));
		registry_remove(daemon->registry, sandbox);
		if (!taken)
			return NULL;
		registry_avoid_port(daemon->registry, taken);
	}
	return NULL;
}

static void daemon_register_make(struct tenant *tenant)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct err err;

	if (store_save(daemon->store, sandbox, &err) < 0) {
		daemon_register_undo(tenant, &err);
		return;
	}
	/* Its clients are held at the door from now on. */
	daemon_publish(tenant, CATALOG_START);
	struct tenant_plan *made = daemon_tenant_plan_new(sandbox);
	if (!made) {
		err_set(&err, ENOMEM, "sandbox %s", sandbox->id);
		daemon_register_undo(tenant, &err);
		return;
	}
	fabric_make(daemon->fabric, &made->plan, daemon_register_on_made, tenant);
	free(made);
}

static void daemon_register_start(struct daemon *daemon, struct control_request *request)
{
	uint64_t since_us = clock_now_us();
	char id[SANDBOX_ID_MAX + 1];
	struct problem problem;

	registry_prefer_slot(daemon->registry, fabric_pool_slot(daemon->fabric));
	struct sandbox *sandbox = daemon_tenant_check_policy(request->spec, &problem) == 0
				      ? daemon_register_reserve(daemon, request, &problem)
				      : NULL;
	if (!sandbox) {
		memcpy(id, request->target.id, sizeof(id));
		control_request_refuse(request, &problem);
		control_park_run_sandbox(&daemon->parked, id);
		return;
	}
	struct tenant *tenant = daemon_tenant_of(sandbox);
	tenant->registering = request;
	tenant->registering_since_us = since_us;
	tenant->busy = true;
	daemon_default_follow(daemon);
	daemon_register_make(tenant);
}

void daemon_register(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_find(daemon->registry, request->target.id);
	struct problem problem;

	control_reply_concern(request->reply, request->target.id);
	if (sandbox) {
		daemon_register_answer_existing(daemon, sandbox, request);
	} else if (strcmp(request->target.id, BASE_NAME_OF_CHECKS) == 0) {
		registry_problem_set(&problem, PROBLEM_BAD_REQUEST, "id",
				     "the id " BASE_NAME_OF_CHECKS " is reserved: the door is checked by it");
		control_request_refuse(request, &problem);
	} else if (daemon->state == DAEMON_STOPPING) {
		registry_problem_stopping(&problem, "weftd is stopping");
		control_request_refuse(request, &problem);
	} else {
		daemon_register_start(daemon, request);
	}
}
