/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PATCH, all or nothing. The whole new specification is worked out beside the old one, new endpoints open, the fabric brings
 * the kernel to it, and the file is written. Only then do the endpoints that are gone close, and the registry changes. A failure
 * before that point leaves the sandbox as it was.
 *
 * The file follows the kernel here, unlike at registration. After a crash between the two, the next start adopts the sandbox with
 * the old file and brings the kernel back to it; the manager, who has no answer, sees that the request was not carried out.
 */
#include "daemon/patch.h"

#include "base/err.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/asleep.h"
#include "daemon/daemon.h"
#include "daemon/default_endpoint.h"
#include "daemon/endpoints.h"
#include "daemon/listeners.h"
#include "daemon/loopback.h"
#include "daemon/pausing.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "store/store.h"
#include "wire/wire.h"
#include "wire/write.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct patch_change {
	struct daemon *daemon;
	struct sandbox *sandbox;
	struct sandbox
	    *holder; /* the default is taken from it, and it is changed by nobody meanwhile; NULL: from nobody */
	struct control_request *request;
	struct registry_patch prepared;
	struct problem problem; /* why it is being reverted */
	struct listeners_waiter settling;
};

static bool daemon_patch_had_handle(const struct endpoint *endpoints, size_t count, const void *handle)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < endpoints[i].listen_count; j++)
			if (endpoints[i].handles[j] == handle)
				return true;
	return false;
}

/* Closes the listeners of FROM that KEPT does not have. */
static void daemon_patch_close_others(struct daemon *daemon, struct endpoint *from, size_t from_count,
				      const struct endpoint *kept, size_t kept_count, bool reset)
{
	for (size_t i = 0; i < from_count; i++) {
		for (size_t j = 0; j < from[i].listen_count; j++) {
			void **handle = &from[i].handles[j];

			if (!*handle || daemon_patch_had_handle(kept, kept_count, *handle))
				continue;
			daemon_endpoints_unlisten(daemon, *handle, reset);
			*handle = NULL;
		}
	}
}

static void daemon_patch_announce(struct daemon *daemon, const char *type, const char *id,
				  const struct endpoint *endpoint)
{
	control_event(daemon->control, type, id,
		      json_pack("{s:i, s:s, s:o}", "guest_port", (int)endpoint->port.guest_port, "proto",
				addr_proto_name(endpoint->port.proto), "listen",
				wire_write_addresses(endpoint->listen, endpoint->listen_count)));
}

static bool daemon_patch_has_endpoint(const struct endpoint *endpoints, size_t count, const struct endpoint *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].port.guest_port == wanted->port.guest_port &&
		    endpoints[i].port.proto == wanted->port.proto &&
		    endpoints[i].listen_count == wanted->listen_count &&
		    (!wanted->listen_count || addr_equal(&endpoints[i].listen[0], &wanted->listen[0])))
			return true;
	return false;
}

static void daemon_patch_announce_differences(struct patch_change *change)
{
	const struct sandbox *sandbox = change->sandbox;
	const struct registry_patch *prepared = &change->prepared;

	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		const struct endpoint *endpoint = &sandbox->endpoints[i];

		if (daemon_patch_has_endpoint(prepared->endpoints, prepared->endpoint_count, endpoint))
			continue;
		if (endpoint->port.via == VIA_NAT)
			daemon_asleep_note_unpublished(daemon_tenant_of(sandbox));
		daemon_patch_announce(change->daemon, "unpublished", sandbox->id, endpoint);
	}
	for (size_t i = 0; i < prepared->endpoint_count; i++)
		if (!daemon_patch_has_endpoint(sandbox->endpoints, sandbox->endpoint_count, &prepared->endpoints[i]))
			daemon_patch_announce(change->daemon, "published", sandbox->id, &prepared->endpoints[i]);
}

static void daemon_patch_announce_default(struct daemon *daemon, const struct sandbox *sandbox, bool has,
					  const struct sandbox *other)
{
	control_event(
	    daemon->control, "default", sandbox->id,
	    json_pack("{s:b, s:s*}", "default", has, has ? "taken_from" : "taken_by", other ? other->id : NULL));
}

