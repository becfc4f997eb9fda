/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registering: reserve slot and ports, open the endpoints (a client that is early is held), write the intent down, have the
 * fabric make the slot, answer. Each step that fails undoes those before it, in reverse, and the answer says which step it was.
 *
 * Two failures are not the manager's and are tried around: an automatic port that another program holds, and a slot whose
 * names are in use by something that is not ours.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 64 }; /* foreign ports met in one registration */

struct registration {
	struct daemon *daemon;
	struct sandbox *sandbox;
	struct reply *reply;
	uint64_t started_us;
};

static void explain(const struct err *err, struct problem *problem)
{
	if (err->code == ECANCELED)
		problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "weftd is stopping");
	else
		problem_set(problem, PROBLEM_INTERNAL, NULL, "%s", err->text);
}

/* Whether the sandbox that is there already answers the request, in one way or the other. */
static void answer_existing(struct daemon *daemon, struct sandbox *sandbox, struct spec *spec, struct reply *reply)
{
	struct problem problem;

	if (sandbox->state == SANDBOX_DRAINING || sandbox->state == SANDBOX_FAILED) {
		problem_set(&problem, PROBLEM_CONFLICT, "id", "sandbox %s is %s; unregister it first", sandbox->id,
			    sandbox_state_name(sandbox->state));
	} else if (!spec_equal(sandbox->spec, spec)) {
		problem_set(&problem, PROBLEM_CONFLICT, "id", "sandbox %s is registered otherwise; PATCH or DELETE it",
			    sandbox->id);
	} else if (tenant_of(sandbox)->busy) {
		park_register(daemon, sandbox->id, spec, reply);
		return;
	} else {
		spec_free(spec);
		tenant_refresh(sandbox);
		reply_json(reply, 200, wire_write_sandbox(sandbox, daemon->config));
		return;
	}
	spec_free(spec);
	reply_problem(reply, &problem);
}

/* Removes the sandbox from file and registry once its route is gone; what the fabric made is gone already. ID gets its name. */
static void forget(struct tenant *tenant, char id[static SANDBOX_ID_MAX + 1])
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct err err;

	memcpy(id, sandbox->id, sizeof(sandbox->id));
	if (store_remove(daemon->store, sandbox->slot, &err) < 0)
		log_error("state file not removed", F_STR("sandbox", id), F_STR("error", err.text));
	tenant_free(tenant);
	registry_remove(daemon->registry, sandbox);
	default_endpoint_follow(daemon);
}

static void on_undone(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct problem failure = tenant->failure;
	struct reply *reply = tenant->leaving_count ? tenant->leaving[0] : NULL;
	char id[SANDBOX_ID_MAX + 1];

	tenant->leaving_count = 0;
	forget(tenant, id);
	control_sandbox_gone(daemon->control, id);
	if (reply)
		reply_problem(reply, &failure);
	unpark(daemon, id);
}

/* Takes back what was done, and only then answers: who hears of the failure finds nothing left. */
static void undo(struct registration *registration, const struct err *err)
{
	struct sandbox *sandbox = registration->sandbox;
	struct tenant *tenant = tenant_of(sandbox);

	log_error("sandbox not registered", F_STR("sandbox", sandbox->id), F_STR("error", err->text));
	explain(err, &tenant->failure);
	tenant->leaving = err->code == ECANCELED ? NULL : malloc(sizeof(*tenant->leaving));
	if (tenant->leaving)
		tenant->leaving[tenant->leaving_count++] = registration->reply;
	else
		reply_problem(registration->reply, &tenant->failure);
	free(registration);
	endpoints_close(sandbox->endpoints, sandbox->endpoint_count, true);
	tenant->busy = true;
	route_close(tenant->route, CLOSE_UNREGISTERED, 0, on_undone, tenant);
}

struct retry {
	struct tenant *tenant;
	struct spec *spec;
	struct reply *reply;
};

/* The slot turned out to be foreign: everything is undone, and the request goes through the front door again. */
static void on_undone_retry(void *context)
{
	struct retry *retry = context;
	struct daemon *daemon = retry->tenant->daemon;
	char id[SANDBOX_ID_MAX + 1];

	registry_block_slot(daemon->registry, retry->tenant->sandbox->slot, "its names are in use by others");
	forget(retry->tenant, id);
	daemon_register(daemon, id, retry->spec, retry->reply);
	free(retry);
}

static int retry_elsewhere(struct registration *registration)
{
	struct sandbox *sandbox = registration->sandbox;
	struct retry *retry = calloc(1, sizeof(*retry));

	if (!retry)
		return -1;
	*retry = (struct retry){ .tenant = tenant_of(sandbox),
				 .spec = spec_copy(sandbox->spec),
				 .reply = registration->reply };
	if (!retry->spec) {
		free(retry);
		return -1;
	}
	endpoints_close(sandbox->endpoints, sandbox->endpoint_count, true);
	route_close(retry->tenant->route, CLOSE_UNREGISTERED, 0, on_undone_retry, retry);
	free(registration);
	return 0;
}

