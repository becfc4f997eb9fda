/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unregistering, in the order of effect: the endpoints close, the connections drain or are reset, our descriptor in the
 * namespace closes, the fabric takes the slot apart, the file goes, and then the record. The intent is written down first, so
 * that a daemon which dies half way finishes it at its next start.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The answer is owed to one more: a second DELETE is as good as the first. */
static int owe(struct tenant *tenant, struct reply *reply)
{
	struct reply **more;

	if (!reply)
		return 0;
	more = realloc(tenant->leaving, (tenant->leaving_count + 1) * sizeof(struct reply *));
	if (!more)
		return -1;
	tenant->leaving = more;
	tenant->leaving[tenant->leaving_count++] = reply;
	return 0;
}

static void answer_failed(struct tenant *tenant, const struct err *err)
{
	struct problem problem;

	problem_set(&problem, PROBLEM_INTERNAL, NULL, "%s", err->text);
	for (size_t i = 0; i < tenant->leaving_count; i++)
		reply_problem(tenant->leaving[i], &problem);
	tenant->leaving_count = 0;
}

static void forget(struct tenant *tenant)
{
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	size_t owed = tenant->leaving_count;
	struct reply **replies = steal_ptr(&tenant->leaving);
	char id[SANDBOX_ID_MAX + 1];
	struct err err;

	memcpy(id, sandbox->id, sizeof(id));
	if (store_remove(daemon->store, sandbox->slot, &err) < 0)
		log_error("state file not removed", F_STR("sandbox", id), F_STR("error", err.text));
	if (!tenant->slot_freed)
		registry_block_slot(daemon->registry, sandbox->slot, "its former objects are still going away");
	log_info("sandbox unregistered", F_STR("sandbox", id), F_UINT("slot", sandbox->slot));
	tenant_free(tenant);
	registry_remove(daemon->registry, sandbox);
	default_endpoint_follow(daemon);
	control_event(daemon->control, "unregistered", id, NULL);
	control_sandbox_gone(daemon->control, id);
	for (size_t i = 0; i < owed; i++)
		reply_empty(replies[i], 204);
	free(replies);
	unpark(daemon, id);
}

static void on_destroyed(void *context, const struct err *err)
{
	struct tenant *tenant = context;
	struct sandbox *sandbox = tenant->sandbox;
	char id[SANDBOX_ID_MAX + 1];

	if (!err) {
		forget(tenant);
		return;
	}
	/* We stop: it stays draining, who waits is told so, and the next start finishes it. */
	if (err->code == ECANCELED)
		return;
	log_error("sandbox not taken apart", F_STR("sandbox", sandbox->id), F_UINT("slot", sandbox->slot),
		  F_STR("error", err->text), F_STR("fix", "unregister it again"));
	tenant->busy = false;
	sandbox_set_state(tenant->daemon->registry, sandbox, SANDBOX_FAILED, "teardown", err->text);
	answer_failed(tenant, err);
	memcpy(id, sandbox->id, sizeof(id));
	unpark(tenant->daemon, id);
}

static void on_route_closed(void *context)
{
	struct tenant *tenant = context;

	tenant->route = NULL;
	cleanup_fd(&tenant->netns_fd);
	/* Too late in a stop: it stays draining, and the next start finishes it. */
	if (!tenant->daemon->fabric)
		return;
	fabric_destroy(tenant->daemon->fabric, tenant->sandbox->slot, on_destroyed, tenant);
}

/* After a failed attempt the route is gone already; what is left is the fabric's part. */
static void close_route(struct tenant *tenant, unsigned drain_ms)
{
	if (tenant->route)
		route_close(tenant->route, CLOSE_UNREGISTERED, drain_ms, on_route_closed, tenant);
	else
		on_route_closed(tenant);
}

void sandbox_leave(struct daemon *daemon, struct sandbox *sandbox, unsigned drain_ms, struct reply *reply)
{
	struct tenant *tenant = tenant_of(sandbox);
	struct problem problem;
	struct err err;

	if (owe(tenant, reply) < 0) {
		problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
		reply_problem(reply, &problem);
		return;
	}
	tenant->busy = true;
	/* What it counted last goes into the sums of the host. */
	collect_now(daemon, sandbox);
	if (sandbox->state != SANDBOX_DRAINING)
		sandbox_set_state(daemon->registry, sandbox, SANDBOX_DRAINING, "unregistered", NULL);
	tenant_follow_readiness(tenant);
	/* A file that cannot be written must not keep a sandbox alive: at worst the next start adopts it once more. */
	tenant->unregistered = true;
	if (!tenant->kept && store_save(daemon->store, sandbox, &err) < 0)
		log_error("state not written", F_STR("sandbox", sandbox->id), F_STR("error", err.text));
	endpoints_close(sandbox->endpoints, sandbox->endpoint_count, false);
	default_endpoint_follow(daemon);
	close_route(tenant, drain_ms);
}

void daemon_unregister(void *context, struct sandbox *sandbox, bool drain, unsigned drain_ms, struct reply *reply)
{
	struct daemon *daemon = context;
	struct tenant *tenant = tenant_of(sandbox);

	if (sandbox->state == SANDBOX_DRAINING) {
		if (drain) {
			reply_json(reply, 202, wire_write_sandbox(sandbox, daemon->config));
			return;
		}
		/* No more patience: what still drains is reset now. */
		if (owe(tenant, reply) == 0 && tenant->route)
			route_close(tenant->route, CLOSE_UNREGISTERED, 0, on_route_closed, tenant);
		return;
	}
	if (tenant->busy) {
		park_unregister(daemon, sandbox->id, drain, drain_ms, reply);
		return;
	}
	if (drain) {
		char id[SANDBOX_ID_MAX + 1];

		memcpy(id, sandbox->id, sizeof(id));
		sandbox_leave(daemon, sandbox, drain_ms, NULL);
		sandbox = registry_find(daemon->registry, id);
		if (sandbox)
			reply_json(reply, 202, wire_write_sandbox(sandbox, daemon->config));
		else
			reply_empty(reply, 204);
		return;
	}
	sandbox_leave(daemon, sandbox, 0, reply);
}