static void daemon_patch_announce_name(struct daemon *daemon, const struct sandbox *sandbox, const char *former)
{
	const char *name = registry_sandbox_name(sandbox);

	if (strcmp(sandbox->spec->name, former) == 0)
		return;
	log_info("sandbox renamed", F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
		 F_STR("former", *former ? former : NULL));
	control_event(daemon->control, "renamed", sandbox->id,
		      json_pack("{s:s?, s:s?}", "name", name, "former", *former ? former : NULL));
}

static void daemon_patch_announce_door(struct daemon *daemon, const struct sandbox *sandbox)
{
	log_info("door of a sandbox changed", F_SANDBOX(sandbox), F_UINT("slot", sandbox->slot),
		 F_STR("public", sandbox->spec->door.is_public ? "yes" : "no"),
		 F_UINT("ports", sandbox->spec->door.port_count));
	control_event(daemon->control, "door", sandbox->id, wire_write_door_change(sandbox));
}

static void daemon_patch_finish(struct patch_change *change)
{
	struct daemon *daemon = change->daemon;
	char id[SANDBOX_ID_MAX + 1], holder[SANDBOX_ID_MAX + 1] = "";

	memcpy(id, change->sandbox->id, sizeof(id));
	daemon_tenant_of(change->sandbox)->busy = false;
	daemon_tenant_of(change->sandbox)->changes++;
	if (change->holder) {
		memcpy(holder, change->holder->id, sizeof(holder));
		daemon_tenant_of(change->holder)->busy = false;
	}
	free(change);
	control_park_run_sandbox(&daemon->parked, id);
	if (*holder)
		control_park_run_sandbox(&daemon->parked, holder);
}

static void daemon_patch_on_refusal_due(void *context)
{
	struct patch_change *change = context;

	control_request_refuse(change->request, &change->problem);
	daemon_patch_finish(change);
}

/* Closes what was opened, and answers with the change's problem when the ports are free again. */
static void daemon_patch_refuse(struct patch_change *change)
{
	struct registry_patch *prepared = &change->prepared;

	daemon_patch_close_others(change->daemon, prepared->endpoints, prepared->endpoint_count,
				  change->sandbox->endpoints, change->sandbox->endpoint_count, true);
	registry_patch_abort(change->daemon->registry, prepared);
	daemon_listeners_settle(change->daemon, &change->settling, daemon_patch_on_refusal_due, change);
}

static void daemon_patch_answer(struct patch_change *change)
{
	daemon_tenant_refresh(change->sandbox);
	control_request_answer(change->request, 200, wire_write_sandbox(change->sandbox, change->daemon->config));
	daemon_patch_finish(change);
}

static void daemon_patch_on_turned(void *context, const struct err *turn_err)
{
	struct patch_change *change = context;
	struct err err;

	if (turn_err) {
		daemon_explain(turn_err, &change->problem);
		daemon_patch_on_refusal_due(change);
		return;
	}
	if (store_save(change->daemon->store, change->sandbox, &err) < 0)
		log_error("state not written", F_SANDBOX(change->sandbox), F_STR("error", err.text));
	daemon_patch_answer(change);
}

/* The request is in force, its ports open and closed: pause or resume as the last step, and answer. */
static void daemon_patch_conclude(void *context)
{
	struct patch_change *change = context;
	struct tenant *tenant = daemon_tenant_of(change->sandbox);
	const struct spec_patch *asked = &change->request->patch;

	/* A resume lets go of its sleep itself, and of what is kept for it later. */
	if (!asked->has_paused || asked->paused || !change->sandbox->paused)
		daemon_asleep_follow(tenant);
	if (!asked->has_paused || asked->paused == change->sandbox->paused)
		daemon_patch_answer(change);
	else if (asked->paused)
		daemon_pausing_pause(tenant, daemon_patch_on_turned, change);
	else
		daemon_pausing_resume(tenant, !asked->reset_flows, daemon_patch_on_turned, change);
}

static void daemon_patch_apply_fabric(struct patch_change *change, fabric_done *done);

/* The forwarder shuts behind the kernel, and opens before it: no guest is let out and then reset. */
static void daemon_patch_follow_isolation(const struct patch_change *change)
{
	fwd_route_set_isolated(daemon_tenant_of(change->sandbox)->route, change->sandbox->spec->egress.isolated);
}

