/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where an HTTP status becomes an exit code and an errno becomes advice.
 */
#include "cli/call.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/print_text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* What somebody can do who could not reach the daemon. */
static const char *advice_for(int code)
{
	switch (code) {
	case ENOENT:
		return "weftd is not running, or has its socket elsewhere (--socket). To start it: systemctl start "
		       "weftd";
	case ECONNREFUSED:
		return "The socket is there but nobody listens: weftd has ended. To start it: systemctl start weftd";
	case EACCES:
	case EPERM:
		return "root and the members of the socket's group may ask weftd: use sudo, or join that group";
	default:
		return "weftd does not answer. What it says: journalctl -u weftd";
	}
}

int api_unreachable(const struct cli *cli, const struct err *err)
{
	if (err->code == EPROTO)
		return cli_fail(cli, CLI_FAILED, "%s: %s\nIs that weftd's control socket?", cli->socket, err->text);
	return cli_fail(cli, CLI_UNREACHABLE, "%s%s%s\n%s.", strstr(err->text, cli->socket) ? "" : cli->socket,
			strstr(err->text, cli->socket) ? "" : ": ", err->text, advice_for(err->code));
}

int api_refused(const struct cli *cli, const struct client_answer *answer)
{
	json_t *problem = answer->body ? json_loadb(answer->body, answer->length, JSON_DECODE_ANY, NULL) : NULL;
	const char *detail = api_text(problem, "detail");
	const char *field = api_text(problem, "field");
	/* A field inside the body is not there: that is not about the sandbox. */
	bool no_sandbox = answer->status == 404 && field[0] != '/';
	int code = no_sandbox ? CLI_NO_SANDBOX : CLI_FAILED;

	if (!*detail)
		detail = api_text(problem, "title");
	if (!*detail)
		detail = "the daemon gave no reason";
	if (problem && cli->json)
		api_print(problem);

	const char *next = "";
	if (no_sandbox)
		next = "\nThose that exist: weftctl ls";
	else if (answer->status == 503)
		next = "\nHow the daemon is: weftctl status";
	else if (answer->status >= 500)
		next = "\nWhat the daemon says: journalctl -u weftd; what the host lacks: weftctl doctor";
	cli_fail(cli, code, "%s%s%s (HTTP %u)%s", *field ? field : "", *field ? ": " : "", detail, answer->status,
		 next);
	json_decref(problem);
	return code;
}

/* Makes JSON of a successful answer. */
static int read_answer(const struct cli *cli, const struct client_answer *answer, json_t **json)
{
	json_error_t error;

	if (json)
		*json = NULL;
	if (!answer->length || !json)
		return CLI_DONE;
	*json = json_loadb(answer->body, answer->length, JSON_REJECT_DUPLICATES, &error);
	if (!*json)
		return cli_fail(cli, CLI_FAILED, "%s: the answer is no JSON: %s", cli->socket, error.text);
	return CLI_DONE;
}

int api_send(const struct cli *cli, const char *method, const char *target, const char *body, size_t length,
	     unsigned timeout_ms, json_t **json)
{
	struct client_request request = { .socket = cli->socket,
					  .method = method,
					  .target = target,
					  .body = body,
					  .body_length = length,
					  .timeout_ms = timeout_ms };
	struct client_answer answer;
	struct err err;
	int code;

	if (client_call(&request, &answer, &err) < 0)
		return api_unreachable(cli, &err);
	if (answer.status >= 200 && answer.status < 300)
		code = read_answer(cli, &answer, json);
	else
		code = api_refused(cli, &answer);
	client_answer_clear(&answer);
	return code;
}

int api_call(const struct cli *cli, const char *method, const char *target, const json_t *body, unsigned timeout_ms,
	     json_t **answer)
{
	AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (body && !text)
		abort();
	return api_send(cli, method, target, text, text ? strlen(text) : 0, timeout_ms, answer);
}

int api_get(const struct cli *cli, json_t **answer, const char *target, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, target);
	int length = vasprintf(&text, target, args);
	va_end(args);
	if (length < 0)
		abort();
	return api_call(cli, "GET", text, NULL, API_TIMEOUT_MS, answer);
}

int api_patch(const struct cli *cli, const char *id, json_t *body, json_t **answer)
{
	AUTO_FREE char *target = NULL;

	*answer = NULL;
	if (asprintf(&target, "/v1/sandboxes/%s", id) < 0)
		abort();
	int code = api_call(cli, "PATCH", target, body, API_TIMEOUT_MS, answer);
	json_decref(body);
	if (code == CLI_DONE && cli->json)
		api_print(*answer);
	return code;
}

char *api_escape(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *escaped = malloc(3 * strlen(text) + 1);
	char *at = escaped;

	if (!escaped)
		abort();
	for (; *text; text++) {
		if (strchr(plain, *text))
			*at++ = *text;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*text);
	}
	*at = '\0';
	return escaped;
}

int api_print(const json_t *json)
{
	if (json) {
		json_dumpf(json, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	return CLI_DONE;
}

const char *api_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_int_t api_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool api_is(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
