/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket is a unix socket (base/socket_file), an HTTP server that nobody can stall (http/gate) and the routes (api).
 */
#include "control/control.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/socket_file.h"
#include "base/socket_follow.h"
#include "config/config.h"
#include "control/api.h"
#include "control/control_internal.h"
#include "control/events.h"
#include "control/reply.h"
#include "control/waits.h"
#include "http/gate.h"
#include "wire/write.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

struct control {
	struct socket_file socket;
	struct folder folder; /* of its file */
	struct http_gate *gate;
	struct api *api;
	struct control_keeper keeper; /* zeroed: none */
};

static void control_on_request(void *context, const struct http_request *request, struct http_exchange *exchange)
{
	struct control *control = context;
	struct control_reply *reply = control_reply_new(exchange, request);

	if (!reply)
		return;
	if (!request->has_creds || !base_socket_allows(&control->socket, request->fd, request->uid, request->gid))
		control_reply_refusal(reply, 403, NULL, "only root and members of the socket's group may call", NULL);
	else if (request->sender != SENDER_PROGRAM && !http_site_is_address(request->host))
		control_reply_refusal(reply, 403, NULL,
				      "a browser that asks here by another name than localhost may have been lured",
				      NULL);
	else
		control_api_handle(control->api, request, false, reply);
}

static const struct http_gate_ops gate_ops = { control_on_request, control_reply_refusal_text,
					       control_reply_problem_type, CONTROL_API_FIELD };

/* The socket that was kept, or a new one. 0, or -1 with ERR. */
static int control_open(struct control *control, const char *path, const char *group, struct err *err)
{
	const struct control_keeper *keeper = control_keeper(control);
	int kept;

	if (base_socket_prepare(&control->socket, path, "another weftd", SOMAXCONN, err) < 0)
		return -1;
	if (group && base_socket_set_group(&control->socket, group) < 0)
		return err_set(err, 0, "[daemon] socket_group = %s: no such group", group);
	kept = keeper ? keeper->take_unix(keeper->context, path) : -1;
	/* Several had this path where a file was deleted and a run was killed, and one at most leads to it now. */
	while (kept >= 0 && base_socket_take(&control->socket, kept, err) < 0) {
		log_info("control: a kept socket is not used", F_STR("why", err->text));
		keeper->closing(keeper->context, kept);
		cleanup_fd(&kept);
		kept = keeper->take_unix(keeper->context, path);
	}
	if (kept < 0 && base_socket_open(&control->socket, err) < 0)
		return -1;
	if (keeper)
		keeper->opened(keeper->context, control->socket.fd);
	return 0;
}

static void control_remove_file(struct control *control)
{
	const struct control_keeper *keeper = control_keeper(control);

	if (!keeper || !keeper->keeps(keeper->context, control->socket.fd))
		base_socket_unlink(&control->socket);
}

struct control *control_new(struct event_base *base, const char *path, const struct config *config,
			    struct registry *registry, const struct control_ops *ops, struct err *err)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control) {
		err_set(err, ENOMEM, "control socket");
		return NULL;
	}
	control->socket.fd = -1;
	if (ops->keeper)
		control->keeper = *ops->keeper;
	control->gate = http_gate_new(base, &gate_ops, control, err);
	if (control->gate)
		control->api = control_api_new(base, config, registry, ops, err);
	if (!control->api || control_open(control, path, config->daemon.socket_group, err) < 0)
		goto fail;
	if (http_gate_listen(control->gate, control->socket.fd, err) < 0) {
		control_remove_file(control);
		goto fail;
	}
	if (base_folder_note(&control->folder, path, err) < 0) {
		control_free(control);
		return NULL;
	}
	return control;

fail:
	http_gate_free(control->gate);
	control_api_free(control->api);
	free(control);
	return NULL;
}

void control_stop(struct control *control)
{
	if (control)
		control_api_stop(control->api);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	control_remove_file(control);
	control_api_stop(control->api);
	http_gate_free(control->gate);
	control_api_free(control->api);
	base_folder_clear(&control->folder);
	free(control);
}

size_t control_clients(const struct control *control)
{
	return http_gate_peers(control->gate);
}

/* The file is gone: a new socket takes the former one's place. */
static int control_put_file_back(struct control *control, struct err *err)
{
	const struct control_keeper *keeper = control_keeper(control);
	struct socket_file former = control->socket;

	if (base_socket_put_back(&control->socket, &control->folder, err) < 0)
		return -1;
	if (keeper)
		keeper->closing(keeper->context, former.fd);
	int replaced = http_gate_replace(control->gate, control->socket.fd, err);
	if (replaced < 0) {
		base_socket_unlink(&control->socket);
		control->socket = former;
	}
	if (keeper)
		keeper->opened(keeper->context, control->socket.fd);
	return replaced;
}

int control_follow_file(struct control *control, struct err *err)
{
	enum socket_file_state file;

	if (base_socket_look(&control->socket, &file, err) < 0)
		return -1;
	switch (file) {
	case SOCKET_FILE_IN_PLACE:
		return 0;
	case SOCKET_FILE_MENDED:
		return 1;
	case SOCKET_FILE_GONE:
		return control_put_file_back(control, err) < 0 ? -1 : 1;
	}
	return 0;
}

void control_loaded(struct control *control)
{
	control_api_loaded(control->api);
}

void control_adopted(struct control *control)
{
	control_api_adopted(control->api);
}

void control_state_changed(struct control *control, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			   uint64_t previous_ms)
{
	json_t *fields = json_pack("{s:s, s:s, s:s, s:I}", "from", registry_sandbox_state_name(from), "to",
				   registry_sandbox_state_name(sandbox->state), "cause", cause ? cause : "",
				   "previous_ms", (json_int_t)previous_ms);

	if (fields && *sandbox->reason && json_object_set_new(fields, "reason", wire_write_text(sandbox->reason)) < 0) {
		json_decref(fields);
		fields = NULL;
	}
	control_events_add(control_api_events(control->api), "state", sandbox->id, fields);
	control_waits_state_changed(control_api_waits(control->api), sandbox);
}

void control_sandbox_gone(struct control *control, const char *id)
{
	control_waits_gone(control_api_waits(control->api), id);
}

void control_event(struct control *control, const char *type, const char *id, json_t *fields)
{
	control_events_add(control_api_events(control->api), type, id, fields);
}

void control_event_host(struct control *control, const char *check, const char *status, const char *detail)
{
	control_event(control, "host", NULL,
		      json_pack("{s:s, s:s, s:s}", "check", check, "status", status, "detail", detail));
}

size_t control_event_readers(const struct control *control)
{
	return control_events_readers(control_api_events(control->api));
}

uint64_t control_events_lost(const struct control *control)
{
	return control_events_dropped(control_api_events(control->api));
}

const struct control_keeper *control_keeper(const struct control *control)
{
	return control->keeper.opened ? &control->keeper : NULL;
}

struct api *control_api(struct control *control)
{
	return control->api;
}