static void daemon_patch_on_reverted(void *context, const struct err *err)
{
	struct patch_change *change = context;

	if (err)
		log_error("former policy not restored; the next repair restores it", F_SANDBOX(change->sandbox),
			  F_STR("error", err->text));
	daemon_patch_follow_isolation(change);
	daemon_listeners_settle(change->daemon, &change->settling, daemon_patch_on_refusal_due, change);
}

/* Writes the file of the sandbox's future record. */
static int daemon_patch_save(struct patch_change *change, struct err *err)
{
	struct sandbox *sandbox = change->sandbox;
	struct registry_patch *prepared = &change->prepared;
	struct spec *spec = sandbox->spec;
	struct endpoint *endpoints = sandbox->endpoints;
	size_t endpoint_count = sandbox->endpoint_count;
	uint64_t default_turn = sandbox->default_turn;

	sandbox->spec = prepared->spec;
	sandbox->endpoints = prepared->endpoints;
	sandbox->endpoint_count = prepared->endpoint_count;
	sandbox->default_turn = prepared->default_turn;
	int saved = store_save(change->daemon->store, sandbox, err);
	sandbox->spec = spec;
	sandbox->endpoints = endpoints;
	sandbox->endpoint_count = endpoint_count;
	sandbox->default_turn = default_turn;
	return saved;
}

/*
 * Writes the file of the sandbox that loses the default, whose taker's is written. Of two files that both have the default, the one
 * with the higher turn counts, so a kill between them loses nothing.
 */
static int daemon_patch_save_former(struct patch_change *change, struct sandbox *former, struct err *err)
{
	struct err ignored;

	former->spec->is_default = false;
	int saved = store_save(change->daemon->store, former, err);
	former->spec->is_default = true;
	if (saved < 0 && store_save(change->daemon->store, change->sandbox, &ignored) < 0)
		log_error("state not written", F_SANDBOX(change->sandbox), F_STR("error", ignored.text));
	return saved;
}

/* Clients that connect from now on come to the listeners, and those who came by an endpoint that is gone have nobody there any more. */
static void daemon_patch_leave_kernel(struct patch_change *change)
{
	struct sandbox *sandbox = change->sandbox;
	struct registry_patch *prepared = &change->prepared;

	daemon_loopback_cut_for_patch(daemon_tenant_of(sandbox), prepared->endpoints, prepared->endpoint_count);
	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		const struct endpoint *endpoint = &sandbox->endpoints[i];

		for (size_t j = 0; j < endpoint->listen_count; j++)
			if (endpoint->handles[j] &&
			    !daemon_patch_had_handle(prepared->endpoints, prepared->endpoint_count,
						     endpoint->handles[j]))
				daemon_loopback_end_clients_of(daemon_tenant_of(sandbox), endpoint, j);
	}
}

/* Puts the prepared request into the sandbox's record; afterwards PREPARED holds nothing. */
static int daemon_patch_commit(struct patch_change *change, struct err *err)
{
	struct daemon *daemon = change->daemon;
	struct sandbox *sandbox = change->sandbox;
	struct registry_patch *prepared = &change->prepared;
	struct sandbox *former = NULL;
	bool door_changes = !registry_spec_door_equal(sandbox->spec, prepared->spec);
	bool was_default = sandbox->spec->is_default, is_default = prepared->spec->is_default;
	char name[sizeof(sandbox->spec->name)];

	if (daemon_patch_save(change, err) < 0)
		return -1;
	/* The claim is ours, so that there is no other than the one that it is taken from. */
	if (is_default && !was_default)
		former = registry_default_explicit(daemon->registry);
	if (former && daemon_patch_save_former(change, former, err) < 0)
		return -1;
	daemon_patch_leave_kernel(change);
	daemon_patch_announce_differences(change);
	daemon_patch_close_others(daemon, sandbox->endpoints, sandbox->endpoint_count, prepared->endpoints,
				  prepared->endpoint_count, true);
	memcpy(name, sandbox->spec->name, sizeof(name));
	registry_patch_commit(daemon->registry, prepared);
	daemon_patch_announce_name(daemon, sandbox, name);
	if (door_changes)
		daemon_patch_announce_door(daemon, sandbox);
	if (former)
		daemon_patch_announce_default(daemon, former, false, sandbox);
	if (is_default != was_default)
		daemon_patch_announce_default(daemon, sandbox, is_default, former);
	return 0;
}

