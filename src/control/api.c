/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is checked from the outside in: path, method, query, body; only then the sandbox is looked up.
 * A well-formed change that comes while the daemon still adopts is parked as it was read, and runs afterwards. So is a read that
 * comes before all sandboxes are known: until then no client may get the answer that one does not exist.
 */
#include "control/api.h"

#include "base/err.h"
#include "config/config.h"
#include "control/events.h"
#include "control/page.h"
#include "control/park.h"
#include "control/reply.h"
#include "control/target.h"
#include "control/waits.h"
#include "registry/problem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PARKED_MAX = 1000,
	PARKED_READERS_MAX = 64, /* over TCP, where anybody may ask */
};

struct api {
	const struct config *config;
	struct registry *registry;
	struct control_ops ops;
	struct waits *waits;
	struct events *events;
	struct control_park parked, parked_readers; /* of the socket, of TCP */
};

/* ---- reads ---- */

static bool control_api_is_adopting(const struct api *api)
{
	return api->ops.adopting && api->ops.adopting(api->ops.context);
}

static bool control_api_is_loading(const struct api *api)
{
	return api->ops.loading && api->ops.loading(api->ops.context);
}

/* OBJECT, which may be NULL, says if weftd is still adopting. NULL for want of memory. */
static json_t *control_api_mark_adopting(const struct api *api, json_t *object)
{
	if (!object || !control_api_is_adopting(api) || json_object_set_new(object, "adopting", json_true()) == 0)
		return object;
	json_decref(object);
	return NULL;
}

/* The sandbox as a client sees it now. NULL for want of memory. */
static json_t *control_api_show(void *context, struct sandbox *sandbox)
{
	struct api *api = context;

	if (api->ops.refresh)
		api->ops.refresh(api->ops.context, sandbox);
	return control_api_mark_adopting(api, wire_write_sandbox(sandbox, api->config));
}

static bool control_api_has_labels(const struct sandbox *sandbox, const struct control_target *target)
{
	for (size_t i = 0; i < target->label_count; i++) {
		const struct control_label *wanted = &target->labels[i];
		bool found = false;
		for (size_t k = 0; k < sandbox->spec->label_count && !found; k++)
			found = !strcmp(sandbox->spec->labels[k].key, wanted->key) &&
				!strcmp(sandbox->spec->labels[k].value, wanted->value);
		if (!found)
			return false;
	}
	return true;
}

/* The same, as readers over TCP may see it with READ_ONLY. */
static json_t *control_api_show_to(void *context, struct sandbox *sandbox, bool read_only)
{
	json_t *shown = control_api_show(context, sandbox);

	if (read_only)
		wire_hide_token(shown);
	return shown;
}

/* The sandboxes that REQUEST asks for. NULL for want of memory. */
static json_t *control_api_list(struct api *api, const struct control_request *request)
{
	const struct control_target *target = &request->target;
	json_t *sandboxes = json_array();

	for (struct sandbox *sandbox = registry_next(api->registry, 0); sandbox;
	     sandbox = registry_next(api->registry, sandbox->slot)) {
		if ((target->has_state && sandbox->state != target->state) ||
		    (target->wake_asked && !registry_sandbox_is_asked(sandbox)) ||
		    !control_api_has_labels(sandbox, target))
			continue;
		if (json_array_append_new(sandboxes, control_api_show_to(api, sandbox, request->read_only)) < 0) {
			json_decref(sandboxes);
			return NULL;
		}
	}
	return sandboxes;
}

static void control_api_list_sandboxes(struct api *api, struct control_request *request)
{
	json_t *body = json_pack("{s:o}", "sandboxes", control_api_list(api, request));

	control_request_answer(request, 200, control_api_mark_adopting(api, body));
}

static void control_api_show_sandbox(struct api *api, struct control_request *request)
{
	struct sandbox *sandbox = control_request_sandbox(request, api->registry);

	if (!sandbox)
		return;
	if (request->target.has_wait) {
		enum sandbox_state wanted = request->target.wait;
		unsigned timeout_s = request->target.timeout_s;

		control_waits_add(api->waits, sandbox, wanted, timeout_s, control_api_is_adopting(api),
				  control_request_release(request));
		return;
	}
	control_request_answer(request, 200, control_api_show_to(api, sandbox, request->read_only));
}

static void control_api_show_page(struct control_request *request)
{
	bool over_socket = !request->read_only;

	control_page_answer(control_request_release(request), over_socket);
}

