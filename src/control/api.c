/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is checked from the outside in: path, method, query, body; only then is it looked at whether the sandbox exists.
 * A change that is well-formed but comes while the daemon still adopts is parked as it was read, and runs afterwards. So is a
 * read that comes while not even all sandboxes are known: until then nobody can be told that one does not exist.
 */
#include "control/api.h"

#include "base/err.h"
#include "base/queue.h"
#include "config/config.h"
#include "control/events.h"
#include "control/page.h"
#include "control/reply.h"
#include "control/target.h"
#include "control/waits.h"
#include "registry/problem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PARKED_MAX = 1000 };

/* A change, or (GET) a read that has to wait. */
struct api_change {
	STAILQ_ENTRY(api_change) next; /* while parked */
	struct api *api;
	enum head_method method;
	struct ctl_target route;
	struct spec *spec;       /* PUT */
	struct wire_patch patch; /* PATCH */
	struct reply *reply;
};

struct api {
	const struct config *config;
	struct registry *registry;
	struct control_ops ops;
	struct waits *waits;
	struct events *events;
	STAILQ_HEAD(, api_change) parked;
	size_t parked_count;
};

/* ---- reads ---- */

static bool is_adopting(const struct api *api)
{
	return api->ops.adopting && api->ops.adopting(api->ops.context);
}

/* The sandbox as a client sees it now. */
static json_t *show(void *context, struct sandbox *sandbox)
{
	struct api *api = context;

	if (api->ops.refresh)
		api->ops.refresh(api->ops.context, sandbox);
	json_t *object = wire_write_sandbox(sandbox, api->config);
	if (object && is_adopting(api))
		json_object_set_new(object, "adopting", json_true());
	return object;
}

static bool has_labels(const struct sandbox *sandbox, const struct ctl_target *route)
{
	for (size_t i = 0; i < route->label_count; i++) {
		const struct ctl_label *wanted = &route->labels[i];
		bool found = false;
		for (size_t k = 0; k < sandbox->spec->label_count && !found; k++)
			found = !strcmp(sandbox->spec->labels[k].key, wanted->key) &&
				!strcmp(sandbox->spec->labels[k].value, wanted->value);
		if (!found)
			return false;
	}
	return true;
}

static void list_sandboxes(struct api *api, const struct ctl_target *route, struct reply *reply)
{
	json_t *sandboxes = json_array();

	for (struct sandbox *sandbox = registry_next(api->registry, 0); sandbox;
	     sandbox = registry_next(api->registry, sandbox->slot)) {
		if ((route->has_state && sandbox->state != route->state) || !has_labels(sandbox, route))
			continue;
		json_array_append_new(sandboxes, show(api, sandbox));
	}
	json_t *body = json_pack("{s:o}", "sandboxes", sandboxes);
	if (body && is_adopting(api))
		json_object_set_new(body, "adopting", json_true());
	reply_json(reply, 200, body);
}

static void refuse_unknown(const char *id, struct reply *reply)
{
	struct problem problem;

	problem_set(&problem, PROBLEM_NOT_FOUND, "id", "no sandbox %s", id);
	reply_problem(reply, &problem);
}

static void read_sandbox(struct api *api, const struct ctl_target *route, struct reply *reply)
{
	const struct control_ops *ops = &api->ops;
	struct sandbox *sandbox = registry_find(api->registry, route->id);

	if (!sandbox) {
		refuse_unknown(route->id, reply);
		return;
	}
	if (route->kind == CTL_TARGET_DIAGNOSIS)
		ops->diagnose(ops->context, sandbox, reply);
	else if (route->kind == CTL_TARGET_CONNECTIONS)
		ops->connections(ops->context, sandbox, reply);
	else if (route->kind == CTL_TARGET_REACH)
		ops->reach(ops->context, sandbox, route->destination, route->proto, route->port, reply);
	else if (route->has_wait)
		waits_add(api->waits, sandbox, route->wait, route->timeout_s, reply);
	else
		reply_json(reply, 200, show(api, sandbox));
}