static void count_duration(struct daemon *daemon, uint64_t started_us)
{
	uint64_t us = clock_now_us() - started_us;
	size_t bucket = 0;

	while (bucket < CONNECT_BUCKETS - 1 && us > (uint64_t)connect_bucket_ms[bucket] * 1000)
		bucket++;
	daemon->register_count[bucket]++;
	daemon->register_sum_us += us;
}

static void on_made(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct registration *registration = context;
	struct daemon *daemon = registration->daemon;
	struct sandbox *sandbox = registration->sandbox;
	struct tenant *tenant = tenant_of(sandbox);
	char id[SANDBOX_ID_MAX + 1];

	if (err) {
		if (err->code == EEXIST && retry_elsewhere(registration) == 0)
			return;
		undo(registration, err);
		return;
	}
	tenant->busy = false;
	tenant_attach_namespace(tenant, slot);
	sandbox_set_state(daemon->registry, sandbox, sandbox_settled_state(sandbox), "registered", NULL);
	tenant_follow_readiness(tenant);
	count_duration(daemon, registration->started_us);
	log_info("sandbox registered", F_STR("sandbox", sandbox->id), F_UINT("slot", sandbox->slot),
		 F_UINT("duration_us", clock_now_us() - registration->started_us));
	json_t *shown = wire_write_sandbox(sandbox, daemon->config);
	control_event(daemon->control, "registered", sandbox->id, json_pack("{s:i}", "slot", (int)sandbox->slot));
	reply_json(registration->reply, 201, shown);
	memcpy(id, sandbox->id, sizeof(id));
	free(registration);
	unpark(daemon, id);
}

/* Slot, ports and listeners. An automatic port that somebody else holds is avoided and another one taken. */
static struct sandbox *reserve(struct daemon *daemon, const char *id, struct spec *spec, struct problem *problem)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct spec *copy = spec_copy(spec);
		uint16_t taken = 0;
		struct err err;

		if (!copy) {
			problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
			return NULL;
		}
		struct sandbox *sandbox = registry_add(daemon->registry, id, copy, problem);
		if (!sandbox) {
			spec_free(copy);
			return NULL;
		}
		if (tenant_new(daemon, sandbox, &err) < 0) {
			problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "%s", err.text);
			registry_remove(daemon->registry, sandbox);
			return NULL;
		}
		if (endpoints_open(daemon, tenant_of(sandbox), sandbox->endpoints, sandbox->endpoint_count, "/ports",
				   &taken, problem) == 0)
			return sandbox;
		/* Nobody can have connected: the route is gone with the next turn of the loop, and nobody waits for it. */
		route_close(tenant_of(sandbox)->route, CLOSE_UNREGISTERED, 0, NULL, NULL);
		tenant_free(tenant_of(sandbox));
		registry_remove(daemon->registry, sandbox);
		if (!taken)
			return NULL;
		registry_avoid_port(daemon->registry, taken);
	}
	return NULL;
}

static void start(struct registration *registration, const char *id, struct spec *spec)
{
	struct daemon *daemon = registration->daemon;
	struct problem problem;
	struct err err;

	registry_prefer_slot(daemon->registry, fabric_pool_slot(daemon->fabric));
	struct sandbox *sandbox = reserve(daemon, id, spec, &problem);
	spec_free(spec);
	if (!sandbox) {
		reply_problem(registration->reply, &problem);
		free(registration);
		unpark(daemon, id);
		return;
	}
	registration->sandbox = sandbox;
	tenant_of(sandbox)->busy = true;
	default_endpoint_follow(daemon);
	if (store_save(daemon->store, sandbox, &err) < 0) {
		undo(registration, &err);
		return;
	}
	struct fabric_nat *nat = calloc(tenant_nat_max(sandbox->endpoints, sandbox->endpoint_count), sizeof(*nat));
	if (!nat) {
		err_set(&err, ENOMEM, "sandbox %s", id);
		undo(registration, &err);
		return;
	}
	struct fabric_plan plan = tenant_plan(sandbox, nat);
	fabric_make(daemon->fabric, &plan, on_made, registration);
	free(nat);
}

void daemon_register(void *context, const char *id, struct spec *spec, struct reply *reply)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = registry_find(daemon->registry, id);
	struct registration *registration;
	struct problem problem;

	if (sandbox) {
		answer_existing(daemon, sandbox, spec, reply);
		return;
	}
	registration = calloc(1, sizeof(*registration));
	if (!registration || daemon->state == DAEMON_STOPPING) {
		problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, registration ? "weftd is stopping" : "out of memory");
		reply_problem(reply, &problem);
		spec_free(spec);
		free(registration);
		return;
	}
	*registration = (struct registration){ .daemon = daemon, .reply = reply, .started_us = clock_now_us() };
	start(registration, id, spec);
}