static void daemon_patch_on_applied(void *context, const struct err *fabric_err)
{
	struct patch_change *change = context;
	struct sandbox *sandbox = change->sandbox;
	struct err err;

	if (fabric_err) {
		log_error("sandbox not changed", F_SANDBOX(sandbox), F_STR("error", fabric_err->text));
		daemon_explain(fabric_err, &change->problem);
		daemon_patch_follow_isolation(change);
		daemon_patch_refuse(change);
		return;
	}
	if (daemon_patch_commit(change, &err) < 0) {
		log_error("sandbox not changed", F_SANDBOX(sandbox), F_STR("error", err.text));
		daemon_explain(&err, &change->problem);
		daemon_patch_close_others(change->daemon, change->prepared.endpoints, change->prepared.endpoint_count,
					  sandbox->endpoints, sandbox->endpoint_count, true);
		registry_patch_abort(change->daemon->registry, &change->prepared);
		daemon_patch_apply_fabric(change, daemon_patch_on_reverted);
		return;
	}
	fwd_route_set_limits(daemon_tenant_of(sandbox)->route, &sandbox->spec->limits);
	if (registry_spec_patch_gives(&change->request->patch, "limits"))
		fwd_listeners_follow_limits(change->daemon->forwarder, daemon_tenant_of(sandbox)->route);
	fwd_route_set_pace(daemon_tenant_of(sandbox)->route, sandbox->spec->bandwidth.from_guest.rate);
	daemon_patch_follow_isolation(change);
	fwd_route_set_door(daemon_tenant_of(sandbox)->route, &sandbox->spec->door);
	fwd_route_set_name(daemon_tenant_of(sandbox)->route, registry_sandbox_name(sandbox));
	daemon_publish(daemon_tenant_of(sandbox), CATALOG_START);
	daemon_default_follow(change->daemon);
	daemon_loopback_follow(daemon_tenant_of(sandbox));
	daemon_listeners_settle(change->daemon, &change->settling, daemon_patch_conclude, change);
}

/* Brings the kernel to the prepared request, or, when that is gone, back to the one in force. */
static void daemon_patch_apply_fabric(struct patch_change *change, fabric_done *done)
{
	struct sandbox view = *change->sandbox;
	struct err err;

	if (change->prepared.spec) {
		view.spec = change->prepared.spec;
		view.endpoints = change->prepared.endpoints;
		view.endpoint_count = change->prepared.endpoint_count;
	}
	struct tenant_plan *made = daemon_tenant_plan_new(&view);
	if (!made) {
		err_set(&err, ENOMEM, "sandbox %s", view.id);
		done(change, &err);
		return;
	}
	if (!view.spec->egress.isolated)
		fwd_route_set_isolated(daemon_tenant_of(change->sandbox)->route, false);
	fabric_update(change->daemon->fabric, &made->plan, done, change);
	free(made);
}

static bool daemon_patch_concerns_nat(const struct endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].port.via == VIA_NAT)
			return true;
	return false;
}

static bool daemon_patch_changes_ports(const struct patch_change *change)
{
	return change->request->patch.publish_count || change->request->patch.unpublish_count;
}

static bool daemon_patch_concerns_fabric(const struct patch_change *change)
{
	const struct sandbox *sandbox = change->sandbox;

	if (registry_spec_patch_gives(&change->request->patch, "egress") ||
	    registry_spec_patch_gives(&change->request->patch, "bandwidth"))
		return true;
	/* While it is paused, the kernel has the ports that wake it. */
	if (sandbox->paused &&
	    (registry_spec_patch_gives(&change->request->patch, "wake") ||
	     (change->prepared.spec->wake.which == WAKE_PUBLISHED && daemon_patch_changes_ports(change))))
		return true;
	return daemon_patch_changes_ports(change) &&
	       (daemon_patch_concerns_nat(sandbox->endpoints, sandbox->endpoint_count) ||
		daemon_patch_concerns_nat(change->prepared.endpoints, change->prepared.endpoint_count));
}

/*
 * Opens the endpoints to be published, which are the last of the prepared ones. An older one that is closed, because another
 * program took its port over a restart, is tried again in its own time and is no fault of this request. An automatic port that
 * another program holds is avoided. Takes WANTED over in any case.
 */
