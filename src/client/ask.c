/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where an HTTP status and a body become an outcome. A 404 may also blame a field of the body, which the
 * daemon names by a JSON pointer; only without the leading '/' is the sandbox of the path missing.
 */
#include "client/ask.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes JSON of a successful answer. */
static enum client_result client_read_answer(const struct client_answer *answer, json_t **json, struct err *err)
{
	json_error_t error;

	if (!answer->length || !json)
		return CLIENT_DONE;
	*json = json_loadb(answer->body, answer->length, JSON_REJECT_DUPLICATES, &error);
	if (*json)
		return CLIENT_DONE;
	err_set(err, 0, "the answer is no JSON: %s", error.text);
	err->code = EBADMSG;
	return CLIENT_FAILED;
}

enum client_result client_ask(const struct client_request *request, json_t **answer, struct client_refusal *refusal,
			      struct err *err)
{
	enum client_result result = CLIENT_REFUSED;
	struct client_answer raw;

	if (answer)
		*answer = NULL;
	if (client_call(request, &raw, err) < 0)
		return CLIENT_FAILED;
	if (raw.status >= 200 && raw.status < 300)
		result = client_read_answer(&raw, answer, err);
	else
		client_refusal_read(refusal, &raw);
	client_answer_clear(&raw);
	return result;
}

void client_refusal_read(struct client_refusal *refusal, const struct client_answer *answer)
{
	json_t *problem = answer->body ? json_loadb(answer->body, answer->length, JSON_DECODE_ANY, NULL) : NULL;

	*refusal = (struct client_refusal){
		.status = answer->status,
		.detail = client_text(problem, "detail"),
		.field = client_text(problem, "field"),
		.retry_after_s = answer->retry_after_s,
		.problem = problem,
	};
	if (!*refusal->detail)
		refusal->detail = client_text(problem, "title");
	if (!*refusal->detail)
		refusal->detail = "the daemon gave no reason";
	refusal->no_sandbox = answer->status == 404 && refusal->field[0] != '/';
}

void client_refusal_clear(struct client_refusal *refusal)
{
	json_decref(refusal->problem);
	*refusal = (struct client_refusal){ 0 };
}

char *client_escape(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *escaped = malloc(3 * strlen(text) + 1);
	char *at = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		if (strchr(plain, *text))
			*at++ = *text;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*text);
	}
	*at = '\0';
	return escaped;
}

const char *client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_int_t client_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool client_is(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