static void control_api_read(void *context, struct control_request *request)
{
	struct api *api = context;
	const struct control_ops *ops = &api->ops;

	switch (request->target.kind) {
	case CONTROL_TARGET_SANDBOXES:
		control_api_list_sandboxes(api, request);
		break;
	case CONTROL_TARGET_SANDBOX:
		control_api_show_sandbox(api, request);
		break;
	case CONTROL_TARGET_DIAGNOSIS:
		(request->read_only || request->target.last ? ops->last_diagnosis : ops->diagnose)(ops->context,
												   request);
		break;
	case CONTROL_TARGET_CONNECTIONS:
		ops->connections(ops->context, request);
		break;
	case CONTROL_TARGET_REACH:
		ops->reach(ops->context, request);
		break;
	case CONTROL_TARGET_EVENTS:
		control_events_stream(api->events, request);
		break;
	case CONTROL_TARGET_STATUS:
		ops->status(ops->context, request);
		break;
	case CONTROL_TARGET_HEALTHZ:
		control_reply_text(control_request_release(request), "text/plain; charset=utf-8", "ok\n", 3);
		break;
	case CONTROL_TARGET_METRICS:
		ops->metrics(ops->context, request);
		break;
	case CONTROL_TARGET_DOCTOR:
		(request->read_only || request->target.last ? ops->last_findings : ops->examine)(ops->context, request);
		break;
	case CONTROL_TARGET_RATES:
		ops->rates(ops->context, request);
		break;
	case CONTROL_TARGET_PAGE:
		control_api_show_page(request);
		break;
	case CONTROL_TARGET_WAKE: /* is for POST alone */
		break;
	}
}

/* ---- changes ---- */

/* Reads the body. 0, or -1 with PROBLEM. */
static int control_api_read_body(struct api *api, const struct http_request *asked, struct control_request *request,
				 struct problem *problem)
{
	int result = -1;

	if (request->method == HTTP_DELETE)
		return 0;
	json_t *body = wire_parse_body(asked->body, asked->body_length, problem);
	if (!body)
		return -1;
	if (request->method == HTTP_POST) {
		result = wire_read_nothing(body, problem);
	} else if (request->method == HTTP_PATCH) {
		result = wire_read_patch(body, api->config, &request->patch, problem);
	} else {
		request->spec = wire_read_spec(body, api->config, problem);
		if (request->spec)
			result = registry_spec_check(request->spec, api->config, problem);
	}
	json_decref(body);
	return result;
}

/* Lets the daemon make the change. */
static void control_api_change(void *context, struct control_request *request)
{
	struct api *api = context;
	const struct control_ops *ops = &api->ops;

	if (request->method == HTTP_PUT)
		ops->register_sandbox(ops->context, request);
	else if (request->method == HTTP_DELETE)
		ops->unregister_sandbox(ops->context, request);
	else if (request->method == HTTP_POST)
		ops->wake(ops->context, request);
	else
		ops->patch_sandbox(ops->context, request);
}

static void control_api_park(struct api *api, struct control_request *request, control_serve *run)
{
	struct control_park *park = request->read_only ? &api->parked_readers : &api->parked;

	if (park->count < (request->read_only ? PARKED_READERS_MAX : PARKED_MAX))
		control_park_add(park, request, run, api);
	else
		control_request_refuse_unavailable(request,
						   "weftd is still adopting, and too many requests wait already");
}

/* ---- the api ---- */

/* Whether the answer is right even while the sandboxes are not all known. */
static bool control_api_needs_no_sandboxes(enum control_target_kind kind)
{
	return kind == CONTROL_TARGET_HEALTHZ || kind == CONTROL_TARGET_STATUS || kind == CONTROL_TARGET_PAGE ||
	       kind == CONTROL_TARGET_DOCTOR;
}

/* Whether the kernel is asked about a slot, which has to be taken over before. */
static bool control_api_needs_slot(enum control_target_kind kind)
{
	return kind == CONTROL_TARGET_REACH;
}

static void control_api_handle_read(void *context, struct control_request *request)
{
	struct api *api = context;
	enum control_target_kind kind = request->target.kind;

	if ((control_api_is_loading(api) && !control_api_needs_no_sandboxes(kind)) ||
	    (control_api_is_adopting(api) && control_api_needs_slot(kind)))
		control_api_park(api, request, control_api_handle_read);
	else
		control_api_read(api, request);
}

static void control_api_handle_change(struct api *api, const struct http_request *asked,
				      struct control_request *request)
{
	struct problem problem = { .kind = PROBLEM_INTERNAL };

	if (control_api_read_body(api, asked, request, &problem) < 0)
		control_request_refuse(request, &problem);
	else if (control_api_is_adopting(api))
		control_api_park(api, request, control_api_change);
	else
		control_api_change(api, request);
}

