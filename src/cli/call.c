/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where the outcome of a call becomes an exit code, and an errno becomes advice.
 */
#include "cli/call.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/place.h"
#include "cli/print_text.h"
#include "health/process.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_WAIT_MS = 2000 };

/* How to go on when the daemon could not be reached. */
static const char *cli_advice_for(int code)
{
	switch (code) {
	case ENOENT:
		return "weftd is not running, or has its socket elsewhere (--socket). To start it: systemctl start "
		       "weftd";
	case ENOTSOCK:
	case ENAMETOOLONG:
	case ENOTDIR:
		return "weftd's control socket is " ARGS_SOCKET_DEFAULT " unless it was started with another --socket";
	case ECONNREFUSED:
		return "Nobody listens there: weftd has ended, or something else is in its socket's place. Which: "
		       "systemctl status weftd; to start it: systemctl start weftd";
	case EACCES:
	case EPERM:
		return "root and the members of the socket's group may ask weftd: use sudo, or join that group";
	default:
		return "What weftd says: journalctl -u weftd";
	}
}

/* The daemon's status, if it comes soon; NULL: it does not. */
static json_t *cli_ask_status(const struct cli *cli)
{
	const struct client_request request = {
		.socket = cli->socket,
		.agent = "weftctl",
		.method = "GET",
		.target = "/v1/status",
		.timeout_ms = cli->deadline_ms < STATUS_WAIT_MS ? cli->deadline_ms : STATUS_WAIT_MS,
	};
	struct client_refusal refusal = { 0 };
	struct err ignored;
	json_t *status = NULL;

	if (client_ask(&request, &status, &refusal, &ignored) == CLIENT_REFUSED)
		client_refusal_clear(&refusal);
	return status;
}

/* The process in the text "weftd (process 12) does not answer"; 0: none. */
static int cli_process_of(const struct err *err)
{
	const char *place = strstr(err->text, "(process ");

	return place ? atoi(place + strlen("(process ")) : 0;
}

/* A daemon that answers its status is at work, and holds the request back. */
static int cli_report_busy(const struct cli *cli, const json_t *status, const struct err *silence)
{
	const char *rest = strstr(silence->text, " does not answer");
	int named = rest ? (int)(rest - silence->text) : 0;
	const char *state = client_text(status, "state");
	json_int_t deleting = client_number(json_object_get(status, "pool"), "deleting");
	char doing[160] = "runs, and has not finished that in time";

	if (strcmp(state, "adopting") == 0)
		snprintf(
		    doing, sizeof(doing),
		    "still takes over the sandboxes of its former run, and holds all else back until it is through");
	else if (strcmp(state, "stopping") == 0)
		snprintf(doing, sizeof(doing), "is stopping, and lets connections end");
	else if (deleting)
		snprintf(doing, sizeof(doing), "runs, and has not finished that in time: %lld slot%s being taken apart",
			 (long long)deleting, deleting == 1 ? " is" : "s are");
	return cli_fail(cli, CLI_UNREACHABLE,
			"%.*s %s\nHow far it is: weftctl status. To give it longer: --deadline SECONDS.", named,
			silence->text, doing);
}

/* No answer came in time: the daemon is busy, or kept from running, or hangs. */
static int cli_report_silence(const struct cli *cli, const struct err *err)
{
	struct health_process process = { 0 };
	int pid = cli_process_of(err);
	json_t *status = cli_ask_status(cli);

	if (status) {
		int code = cli_report_busy(cli, status, err);
		json_decref(status);
		return code;
	}
	if (pid)
		health_process_look_here(pid, &process);
	if (process.fix[0])
		return cli_fail(cli, CLI_UNREACHABLE, "%s: %s\nTo end that: %s", err->text, process.state, process.fix);
	return cli_fail(cli, CLI_UNREACHABLE,
			"%s\nWhat it says: journalctl -u weftd. To give it longer: --deadline SECONDS.", err->text);
}

