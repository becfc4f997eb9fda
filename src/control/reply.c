/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reply is an HTTP response, most often with a body of JSON, and the caller's identity for the log. The log line of a change is
 * written here, because every answer passes here.
 */
#include "control/reply.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/target.h"
#include "http/exchange.h"
#include "http/status.h"
#include "registry/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TARGET_SHOWN = 160,
	RETRY_S = 5, /* told to a client that holds, or finds, too much: a stream may end at any time */
};

struct control_reply {
	struct http_exchange *exchange;
	enum http_method method;
	char target[TARGET_SHOWN + 1];    /* for the log, cut */
	char sandbox[SANDBOX_ID_MAX + 1]; /* for the log; "": none, or not known yet */
	struct control_caller caller;
	pid_t pid;
	uint64_t asked_us;
};

const char control_reply_problem_type[] = "application/problem+json";
static const char plain_json[] = "application/json";

struct control_reply *control_reply_new(struct http_exchange *exchange, const struct http_request *request)
{
	struct control_reply *reply = calloc(1, sizeof(*reply));

	if (!reply) {
		http_exchange_answer(exchange, &(struct http_answer){ .status = 503 });
		return NULL;
	}
	reply->exchange = exchange;
	reply->method = request->method;
	snprintf(reply->target, sizeof(reply->target), "%.*s",
		 (int)(request->target_length < TARGET_SHOWN ? request->target_length : TARGET_SHOWN), request->target);
	reply->caller = control_caller_of(request);
	reply->pid = request->pid;
	reply->asked_us = clock_now_us();
	return reply;
}

const struct control_caller *control_reply_caller(const struct control_reply *reply)
{
	return &reply->caller;
}

void control_reply_concern(struct control_reply *reply, const char *id)
{
	snprintf(reply->sandbox, sizeof(reply->sandbox), "%s", id);
}

void control_reply_on_gone(struct control_reply *reply, void (*gone)(void *context), void *context)
{
	http_exchange_on_gone(reply->exchange, gone, context);
}

static const char *control_reply_method_name(enum http_method method)
{
	switch (method) {
	case HTTP_GET:
		return "GET";
	case HTTP_HEAD:
		return "HEAD";
	case HTTP_PUT:
		return "PUT";
	case HTTP_POST:
		return "POST";
	case HTTP_PATCH:
		return "PATCH";
	case HTTP_DELETE:
		return "DELETE";
	case HTTP_OTHER:
		break;
	}
	return "other";
}

/* A change that was made is always logged; refused ones within limits, because nonsense can be asked for without end. */
static void control_reply_log(const struct control_reply *reply, int status, const char *detail)
{
	static const struct log_limit refusals = { .burst = 20, .interval_ms = 10000 };
	bool change = control_target_is_change(reply->method);
	enum log_level level = change ? LOG_INFO_LEVEL : LOG_DEBUG_LEVEL;
	const char *message = change ? "control: change" : "control: read";
	const char *sandbox = reply->sandbox[0] ? reply->sandbox : NULL;

	if (change && status >= 400 && !log_limit_allows(&refusals, level, message, sandbox))
		return;
	log_at(level, message, F_STR("sandbox", sandbox), F_STR("method", control_reply_method_name(reply->method)),
	       F_STR("target", reply->target), F_INT("status", status), F_STR("detail", detail),
	       F_INT("uid", reply->caller.local ? (int64_t)reply->caller.uid : -1),
	       F_INT("pid", reply->caller.local ? (int64_t)reply->pid : -1),
	       F_UINT("us", clock_now_us() - reply->asked_us),
	       F_STR("client", http_exchange_has_client(reply->exchange) ? NULL : "gone"));
}

/* Answers with TEXT (may be NULL) and frees the reply. */
static void control_reply_answer(struct control_reply *reply, int status, const char *type, const char *allow,
				 const char *policy, unsigned retry_after_s, const char *text, size_t length)
{
	http_exchange_answer(reply->exchange, &(struct http_answer){ .status = status,
								     .content_type = text ? type : NULL,
								     .allow = allow,
								     .policy = policy,
								     .retry_after_s = retry_after_s,
								     .body = text,
								     .body_length = length });
	free(reply);
}

static void control_reply_answer_json(struct control_reply *reply, int status, const char *type, const char *allow,
				      unsigned retry_after_s, json_t *body, const char *detail)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		status = 503;
	control_reply_log(reply, status, text ? detail : "out of memory");
	control_reply_answer(reply, status, type, allow, NULL, retry_after_s, text, text ? strlen(text) : 0);
	free(text);
}

void control_reply_json(struct control_reply *reply, int status, json_t *body)
{
	control_reply_answer_json(reply, status, plain_json, NULL, 0, body, NULL);
}

void control_reply_empty(struct control_reply *reply, int status)
{
	control_reply_log(reply, status, NULL);
	control_reply_answer(reply, status, NULL, NULL, NULL, 0, NULL, 0);
}

void control_reply_problem(struct control_reply *reply, const struct problem *problem)
{
	int status = problem->kind == PROBLEM_NONE ? PROBLEM_INTERNAL : (int)problem->kind;

	unsigned retry_after_s = problem->kind == PROBLEM_TOO_MANY ? RETRY_S : problem->retry_after_s;

	control_reply_answer_json(reply, status, control_reply_problem_type, NULL, retry_after_s,
				  wire_write_problem(problem), problem->detail);
}

void control_reply_text(struct control_reply *reply, const char *content_type, const char *text, size_t length)
{
	control_reply_log(reply, 200, NULL);
	control_reply_answer(reply, 200, content_type, NULL, NULL, 0, text, length);
}

void control_reply_page(struct control_reply *reply, const char *html, size_t length)
{
	static const char policy[] =
	    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
	    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

	control_reply_log(reply, 200, NULL);
	control_reply_answer(reply, 200, "text/html; charset=utf-8", NULL, policy, 0, html, length);
}

static json_t *control_reply_make_refusal(int status, const char *field, const char *detail)
{
	json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", http_status_reason(status),
				    "status", status, "detail", detail);

	if (!problem || !field || !*field || json_object_set_new(problem, "field", json_string(field)) == 0)
		return problem;
	json_decref(problem);
	return NULL;
}

void control_reply_refusal(struct control_reply *reply, int status, const char *field, const char *detail,
			   const char *allow)
{
	control_reply_answer_json(reply, status, control_reply_problem_type, allow, 0,
				  control_reply_make_refusal(status, field, detail), detail);
}

char *control_reply_refusal_text(int status, const char *detail)
{
	json_t *problem = control_reply_make_refusal(status, NULL, detail);
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;

	json_decref(problem);
	return text;
}

void control_reply_stream(struct control_reply *reply, const char *content_type, void (*drained)(void *context),
			  void *context)
{
	control_reply_log(reply, 200, NULL);
	http_exchange_start(reply->exchange, content_type, drained, context);
}

void control_reply_write(struct control_reply *reply, struct evbuffer *data)
{
	http_exchange_write(reply->exchange, data);
}

size_t control_reply_pending(const struct control_reply *reply)
{
	return http_exchange_pending(reply->exchange);
}

void control_reply_end(struct control_reply *reply)
{
	http_exchange_end(reply->exchange);
	free(reply);
}