static int daemon_patch_prepare(struct patch_change *change, struct spec *wanted, struct problem *problem)
{
	struct daemon *daemon = change->daemon;
	struct registry_patch *prepared = &change->prepared;
	size_t publish_count = change->request->patch.publish_count;

	for (unsigned tries = 0; tries < 64; tries++) {
		uint16_t taken = 0;

		if (registry_patch_prepare(daemon->registry, change->sandbox, wanted,
					   change->request->patch.takes_default, prepared, problem) < 0)
			break;
		size_t kept = prepared->endpoint_count - publish_count;
		if (daemon_endpoints_open(daemon, daemon_tenant_of(change->sandbox), prepared->endpoints + kept,
					  publish_count, "/publish", &taken, problem) == 0)
			return 0;
		prepared->spec = NULL; /* is still WANTED */
		registry_patch_abort(daemon->registry, prepared);
		if (!taken)
			break;
		registry_avoid_port(daemon->registry, taken);
	}
	registry_spec_free(wanted);
	return -1;
}

static int daemon_patch_check(struct daemon *daemon, const struct sandbox *sandbox, const struct spec_patch *asked,
			      struct problem *problem)
{
	if (daemon->state == DAEMON_STOPPING)
		return registry_problem_stopping(problem, "weftd is stopping");
	/* Of a failed sandbox ports may be taken back, which does not depend on what is wrong with it. */
	if (sandbox->state == SANDBOX_DRAINING || sandbox->failure == FAILURE_TEARDOWN ||
	    (sandbox->state == SANDBOX_FAILED && !registry_spec_patch_is_unpublish(asked)))
		return daemon_tenant_refuse(sandbox, problem);
	return daemon_tenant_refuse_untaken(sandbox, problem);
}

/* Works out the sandbox that REQUEST leaves, and opens its new endpoints. NULL with PROBLEM. */
static struct patch_change *daemon_patch_begin(struct daemon *daemon, struct sandbox *sandbox,
					       struct control_request *request, struct problem *problem)
{
	struct spec *wanted = registry_spec_patch_apply(sandbox, &request->patch, problem);
	struct patch_change *change = wanted ? calloc(1, sizeof(*change)) : NULL;

	if (!change) {
		if (wanted)
			registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
		registry_spec_free(wanted);
		return NULL;
	}
	*change = (struct patch_change){ .daemon = daemon, .sandbox = sandbox, .request = request };
	if (daemon_tenant_check_policy(wanted, problem) < 0)
		registry_spec_free(wanted);
	else if (daemon_patch_prepare(change, wanted, problem) == 0)
		return change;
	free(change);
	return NULL;
}

/* The sandbox from which REQUEST takes the default, if it must not change meanwhile; one that is leaving may. */
static struct sandbox *daemon_patch_holder(struct daemon *daemon, const struct sandbox *sandbox,
					   const struct control_request *request)
{
	struct sandbox *holder = request->patch.takes_default ? registry_default_holder(daemon->registry) : NULL;

	return holder && holder != sandbox && holder->state != SANDBOX_DRAINING ? holder : NULL;
}

void daemon_patch(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct sandbox *sandbox = control_request_sandbox(request, daemon->registry), *holder;
	struct patch_change *change;
	struct problem problem;

	if (!sandbox)
		return;
	if (daemon_patch_check(daemon, sandbox, &request->patch, &problem) < 0) {
		control_request_refuse(request, &problem);
		return;
	}
	holder = daemon_patch_holder(daemon, sandbox, request);
	if (daemon_tenant_of(sandbox)->busy || (holder && daemon_tenant_of(holder)->busy)) {
		control_park_add(&daemon->parked, request, daemon_patch, daemon);
		return;
	}
	change = daemon_patch_begin(daemon, sandbox, request, &problem);
	if (!change) {
		control_request_refuse(request, &problem);
		return;
	}
	daemon_tenant_of(sandbox)->busy = true;
	change->holder = holder;
	if (holder)
		daemon_tenant_of(holder)->busy = true;
	if (daemon_patch_concerns_fabric(change))
		daemon_patch_apply_fabric(change, daemon_patch_on_applied);
	else
		daemon_patch_on_applied(change, NULL);
}
