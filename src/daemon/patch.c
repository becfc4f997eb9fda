/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PATCH, all or nothing: the whole new request is worked out beside the old one, what is new is opened, the kernel is brought to
 * it in one batch, the file is written; only then does the registry change, and what is gone is closed. Whatever fails before
 * that point leaves the sandbox as it was.
 *
 * The file follows the kernel here, unlike at registration: a daemon that dies between the two adopts the sandbox with the old
 * file and brings the kernel back to it, and the manager, who has no answer, sees the request not done.
 */
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct change {
	struct daemon *daemon;
	struct sandbox *sandbox;
	struct reply *reply;
	struct registry_patch prepared;
	struct wire_patch asked; /* what was asked for; its lists are not kept, only the flags */
	struct problem problem;  /* why, while reverting */
};

static bool had_handle(const struct endpoint *endpoints, size_t count, const void *handle)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < endpoints[i].listen_count; j++)
			if (endpoints[i].handles[j] == handle)
				return true;
	return false;
}

/* Closes the listeners of FROM that KEPT does not have. */
static void close_others(struct endpoint *from, size_t from_count, const struct endpoint *kept, size_t kept_count,
			 bool reset)
{
	for (size_t i = 0; i < from_count; i++) {
		for (size_t j = 0; j < from[i].listen_count; j++) {
			void **handle = &from[i].handles[j];

			if (!*handle || had_handle(kept, kept_count, *handle))
				continue;
			listener_close(*handle, reset);
			*handle = NULL;
		}
	}
}

static void tell(struct daemon *daemon, const char *type, const char *id, const struct endpoint *endpoint)
{
	json_t *listen = json_array();
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < endpoint->listen_count; i++)
		json_array_append_new(listen, json_string(addr_format(&endpoint->listen[i], text)));
	control_event(daemon->control, type, id,
		      json_pack("{s:i, s:s, s:o}", "guest_port", (int)endpoint->port.guest_port, "proto",
				proto_name(endpoint->port.proto), "listen", listen));
}

static bool has_endpoint(const struct endpoint *endpoints, size_t count, const struct endpoint *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].port.guest_port == wanted->port.guest_port &&
		    endpoints[i].port.proto == wanted->port.proto &&
		    endpoints[i].listen_count == wanted->listen_count &&
		    (!wanted->listen_count || addr_equal(&endpoints[i].listen[0], &wanted->listen[0])))
			return true;
	return false;
}

static void tell_differences(struct change *change)
{
	const struct sandbox *sandbox = change->sandbox;
	const struct registry_patch *prepared = &change->prepared;

	for (size_t i = 0; i < sandbox->endpoint_count; i++)
		if (!has_endpoint(prepared->endpoints, prepared->endpoint_count, &sandbox->endpoints[i]))
			tell(change->daemon, "unpublished", sandbox->id, &sandbox->endpoints[i]);
	for (size_t i = 0; i < prepared->endpoint_count; i++)
		if (!has_endpoint(sandbox->endpoints, sandbox->endpoint_count, &prepared->endpoints[i]))
			tell(change->daemon, "published", sandbox->id, &prepared->endpoints[i]);
}

static void finish(struct change *change)
{
	struct daemon *daemon = change->daemon;
	char id[SANDBOX_ID_MAX + 1];

	memcpy(id, change->sandbox->id, sizeof(id));
	tenant_of(change->sandbox)->busy = false;
	free(change);
	unpark(daemon, id);
}

static void refuse(struct change *change, const struct problem *problem)
{
	struct registry_patch *prepared = &change->prepared;

	close_others(prepared->endpoints, prepared->endpoint_count, change->sandbox->endpoints,
		     change->sandbox->endpoint_count, true);
	registry_patch_abort(change->daemon->registry, prepared);
	reply_problem(change->reply, problem);
	finish(change);
}

static void on_flushed(void *context, const struct err *err)
{
	struct change *change = context;

	if (err)
		log_error("flows not reset", F_STR("sandbox", change->sandbox->id), F_STR("error", err->text));
	tenant_refresh(change->sandbox);
	reply_json(change->reply, 200, wire_write_sandbox(change->sandbox, change->daemon->config));
	finish(change);
}