/* A target with a blank or a byte that is not ASCII: its meaning must not be guessed. */
static void control_api_refuse_unprintable(const struct http_request *asked, struct control_reply *reply)
{
	static const char prefix[] = "/v1/sandboxes/";
	bool in_id = asked->target_length >= sizeof(prefix) - 1 && !memcmp(asked->target, prefix, sizeof(prefix) - 1) &&
		     !memchr(asked->target, '?', asked->target_length);

	control_reply_refusal(reply, 400, in_id ? "id" : NULL,
			      "the target has a blank or a byte that must be escaped in it", NULL);
}

/* Reads method and target. 0, or -1: REQUEST was refused. */
static int control_api_read_target(const struct http_request *asked, bool read_only, struct control_request *request)
{
	struct problem problem = { 0 };
	struct control_target *target = &request->target;

	request->method = asked->method;
	request->read_only = read_only;
	int result = control_target_parse(asked->method, asked->target, asked->target_length, target, &problem);
	/* Until it is found, by the name that the caller has for it. */
	if (target->id[0])
		control_reply_concern(request->reply, target->id);
	if (result == 0)
		return 0;
	const char *allow = read_only ? "GET, HEAD" : control_target_allow(target);
	if (problem.kind == PROBLEM_NOT_ALLOWED)
		control_reply_refusal(control_request_release(request), 405, NULL, problem.detail, allow);
	else
		control_request_refuse(request, &problem);
	return -1;
}

/* A page of another site lets its reader's browser ask. Only a link to the status page is followed. */
static bool control_api_is_foreign(const struct http_request *asked)
{
	bool reads = asked->method == HTTP_GET || asked->method == HTTP_HEAD;
	bool page = asked->target_length == 1 && asked->target[0] == '/';

	return asked->sender == SENDER_FOREIGN || (asked->sender == SENDER_LINK && !(reads && page));
}

void control_api_handle(struct api *api, const struct http_request *asked, bool read_only, struct control_reply *reply)
{
	struct control_request *request;

	if (control_api_is_foreign(asked)) {
		control_reply_refusal(reply, 403, NULL, "a page of another site may not ask", NULL);
		return;
	}

	if (!asked->printable) {
		control_api_refuse_unprintable(asked, reply);
		return;
	}
	request = control_request_new(reply);
	if (!request || control_api_read_target(asked, read_only, request) < 0)
		return;
	if (read_only && request->target.has_wait)
		control_reply_refusal(control_request_release(request), 403, "wait",
				      "nobody waits over TCP: ask over the control socket, or follow /v1/events", NULL);
	else if (read_only && request->target.kind == CONTROL_TARGET_DIAGNOSIS && request->target.destination)
		control_reply_refusal(control_request_release(request), 403, "to",
				      "no diagnosis is made over TCP: ask over the control socket", NULL);
	else if (!control_target_is_change(request->method))
		control_api_handle_read(api, request);
	else if (read_only)
		control_reply_refusal(control_request_release(request), 405, NULL,
				      "changes are made over the control socket", "GET, HEAD");
	else
		control_api_handle_change(api, asked, request);
}

struct api *control_api_new(struct event_base *base, const struct config *config, struct registry *registry,
			    const struct control_ops *ops, struct err *err)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		goto no_memory;
	api->config = config;
	api->registry = registry;
	api->ops = *ops;
	control_park_init(&api->parked, "the client went away while weftd was adopting");
	control_park_init(&api->parked_readers, api->parked.left);
	api->waits = control_waits_new(base, control_api_show, api);
	if (!api->waits)
		goto no_memory;
	api->events = control_events_new(base, registry, control_api_show_to, api, err);
	if (api->events)
		return api;
	control_waits_free(api->waits);
	free(api);
	return NULL;

no_memory:
	free(api);
	err_set(err, ENOMEM, "control socket");
	return NULL;
}

void control_api_stop(struct api *api)
{
	control_events_stop(api->events);
	control_waits_stop(api->waits);
	control_park_refuse_all(&api->parked, "weftd is stopping");
	control_park_refuse_all(&api->parked_readers, "weftd is stopping");
}

void control_api_free(struct api *api)
{
	if (!api)
		return;
	control_api_stop(api);
	control_waits_free(api->waits);
	control_events_free(api->events);
	free(api);
}

void control_api_loaded(struct api *api)
{
	control_park_run_reads(&api->parked);
	control_park_run_reads(&api->parked_readers);
}

void control_api_adopted(struct api *api)
{
	control_waits_adopted(api->waits, api->registry);
	control_park_run_all(&api->parked);
	control_park_run_all(&api->parked_readers);
}

struct waits *control_api_waits(struct api *api)
{
	return api->waits;
}

struct events *control_api_events(struct api *api)
{
	return api->events;
}
