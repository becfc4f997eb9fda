/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket is a unix socket (http/listen), an HTTP server that nobody can stall (http/gate) and the routes (api).
 */
#include "control/control.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "control/api.h"
#include "control/control_internal.h"
#include "control/events.h"
#include "control/reply.h"
#include "control/waits.h"
#include "http/gate.h"
#include "http/listen.h"

#include <errno.h>
#include <stdlib.h>

struct ctl {
	struct http_listen_socket socket;
	struct http_gate *gate;
	struct api *api;
};

static void ctl_on_request(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	struct ctl *control = context;
	struct ctl_reply *reply = ctl_reply_new(exchange, request);

	if (!reply)
		return;
	if (!request->has_creds || !http_listen_allows(&control->socket, request->fd, request->uid, request->gid))
		ctl_reply_refusal(reply, 403, NULL, "only root and members of the socket's group may call", NULL);
	else
		api_handle(control->api, request, false, reply);
}

static const struct http_gate_ops gate_ops = { ctl_on_request, ctl_reply_refusal_text, ctl_reply_problem_type };

struct ctl *ctl_new(struct event_base *base, const char *path, const struct config *config, struct registry *registry,
		    const struct ctl_ops *ops, struct err *err)
{
	struct ctl *control = calloc(1, sizeof(*control));

	if (!control) {
		err_set(err, ENOMEM, "control socket");
		return NULL;
	}
	control->socket.fd = -1;
	control->gate = http_gate_new(base, &gate_ops, control, err);
	if (control->gate)
		control->api = api_new(base, config, registry, ops, err);
	if (!control->api || http_listen_open(path, config->daemon.socket_group, &control->socket, err) < 0)
		goto fail;
	if (http_gate_listen(control->gate, control->socket.fd, err) < 0) {
		http_listen_unlink(&control->socket);
		goto fail;
	}
	return control;

fail:
	http_gate_free(control->gate);
	api_free(control->api);
	free(control);
	return NULL;
}

void ctl_free(struct ctl *control)
{
	if (!control)
		return;
	http_listen_unlink(&control->socket);
	api_stop(control->api);
	http_gate_free(control->gate);
	api_free(control->api);
	free(control);
}

void ctl_loaded(struct ctl *control)
{
	api_loaded(control->api);
}

void ctl_adopted(struct ctl *control)
{
	api_adopted(control->api);
}

void ctl_state_changed(struct ctl *control, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
		       uint64_t previous_ms)
{
	json_t *fields = json_pack("{s:s, s:s, s:s, s:I}", "from", sandbox_state_name(from), "to",
				   sandbox_state_name(sandbox->state), "cause", cause ? cause : "", "previous_ms",
				   (json_int_t)previous_ms);

	if (fields && *sandbox->reason)
		json_object_set_new(fields, "reason", json_string(sandbox->reason));
	events_add(api_events(control->api), "state", sandbox->id, fields);
	waits_state_changed(api_waits(control->api), sandbox);
}

void ctl_sandbox_gone(struct ctl *control, const char *id)
{
	waits_gone(api_waits(control->api), id);
}

void ctl_event(struct ctl *control, const char *type, const char *id, json_t *fields)
{
	events_add(api_events(control->api), type, id, fields);
}

struct api *ctl_api(struct ctl *control)
{
	return control->api;
}