static void pause_sandbox(struct tenant *tenant)
{
	tenant->sandbox->paused = true;
	route_pause(tenant->route);
	tenant_settle(tenant, "paused");
}

static void resume_sandbox(struct tenant *tenant, bool keep)
{
	struct sandbox *sandbox = tenant->sandbox;

	sandbox->paused = false;
	sandbox->guest_answers = false; /* readiness is probed anew */
	route_resume(tenant->route, keep);
	tenant_settle(tenant, "resumed");
	fabric_recheck(tenant->daemon->fabric, sandbox->slot);
}

/* The request is in force: pause or resume as the last step, and answer. */
static void conclude(struct change *change)
{
	struct daemon *daemon = change->daemon;
	struct sandbox *sandbox = change->sandbox;
	struct tenant *tenant = tenant_of(sandbox);
	const struct wire_patch *asked = &change->asked;
	bool was_paused = sandbox->paused;

	if (asked->has_paused && asked->paused && !was_paused)
		pause_sandbox(tenant);
	if (asked->has_paused && !asked->paused && was_paused)
		resume_sandbox(tenant, !asked->reset_flows);
	struct err err;
	if (asked->has_paused && store_save(daemon->store, sandbox, &err) < 0)
		log_error("state not written", F_STR("sandbox", sandbox->id), F_STR("error", err.text));
	if (asked->has_paused && !asked->paused && was_paused && asked->reset_flows) {
		fabric_flush_flows(daemon->fabric, sandbox->slot, on_flushed, change);
		return;
	}
	tenant_refresh(sandbox);
	reply_json(change->reply, 200, wire_write_sandbox(sandbox, daemon->config));
	finish(change);
}

static void apply_fabric(struct change *change, fabric_done *done);

static void on_reverted(void *context, const struct err *err)
{
	struct change *change = context;

	if (err)
		log_error("former policy not restored; it is at the next repair", F_STR("sandbox", change->sandbox->id),
			  F_STR("error", err->text));
	reply_problem(change->reply, &change->problem);
	finish(change);
}

/* Puts the prepared request into the sandbox's record; afterwards PREPARED holds nothing. */
static int commit(struct change *change, struct err *err)
{
	struct sandbox *sandbox = change->sandbox;
	struct registry_patch *prepared = &change->prepared;
	struct spec *spec = sandbox->spec;
	struct endpoint *endpoints = sandbox->endpoints;
	size_t endpoint_count = sandbox->endpoint_count;

	/* The file is written from the record as it is going to be. */
	sandbox->spec = prepared->spec;
	sandbox->endpoints = prepared->endpoints;
	sandbox->endpoint_count = prepared->endpoint_count;
	int saved = store_save(change->daemon->store, sandbox, err);
	sandbox->spec = spec;
	sandbox->endpoints = endpoints;
	sandbox->endpoint_count = endpoint_count;
	if (saved < 0)
		return -1;
	tell_differences(change);
	close_others(sandbox->endpoints, sandbox->endpoint_count, prepared->endpoints, prepared->endpoint_count, true);
	registry_patch_commit(change->daemon->registry, prepared);
	return 0;
}

static void on_applied(void *context, const struct err *fabric_err)
{
	struct change *change = context;
	struct sandbox *sandbox = change->sandbox;
	struct err err;

	if (fabric_err) {
		log_error("sandbox not changed", F_STR("sandbox", sandbox->id), F_STR("error", fabric_err->text));
		problem_set(&change->problem, PROBLEM_INTERNAL, NULL, "%s", fabric_err->text);
		refuse(change, &change->problem);
		return;
	}
	if (commit(change, &err) < 0) {
		log_error("sandbox not changed", F_STR("sandbox", sandbox->id), F_STR("error", err.text));
		problem_set(&change->problem, PROBLEM_INTERNAL, NULL, "%s", err.text);
		close_others(change->prepared.endpoints, change->prepared.endpoint_count, sandbox->endpoints,
			     sandbox->endpoint_count, true);
		registry_patch_abort(change->daemon->registry, &change->prepared);
		apply_fabric(change, on_reverted);
		return;
	}
	route_set_limits(tenant_of(sandbox)->route, &sandbox->spec->limits);
	route_set_pace(tenant_of(sandbox)->route, sandbox->spec->bandwidth.from_guest.rate);
	default_endpoint_follow(change->daemon);
	conclude(change);
}