int cli_report_failure(const struct cli *cli, const struct err *err)
{
	if (err->code == EPROTO)
		return cli_fail(cli, CLI_FAILED, "%s: %s\nIs that weftd's control socket?", cli->socket, err->text);
	if (err->code == EBADMSG)
		return cli_fail(cli, CLI_FAILED, "%s: %s", cli->socket, err->text);
	if (err->code == ENOMEM)
		return cli_fail(cli, CLI_FAILED, "%s", err->text);
	if (err->code == ETIMEDOUT)
		return cli_report_silence(cli, err);
	return cli_fail(cli, CLI_UNREACHABLE, "%s%s%s\n%s.", strstr(err->text, cli->socket) ? "" : cli->socket,
			strstr(err->text, cli->socket) ? "" : ": ", err->text, cli_advice_for(err->code));
}

/* How to go on when there is no sandbox ID; STRICT as of cli_ids_close(). The caller frees. */
static char *cli_advice_for_id(const struct cli *cli, const char *id, bool strict)
{
	json_t *all = cli_ids_list(cli), *found = cli_ids_beginning(all, id);
	const char *close = cli_ids_close(all, id, strict);
	char *advice = NULL;
	int length;

	if (json_array_size(found)) {
		AUTO_FREE char *candidates = cli_ids_text(found);
		length = asprintf(&advice, "\nIts beginning is that of: %s", candidates);
	} else if (close) {
		length = asprintf(&advice, "\nDid you mean '%s'? Those that exist: weftctl ls", close);
	} else {
		length = asprintf(&advice, "\nThose that exist: weftctl ls");
	}
	if (length < 0)
		abort();
	json_decref(found);
	json_decref(all);
	return advice;
}

/* Whether DETAIL begins with the argument that PLACE ends with, and would say it twice. */
static bool cli_detail_names(const char *detail, const char *place)
{
	static const char port[] = "guest port ";
	const char *space = strrchr(place, ' ');
	size_t length = space ? strlen(space + 1) : 0;

	if (strncmp(detail, port, strlen(port)) == 0)
		detail += strlen(port);
	return length && strcspn(detail, " ") == length && memcmp(detail, space + 1, length) == 0;
}

/* Reports a refusal of a request with BODY. HARM: it would have changed the sandbox. */
static int cli_report_refusal_of(const struct cli *cli, const struct client_refusal *refusal, const char *body,
				 size_t length, bool harm)
{
	AUTO_FREE char *found = cli_place_text(cli, refusal->field, body, length);
	const char *place = cli_detail_names(refusal->detail, found) ? "" : found;
	bool names_id = refusal->no_sandbox && cli->args->operand_count;
	AUTO_FREE char *advice =
	    names_id ? cli_advice_for_id(cli, cli->subject ? cli->subject : cli->args->operands[0], harm) : NULL;
	char status[32] = "";
	const char *next = "";

	if (refusal->problem && cli->json)
		cli_print_json(refusal->problem);
	if (advice)
		next = advice;
	else if (strcmp(refusal->field, "id") == 0 && strcmp(cli->args->command->name, "register") == 0)
		next = "\nTo change it: weftctl set, publish, unpublish, policy, default; to begin anew: weftctl "
		       "unregister";
	else if (refusal->status == 503)
		next = "\nHow the daemon is: weftctl status";
	else if (refusal->status >= 500)
		next = "\nWhat the daemon says: journalctl -u weftd; what the host lacks: weftctl doctor";
	/* A problem of weftd's says all in words. */
	if (!refusal->problem)
		snprintf(status, sizeof(status), " (HTTP %u)", refusal->status);
	return cli_fail(cli, refusal->no_sandbox ? CLI_NO_SANDBOX : CLI_FAILED, "%s%s%s%s%s", place, *place ? ": " : "",
			refusal->detail, status, next);
}

int cli_report_refusal(const struct cli *cli, const struct client_refusal *refusal)
{
	return cli_report_refusal_of(cli, refusal, NULL, 0, false);
}

static enum client_result cli_ask(const struct cli *cli, struct client_request request, json_t **answer,
				  struct client_refusal *refusal, struct err *err)
{
	request.socket = cli->socket;
	request.agent = "weftctl";
	request.timeout_ms += cli->deadline_ms;
	return client_ask(&request, answer, refusal, err);
}

/* Makes a call for CLI. False: *CODE is the exit code; true: the daemon refused, see REFUSAL, which is to be cleared. */
static bool cli_is_refused(const struct cli *cli, struct client_request request, json_t **answer,
			   struct client_refusal *refusal, int *code)
{
	struct err err;

