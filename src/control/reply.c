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

enum { TARGET_SHOWN = 160 };

struct ctl_reply {
	struct http_exchange *exchange;
	enum http_method method;
	char target[TARGET_SHOWN + 1]; /* for the log, cut */
	bool has_creds;
	uid_t uid;
	pid_t pid;
	uint64_t asked_us;
};

const char ctl_reply_problem_type[] = "application/problem+json";
static const char plain_json[] = "application/json";

struct ctl_reply *ctl_reply_new(struct http_exchange *exchange, const struct http_request *request)
{
	struct ctl_reply *reply = calloc(1, sizeof(*reply));

	if (!reply) {
		http_exchange_answer(exchange, &(struct http_answer){ .status = 503 });
		return NULL;
	}
	reply->exchange = exchange;
	reply->method = request->method;
	snprintf(reply->target, sizeof(reply->target), "%.*s",
		 (int)(request->target_length < TARGET_SHOWN ? request->target_length : TARGET_SHOWN), request->target);
	reply->has_creds = request->has_creds;
	reply->uid = request->uid;
	reply->pid = request->pid;
	reply->asked_us = clock_now_us();
	return reply;
}

void ctl_reply_on_gone(struct ctl_reply *reply, void (*gone)(void *context), void *context)
{
	http_exchange_on_gone(reply->exchange, gone, context);
}

static const char *ctl_reply_method_name(enum http_method method)
{
	switch (method) {
	case HTTP_GET:
		return "GET";
	case HTTP_HEAD:
		return "HEAD";
	case HTTP_PUT:
		return "PUT";
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
static void ctl_reply_log(const struct ctl_reply *reply, int status, const char *detail)
{
	static struct log_limit refusals = { .burst = 20, .interval_ms = 10000 };
	bool change = ctl_target_is_change(reply->method);
	enum log_level level = change ? LOG_INFO_LEVEL : LOG_DEBUG_LEVEL;
	uint64_t suppressed = 0;

	if (change && status >= 400 && !log_limit_allows(&refusals, &suppressed))
		return;
	log_at(
	    level, change ? "control: change" : "control: read", F_STR("method", ctl_reply_method_name(reply->method)),
	    F_STR("target", reply->target), F_INT("status", status), F_STR("detail", detail),
	    F_INT("uid", reply->has_creds ? (int64_t)reply->uid : -1),
	    F_INT("pid", reply->has_creds ? (int64_t)reply->pid : -1), F_UINT("us", clock_now_us() - reply->asked_us),
	    F_STR("client", http_exchange_has_client(reply->exchange) ? NULL : "gone"),
	    F_SOME("suppressed", suppressed));
}

/* Answers with TEXT (may be NULL) and frees the reply. */
static void ctl_reply_answer(struct ctl_reply *reply, int status, const char *type, const char *allow, const char *text,
			     size_t length)
{
	http_exchange_answer(reply->exchange, &(struct http_answer){ .status = status,
								     .content_type = text ? type : NULL,
								     .allow = allow,
								     .body = text,
								     .body_length = length });
	free(reply);
}

static void ctl_reply_answer_json(struct ctl_reply *reply, int status, const char *type, const char *allow,
				  json_t *body, const char *detail)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		status = 503;
	ctl_reply_log(reply, status, text ? detail : "out of memory");
	ctl_reply_answer(reply, status, type, allow, text, text ? strlen(text) : 0);
	free(text);
}

void ctl_reply_json(struct ctl_reply *reply, int status, json_t *body)
{
	ctl_reply_answer_json(reply, status, plain_json, NULL, body, NULL);
}

void ctl_reply_empty(struct ctl_reply *reply, int status)
{
	ctl_reply_log(reply, status, NULL);
	ctl_reply_answer(reply, status, NULL, NULL, NULL, 0);
}

void ctl_reply_problem(struct ctl_reply *reply, const struct problem *problem)
{
	int status = problem->kind == PROBLEM_NONE ? PROBLEM_INTERNAL : (int)problem->kind;

	ctl_reply_answer_json(reply, status, ctl_reply_problem_type, NULL, wire_write_problem(problem),
			      problem->detail);
}

void ctl_reply_text(struct ctl_reply *reply, const char *content_type, const char *text, size_t length)
{
	ctl_reply_log(reply, 200, NULL);
	ctl_reply_answer(reply, 200, content_type, NULL, text, length);
}

static json_t *ctl_reply_make_refusal(int status, const char *field, const char *detail)
{
	json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", http_status_reason(status),
				    "status", status, "detail", detail);

	if (problem && field && *field)
		json_object_set_new(problem, "field", json_string(field));
	return problem;
}

void ctl_reply_refusal(struct ctl_reply *reply, int status, const char *field, const char *detail, const char *allow)
{
	ctl_reply_answer_json(reply, status, ctl_reply_problem_type, allow,
			      ctl_reply_make_refusal(status, field, detail), detail);
}

char *ctl_reply_refusal_text(int status, const char *detail)
{
	json_t *problem = ctl_reply_make_refusal(status, NULL, detail);
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;

	json_decref(problem);
	return text;
}

void ctl_reply_stream(struct ctl_reply *reply, const char *content_type, void (*drained)(void *context), void *context)
{
	ctl_reply_log(reply, 200, NULL);
	http_exchange_start(reply->exchange, content_type, drained, context);
}

void ctl_reply_write(struct ctl_reply *reply, struct evbuffer *data)
{
	http_exchange_write(reply->exchange, data);
}

size_t ctl_reply_pending(const struct ctl_reply *reply)
{
	return http_exchange_pending(reply->exchange);
}

void ctl_reply_end(struct ctl_reply *reply)
{
	http_exchange_end(reply->exchange);
	free(reply);
}