/* Brings the kernel to the prepared request, or, when that is gone, back to the one in force. */
static void apply_fabric(struct change *change, fabric_done *done)
{
	struct sandbox view = *change->sandbox;
	struct err err;

	if (change->prepared.spec) {
		view.spec = change->prepared.spec;
		view.endpoints = change->prepared.endpoints;
		view.endpoint_count = change->prepared.endpoint_count;
	}
	struct fabric_nat *nat = calloc(tenant_nat_max(view.endpoints, view.endpoint_count), sizeof(*nat));
	if (!nat) {
		err_set(&err, ENOMEM, "sandbox %s", view.id);
		done(change, &err);
		return;
	}
	struct fabric_plan plan = tenant_plan(&view, nat);
	fabric_update(change->daemon->fabric, &plan, done, change);
	free(nat);
}

static bool concerns_nat(const struct endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (endpoints[i].port.via == VIA_NAT)
			return true;
	return false;
}

static bool concerns_fabric(const struct change *change)
{
	const struct sandbox *sandbox = change->sandbox;

	if (spec_patch_gives(&change->asked, "egress") || spec_patch_gives(&change->asked, "bandwidth"))
		return true;
	return concerns_nat(sandbox->endpoints, sandbox->endpoint_count) ||
	       concerns_nat(change->prepared.endpoints, change->prepared.endpoint_count);
}

/*
 * Opens what is to be published, the last of the prepared endpoints: one of the others that is closed, since somebody took its
 * port over a restart, is tried again in its own time and is no fault of this request. Automatic ports that others hold are tried
 * around. Takes WANTED over in any case.
 */
static int prepare(struct change *change, struct spec *wanted, struct problem *problem)
{
	struct daemon *daemon = change->daemon;
	struct registry_patch *prepared = &change->prepared;

	for (unsigned tries = 0; tries < 64; tries++) {
		uint16_t taken = 0;

		if (registry_patch_prepare(daemon->registry, change->sandbox, wanted, prepared, problem) < 0)
			break;
		size_t kept = prepared->endpoint_count - change->asked.publish_count;
		if (endpoints_open(daemon, tenant_of(change->sandbox), prepared->endpoints + kept,
				   change->asked.publish_count, "/publish", &taken, problem) == 0)
			return 0;
		prepared->spec = NULL; /* is still WANTED */
		registry_patch_abort(daemon->registry, prepared);
		if (!taken)
			break;
		registry_avoid_port(daemon->registry, taken);
	}
	spec_free(wanted);
	return -1;
}

static int check_patchable(struct daemon *daemon, const struct sandbox *sandbox, struct problem *problem)
{
	if (daemon->state == DAEMON_STOPPING)
		return problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "weftd is stopping");
	if (sandbox->state == SANDBOX_DRAINING || sandbox->state == SANDBOX_FAILED)
		return problem_set(problem, PROBLEM_CONFLICT, "id", "sandbox %s is %s", sandbox->id,
				   sandbox_state_name(sandbox->state));
	return 0;
}

void daemon_patch(void *context, struct sandbox *sandbox, struct wire_patch *patch, struct reply *reply)
{
	struct daemon *daemon = context;
	struct problem problem;
	struct spec *wanted;
	struct change *change;

	if (check_patchable(daemon, sandbox, &problem) < 0) {
		reply_problem(reply, &problem);
		return;
	}
	if (tenant_of(sandbox)->busy) {
		park_patch(daemon, sandbox->id, patch, reply);
		return;
	}
	wanted = wire_apply_patch(sandbox, patch, &problem);
	change = wanted ? calloc(1, sizeof(*change)) : NULL;
	if (!change) {
		if (wanted)
			problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
		spec_free(wanted);
		reply_problem(reply, &problem);
		return;
	}
	*change = (struct change){ .daemon = daemon, .sandbox = sandbox, .reply = reply, .asked = *patch };
	if (prepare(change, wanted, &problem) < 0) {
		reply_problem(reply, &problem);
		free(change);
		return;
	}
	tenant_of(sandbox)->busy = true;
	if (concerns_fabric(change))
		apply_fabric(change, on_applied);
	else
		on_applied(change, NULL);
}