static void read_route(struct api *api, const struct ctl_target *route, struct reply *reply)
{
	switch (route->kind) {
	case CTL_TARGET_SANDBOXES:
		list_sandboxes(api, route, reply);
		break;
	case CTL_TARGET_SANDBOX:
	case CTL_TARGET_DIAGNOSIS:
	case CTL_TARGET_CONNECTIONS:
	case CTL_TARGET_REACH:
		read_sandbox(api, route, reply);
		break;
	case CTL_TARGET_EVENTS:
		events_stream(api->events, route, reply);
		break;
	case CTL_TARGET_STATUS:
		api->ops.status(api->ops.context, reply);
		break;
	case CTL_TARGET_HEALTHZ:
		reply_text(reply, "text/plain; charset=utf-8", "ok\n", 3);
		break;
	case CTL_TARGET_METRICS:
		api->ops.metrics(api->ops.context, reply);
		break;
	case CTL_TARGET_PAGE:
		page_answer(reply);
		break;
	}
}

/* ---- changes ---- */

static void change_free(struct api_change *change)
{
	spec_free(change->spec);
	wire_patch_clear(&change->patch);
	free(change);
}

/* Reads the body. 0, or -1 with PROBLEM. */
static int change_read(struct api_change *change, const struct gate_request *request, struct problem *problem)
{
	const struct config *config = change->api->config;
	int result = -1;

	if (change->method == HEAD_DELETE)
		return 0;
	json_t *body = wire_parse_body(request->body, request->body_length, problem);
	if (!body)
		return -1;
	if (change->method == HEAD_PATCH) {
		result = wire_read_patch(body, config, &change->patch, problem);
	} else {
		change->spec = wire_read_spec(body, config, problem);
		if (change->spec)
			result = spec_check(change->spec, config, problem);
	}
	json_decref(body);
	return result;
}

/* Lets the daemon make the change, and frees it. */
static void change_run(struct api_change *change)
{
	const struct control_ops *ops = &change->api->ops;
	const struct ctl_target *route = &change->route;
	struct reply *reply = change->reply;

	if (!ctl_target_is_change(change->method)) {
		read_route(change->api, route, reply);
		change_free(change);
		return;
	}
	if (change->method == HEAD_PUT) {
		struct spec *spec = change->spec;
		change->spec = NULL;
		ops->register_sandbox(ops->context, route->id, spec, reply);
		change_free(change);
		return;
	}
	struct sandbox *sandbox = registry_find(change->api->registry, route->id);
	if (!sandbox)
		refuse_unknown(route->id, reply);
	else if (change->method == HEAD_DELETE)
		ops->unregister_sandbox(ops->context, sandbox, route->has_drain, route->drain_s * 1000, reply);
	else
		ops->patch_sandbox(ops->context, sandbox, &change->patch, reply);
	change_free(change);
}

static void change_unpark(struct api_change *change)
{
	STAILQ_REMOVE(&change->api->parked, change, api_change, next);
	change->api->parked_count--;
	reply_on_gone(change->reply, NULL, NULL);
}

static void change_refuse(struct api_change *change, const char *detail)
{
	struct problem problem;

	problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "%s", detail);
	reply_problem(change->reply, &problem);
	change_free(change);
}

/* Nothing was begun: a client that went away does not get what it no longer waits for. */
static void on_client_gone(void *context)
{
	struct api_change *change = context;

	change_unpark(change);
	change_refuse(change, "the client went away while weftd was adopting");
}

static void change_park(struct api_change *change)
{
	struct api *api = change->api;

	if (api->parked_count >= PARKED_MAX) {
		change_refuse(change, "weftd is still adopting, and 1000 requests wait already");
		return;
	}
	STAILQ_INSERT_TAIL(&api->parked, change, next);
	api->parked_count++;
	reply_on_gone(change->reply, on_client_gone, change);
}

/* NULL: there was no memory, and REPLY was told. */
static struct api_change *change_new(struct api *api, enum head_method method, const struct ctl_target *route,
				     struct reply *reply)
{
	struct problem problem;
	struct api_change *change = calloc(1, sizeof(*change));

	if (!change) {
		problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
		reply_problem(reply, &problem);
		return NULL;
	}
	change->api = api;
	change->method = method;
	change->route = *route;
	change->reply = reply;
	return change;
}

static void make_change(struct api *api, const struct gate_request *request, const struct ctl_target *route,
			struct reply *reply)
{
	struct problem problem = { .kind = PROBLEM_INTERNAL };
	struct api_change *change = change_new(api, request->method, route, reply);