	switch (cli_ask(cli, request, answer, refusal, &err)) {
	case CLIENT_DONE:
		*code = CLI_DONE;
		return false;
	case CLIENT_REFUSED:
		return true;
	case CLIENT_FAILED:
		*code = cli_report_failure(cli, &err);
		return false;
	}
	return false;
}

int cli_send(const struct cli *cli, const char *method, const char *target, const char *body, size_t length,
	     unsigned wait_ms, json_t **answer)
{
	struct client_request request = {
		.method = method, .target = target, .body = body, .body_length = length, .timeout_ms = wait_ms
	};
	struct client_refusal refusal;
	int code = CLI_DONE;

	if (cli_is_refused(cli, request, answer, &refusal, &code)) {
		code = cli_report_refusal_of(cli, &refusal, body, length, true);
		client_refusal_clear(&refusal);
	}
	return code;
}

/* Makes ID the whole id if it is the beginning of one alone. */
static bool cli_complete_id(const struct cli *cli, struct cli_id *id)
{
	json_t *all = cli_ids_list(cli), *found = cli_ids_beginning(all, id->text);
	bool unique = json_array_size(found) == 1;

	if (unique)
		snprintf(id->text, sizeof(id->text), "%s", client_text(json_array_get(found, 0), "id"));
	json_decref(found);
	json_decref(all);
	return unique;
}

enum client_result cli_ask_sandbox(const struct cli *cli, struct cli_id *id, unsigned wait_ms, const char *suffix,
				   json_t **answer, struct client_refusal *refusal, struct err *err)
{
	bool completed = false;

	for (;;) {
		AUTO_FREE char *target = NULL;
		if (asprintf(&target, "/v1/sandboxes/%s%s", id->text, suffix) < 0)
			abort();
		struct client_request request = { .method = "GET", .target = target, .timeout_ms = wait_ms };
		*refusal = (struct client_refusal){ 0 };
		enum client_result result = cli_ask(cli, request, answer, refusal, err);
		completed = result == CLIENT_REFUSED && !completed && refusal->no_sandbox && cli_complete_id(cli, id);
		if (!completed)
			return result;
		client_refusal_clear(refusal);
	}
}

int cli_get_sandbox(const struct cli *cli, struct cli_id *id, unsigned wait_ms, json_t **answer, const char *suffix,
		    ...)
{
	struct client_refusal refusal;
	struct err err;
	int code = CLI_DONE;
	va_list args;

	va_start(args, suffix);
	AUTO_FREE char *rest = cli_text_format(suffix, args);
	va_end(args);
	switch (cli_ask_sandbox(cli, id, wait_ms, rest, answer, &refusal, &err)) {
	case CLIENT_DONE:
		break;
	case CLIENT_REFUSED:
		code = cli_report_refusal(cli, &refusal);
		break;
	case CLIENT_FAILED:
		code = cli_report_failure(cli, &err);
		break;
	}
	client_refusal_clear(&refusal);
	return code;
}

int cli_call(const struct cli *cli, const char *method, const char *target, const json_t *body, unsigned wait_ms,
	     json_t **answer)
{
	AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (body && !text)
		abort();
	return cli_send(cli, method, target, text, text ? strlen(text) : 0, wait_ms, answer);
}

int cli_get(const struct cli *cli, json_t **answer, const char *target, ...)
{
	va_list args;

	va_start(args, target);
	AUTO_FREE char *text = cli_text_format(target, args);
	va_end(args);
	return cli_call(cli, "GET", text, NULL, 0, answer);
}

int cli_patch(const struct cli *cli, const char *id, json_t *body, json_t **answer)
{
	AUTO_FREE char *target = NULL;

	*answer = NULL;
	if (asprintf(&target, "/v1/sandboxes/%s", id) < 0)
		abort();
	int code = cli_call(cli, "PATCH", target, body, 0, answer);
	json_decref(body);
	if (code == CLI_DONE && cli->json)
		cli_print_json(*answer);
	return code;
}

char *cli_escape(const char *text)
{
	char *escaped = client_escape(text);

	if (!escaped)
		abort();
	return escaped;
}

int cli_print_json(const json_t *json)
{
	if (json) {
		json_dumpf(json, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	return CLI_DONE;
}
