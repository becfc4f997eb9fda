/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unregistering, in the order of effect: the endpoints close, the connections drain or are reset, our descriptor in the
 * namespace closes, the fabric takes the slot apart, the ports are free, the file goes, and then the record. The intent is written
 * down first, so that a daemon which dies half way finishes it at its next start.
 *
 * A second DELETE is as good as the first: both are answered when the sandbox is gone.
 */
#include "daemon/unregister.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/layout.h"
#include "control/control.h"
#include "daemon/collect.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/endpoints.h"
#include "daemon/listeners.h"
#include "daemon/loopback.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "store/store.h"
#include "wire/wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The one line of its end. */
static void daemon_unregister_log(const struct tenant *tenant)
{
	const struct sandbox *sandbox = tenant->sandbox;
	const struct counters *counters = &sandbox->counters;
	int64_t age_ms = clock_wall_ms() - sandbox->registered_ms;

	log_info(
	    "sandbox unregistered", F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
	    F_STR("cause", tenant->went_on ? "restart" : "unregistered"),
	    F_UINT("age_ms", age_ms > 0 ? (uint64_t)age_ms : 0), F_UINT("bytes_to_guest", counters->bytes_to_guest),
	    F_UINT("bytes_from_guest", counters->bytes_from_guest), F_UINT("connections", counters->connections_total));
}

static void daemon_unregister_on_ports_free(void *context)
{
	struct tenant *tenant = context;
	struct daemon *daemon = tenant->daemon;
	struct sandbox *sandbox = tenant->sandbox;
	struct control_request_list owed = TAILQ_HEAD_INITIALIZER(owed);
	json_t *fields = json_pack("{s:s*}", "sandbox_name", registry_sandbox_name(sandbox));
	struct control_request *request;
	char id[SANDBOX_ID_MAX + 1];
	struct err err;

	memcpy(id, sandbox->id, sizeof(id));
	TAILQ_CONCAT(&owed, &tenant->leaving, next);
	if (store_remove(daemon->store, sandbox->slot, &err) < 0)
		log_error("state file not removed", F_SANDBOX(sandbox), F_STR("error", err.text));
	if (!tenant->slot_freed)
		registry_block_slot(daemon->registry, sandbox->slot, "its former objects are still going away");
	daemon_unregister_log(tenant);
	daemon_tenant_free(tenant);
	registry_remove(daemon->registry, sandbox);
	daemon_default_follow(daemon);
	control_event(daemon->control, "unregistered", id, fields);
	control_sandbox_gone(daemon->control, id);
	while ((request = TAILQ_FIRST(&owed))) {
		TAILQ_REMOVE(&owed, request, next);
		control_request_answer_empty(request, 204);
	}
	control_park_run_sandbox(&daemon->parked, id);
}

static void daemon_unregister_on_destroyed(void *context, const struct err *err)
{
	struct tenant *tenant = context;
	struct sandbox *sandbox = tenant->sandbox;
	struct daemon *daemon = tenant->daemon;
	struct problem problem;
	char id[SANDBOX_ID_MAX + 1];

	if (!err) {
		daemon_listeners_settle(daemon, &tenant->settling, daemon_unregister_on_ports_free, tenant);
		return;
	}
	/* A stop: it stays draining, its requests are answered so, and the next start finishes it. */
	if (err->code == ECANCELED)
		return;
	/* If a foreign object is in the way, it is failed by now; for want of memory nothing was begun, and it stays draining. */
	log_error("sandbox not taken apart", F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
		  F_STR("error", err->text), F_STR("fix", "unregister it again"));
	memcpy(id, sandbox->id, sizeof(id));
	tenant->busy = false;
	daemon_explain(err, &problem);
	daemon_tenant_refuse_leaving(tenant, &problem);
	control_park_run_sandbox(&daemon->parked, id);
}

/* No connection is waited for any more. */
static void daemon_unregister_take_apart(struct tenant *tenant)
{
	timer_stop(&tenant->drain.timer);
	daemon_loopback_end_all(tenant);
	if (tenant->daemon->fabric)
		daemon_collect_now(tenant->daemon, tenant->sandbox);
	cleanup_fd(&tenant->netns_fd);
	/* Too late in a stop: it stays draining, and the next start finishes it. */
	if (!tenant->daemon->fabric)
		return;
	fabric_destroy(tenant->daemon->fabric, tenant->sandbox->slot, tenant->sandbox->layout,
		       daemon_unregister_on_destroyed, tenant);
}

/* ---- Clients that the kernel led past the forwarder, of whom its own drain knows nothing ---- */

enum { DRAIN_LOOK_MS = 200 };

static void daemon_unregister_on_clients(void *context, const struct fabric_client *clients, size_t count,
					 const struct err *err)
{
	struct tenant *tenant = context;

	(void)clients;
	tenant->drain.asking = false;
	/* weftd stops: the sandbox stays draining, and the next start takes it apart. */
	if (err && err->code == ECANCELED)
		return;
	if ((!count && !err) || clock_now_ms() >= tenant->drain.until_ms)
		daemon_unregister_take_apart(tenant);
	else
		timer_start(&tenant->drain.timer, DRAIN_LOOK_MS);
}

static void daemon_unregister_look_for_clients(void *context)
{
	struct tenant *tenant = context;
	const struct sandbox *sandbox = tenant->sandbox;

	tenant->drain.asking =
	    tenant->daemon->fabric && daemon_loopback_may_have_led(tenant->daemon) &&
	    clock_now_ms() < tenant->drain.until_ms &&
	    fabric_list_clients(tenant->daemon->fabric, config_host_ip(sandbox->layout, sandbox->slot), -1, 1,
				daemon_unregister_on_clients, tenant);
	if (!tenant->drain.asking)
		daemon_unregister_take_apart(tenant);
}