	if (!change)
		return;
	if (change_read(change, request, &problem) < 0) {
		reply_problem(reply, &problem);
		change_free(change);
	} else if (is_adopting(api)) {
		change_park(change);
	} else {
		change_run(change);
	}
}

/* ---- the api ---- */

/* Whether the answer is right even while the sandboxes are not all known. */
static bool needs_no_sandboxes(enum ctl_target_kind kind)
{
	return kind == CTL_TARGET_HEALTHZ || kind == CTL_TARGET_STATUS || kind == CTL_TARGET_PAGE;
}

static void answer_read(struct api *api, enum head_method method, const struct ctl_target *route, struct reply *reply)
{
	bool loading = api->ops.loading && api->ops.loading(api->ops.context);
	struct api_change *held;

	if (!loading || needs_no_sandboxes(route->kind)) {
		read_route(api, route, reply);
		return;
	}
	held = change_new(api, method, route, reply);
	if (held)
		change_park(held);
}

/* A target with a blank or a byte that is not ASCII: whatever path it was meant to be, it must not be guessed. */
static void refuse_unprintable(const struct gate_request *request, struct reply *reply)
{
	static const char prefix[] = "/v1/sandboxes/";
	bool in_id = request->target_length >= sizeof(prefix) - 1 &&
		     !memcmp(request->target, prefix, sizeof(prefix) - 1) &&
		     !memchr(request->target, '?', request->target_length);

	reply_refusal(reply, 400, in_id ? "id" : NULL, "the target has a blank or a byte that must be escaped in it",
		      NULL);
}

void api_handle(struct api *api, const struct gate_request *request, bool read_only, struct reply *reply)
{
	struct problem problem = { 0 };
	struct ctl_target route;

	if (!request->printable) {
		refuse_unprintable(request, reply);
		return;
	}
	int result = ctl_target_parse(request->method, request->target, request->target_length, &route, &problem);
	if (problem.kind != PROBLEM_NOT_FOUND && route.kind == CTL_TARGET_PAGE && !read_only)
		result = problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "no such path");
	if (result < 0) {
		if (problem.kind == PROBLEM_NOT_ALLOWED)
			reply_refusal(reply, 405, NULL, problem.detail,
				      read_only ? "GET, HEAD" : ctl_target_allow(&route));
		else
			reply_problem(reply, &problem);
		return;
	}
	if (!ctl_target_is_change(request->method))
		answer_read(api, request->method, &route, reply);
	else if (read_only)
		reply_refusal(reply, 405, NULL, "changes are made over the control socket", "GET, HEAD");
	else
		make_change(api, request, &route, reply);
}

struct api *api_new(struct event_base *base, const struct config *config, struct registry *registry,
		    const struct control_ops *ops, struct err *err)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		goto no_memory;
	api->config = config;
	api->registry = registry;
	api->ops = *ops;
	STAILQ_INIT(&api->parked);
	api->waits = waits_new(base, show, api);
	if (!api->waits)
		goto no_memory;
	api->events = events_new(base, registry, show, api, err);
	if (api->events)
		return api;
	waits_free(api->waits);
	free(api);
	return NULL;

no_memory:
	free(api);
	err_set(err, ENOMEM, "control socket");
	return NULL;
}

void api_stop(struct api *api)
{
	waits_stop(api->waits);
	while (!STAILQ_EMPTY(&api->parked)) {
		struct api_change *change = STAILQ_FIRST(&api->parked);
		change_unpark(change);
		change_refuse(change, "weftd is stopping");
	}
}

void api_free(struct api *api)
{
	if (!api)
		return;
	api_stop(api);
	waits_free(api->waits);
	events_free(api->events);
	free(api);
}

static struct api_change *first_held_read(struct api *api)
{
	struct api_change *change;

	STAILQ_FOREACH(change, &api->parked, next)
	{
		if (!ctl_target_is_change(change->method))
			return change;
	}
	return NULL;
}

void api_loaded(struct api *api)
{
	struct api_change *change;

	while ((change = first_held_read(api))) {
		change_unpark(change);
		change_run(change);
	}
}

void api_adopted(struct api *api)
{
	while (!STAILQ_EMPTY(&api->parked)) {
		struct api_change *change = STAILQ_FIRST(&api->parked);
		change_unpark(change);
		change_run(change);
	}
}

struct waits *api_waits(struct api *api)
{
	return api->waits;
}

struct events *api_events(struct api *api)
{
	return api->events;
}