/* Ends the drain of these clients, if there is one. If the kernel is being asked, its answer finds that the time is over. */
static void daemon_unregister_hurry(struct tenant *tenant)
{
	tenant->drain.until_ms = 0;
	if (timer_is_armed(&tenant->drain.timer))
		daemon_unregister_take_apart(tenant);
}

static void daemon_unregister_on_route_closed(void *context)
{
	struct tenant *tenant = context;

	tenant->route = NULL;
	daemon_unregister_look_for_clients(tenant);
}

/* Without memory these clients get no drain. */
static void daemon_unregister_begin_drain(struct tenant *tenant, unsigned drain_ms)
{
	struct err ignored;

	if (!drain_ms || tenant->drain.timer.event || !daemon_loopback_may_have_led(tenant->daemon))
		return;
	if (timer_init(&tenant->drain.timer, tenant->daemon->base, daemon_unregister_look_for_clients, tenant,
		       &ignored) == 0)
		tenant->drain.until_ms = clock_now_ms() + drain_ms;
}

/* After a failed attempt the route is gone already, and the fabric's part is left. */
static void daemon_unregister_close_route(struct tenant *tenant, unsigned drain_ms)
{
	daemon_unregister_begin_drain(tenant, drain_ms);
	if (tenant->route)
		fwd_route_close(tenant->route, CLOSE_UNREGISTERED, drain_ms, daemon_unregister_on_route_closed, tenant);
	else
		daemon_unregister_on_route_closed(tenant);
}

void daemon_unregister_begin(struct daemon *daemon, struct sandbox *sandbox, unsigned drain_ms,
			     struct control_request *request)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);
	struct err err;

	if (request)
		TAILQ_INSERT_TAIL(&tenant->leaving, request, next);
	tenant->busy = true;
	daemon_loopback_cut(tenant);
	daemon_publish_end(tenant);
	daemon_tenant_forget_takeover(tenant);
	/* Its last counters go into the sums of the host, and into the line of its end. */
	daemon_collect_now(daemon, sandbox);
	daemon_tenant_refresh(sandbox);
	tenant->went_on = sandbox->state == SANDBOX_DRAINING;
	if (!tenant->went_on)
		registry_sandbox_set_state(daemon->registry, sandbox, SANDBOX_DRAINING, "unregistered", NULL);
	daemon_tenant_follow_readiness(tenant);
	/* A file that cannot be written must not keep a sandbox alive: at worst the next start adopts it once more. */
	tenant->unregistered = true;
	if (!tenant->kept && store_save(daemon->store, sandbox, &err) < 0)
		log_error("state not written", F_SANDBOX(sandbox), F_STR("error", err.text));
	daemon_endpoints_close(daemon, sandbox->endpoints, sandbox->endpoint_count, false);
	daemon_default_follow(daemon);
	daemon_unregister_close_route(tenant, drain_ms);
}

/* A DELETE whose answer does not wait for the connections. */
struct unregister_drain {
	struct daemon *daemon;
	struct control_request *request;
	struct listeners_waiter settling;
};

/* The sandbox may be gone by then, where nothing was there to drain. */
static void daemon_unregister_on_endpoints_closed(void *context)
{
	struct unregister_drain *drain = context;
	struct daemon *daemon = drain->daemon;
	struct control_request *request = drain->request;
	struct sandbox *sandbox = registry_find(daemon->registry, request->target.id);

	free(drain);
	if (sandbox && sandbox->state == SANDBOX_DRAINING)
		control_request_answer(request, 202, wire_write_sandbox(sandbox, daemon->config));
	else
		control_request_answer_empty(request, 204);
}

/* Answers once the endpoints are closed. */
static void daemon_unregister_drain(struct daemon *daemon, struct sandbox *sandbox, struct control_request *request)
{
	struct unregister_drain *drain = calloc(1, sizeof(*drain));

	if (!drain) {
		control_request_refuse_unavailable(request, "out of memory");
		return;
	}
	*drain = (struct unregister_drain){ .daemon = daemon, .request = request };
	daemon_unregister_begin(daemon, sandbox, request->target.drain_s * 1000, NULL);
	daemon_listeners_settle(daemon, &drain->settling, daemon_unregister_on_endpoints_closed, drain);
}

/* It drains already. Without a drain of its own, REQUEST ends that of the former: the connections are reset now. */
static void daemon_unregister_again(struct daemon *daemon, struct sandbox *sandbox, struct control_request *request)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);

	if (request->target.has_drain) {
		control_request_answer(request, 202, wire_write_sandbox(sandbox, daemon->config));
		return;
	}
	TAILQ_INSERT_TAIL(&tenant->leaving, request, next);
	if (!tenant->busy) {
		/* The fabric could not begin. */
		tenant->busy = true;
		daemon_unregister_close_route(tenant, 0);
	} else if (!tenant->route) {
		daemon_unregister_hurry(tenant);
	} else {
		tenant->drain.until_ms = 0;
		fwd_route_close(tenant->route, CLOSE_UNREGISTERED, 0, daemon_unregister_on_route_closed, tenant);
	}
}

void daemon_unregister(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry);

	if (!sandbox)
		return;
	if (sandbox->state == SANDBOX_DRAINING)
		daemon_unregister_again(daemon, sandbox, request);
	else if (daemon_tenant_of(sandbox)->busy)
		control_park_add(&daemon->parked, request, daemon_unregister, daemon);
	else if (request->target.has_drain)
		daemon_unregister_drain(daemon, sandbox, request);
	else
		daemon_unregister_begin(daemon, sandbox, 0, request);
}
