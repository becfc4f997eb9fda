/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reply outlives its client: whoever owes it answers without asking whether anybody still listens. The log line of a change
 * is written here, because here is the one place that every answer passes.
 */
#include "control/reply.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/target.h"
#include "registry/problem.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_SHOWN = 160 };

struct reply {
	struct http_peer *peer; /* NULL: the client is gone */
	enum head_method method;
	char target[TARGET_SHOWN + 1]; /* for the log, cut */
	bool has_creds;
	uid_t uid;
	pid_t pid;
	uint64_t asked_us;
	void (*gone)(void *context);
	void *gone_context;
	void (*drained)(void *context);
	void *drained_context;
};

static const char problem_type[] = "application/problem+json";
static const char plain_json[] = "application/json";

const char *reply_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 413, "Content Too Large" },
		{ 421, "Misdirected Request" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Unknown";
}

struct reply *reply_new(struct http_peer *peer, const struct gate_request *request)
{
	struct reply *reply = calloc(1, sizeof(*reply));

	if (!reply)
		return NULL;
	reply->peer = peer;
	reply->method = request->method;
	snprintf(reply->target, sizeof(reply->target), "%.*s",
		 (int)(request->target_length < TARGET_SHOWN ? request->target_length : TARGET_SHOWN), request->target);
	reply->has_creds = request->has_creds;
	reply->uid = request->uid;
	reply->pid = request->pid;
	reply->asked_us = clock_now_us();
	return reply;
}

void reply_detach(struct reply *reply)
{
	void (*gone)(void *context) = reply->gone;

	reply->peer = NULL;
	reply->gone = NULL;
	if (gone)
		gone(reply->gone_context);
}

void reply_on_gone(struct reply *reply, void (*gone)(void *context), void *context)
{
	reply->gone = gone;
	reply->gone_context = context;
}

static const char *method_name(enum head_method method)
{
	switch (method) {
	case HEAD_GET:
		return "GET";
	case HEAD_HEAD:
		return "HEAD";
	case HEAD_PUT:
		return "PUT";
	case HEAD_PATCH:
		return "PATCH";
	case HEAD_DELETE:
		return "DELETE";
	case HEAD_OTHER:
		break;
	}
	return "other";
}

/* Changes that were made are told always, those that were refused within limits: anybody may ask for nonsense without end. */
static void log_answer(const struct reply *reply, int status, const char *detail)
{
	static struct log_limit refusals = { .burst = 20, .interval_ms = 10000 };
	bool change = route_is_change(reply->method);
	enum log_level level = change ? LOG_INFO_LEVEL : LOG_DEBUG_LEVEL;
	uint64_t suppressed = 0;

	if (change && status >= 400 && !log_limit_allows(&refusals, &suppressed))
		return;
	log_at(level, change ? "control: change" : "control: read", F_STR("method", method_name(reply->method)),
	       F_STR("target", reply->target), F_INT("status", status), F_STR("detail", detail),
	       F_INT("uid", reply->has_creds ? (int64_t)reply->uid : -1),
	       F_INT("pid", reply->has_creds ? (int64_t)reply->pid : -1),
	       F_UINT("us", clock_now_us() - reply->asked_us), F_STR("client", reply->peer ? NULL : "gone"),
	       F_SOME("suppressed", suppressed));
}

/* Answers with TEXT (may be NULL) and frees the reply. */
static void answer(struct reply *reply, int status, const char *type, const char *allow, const char *text,
		   size_t length)
{
	struct evbuffer *body = text ? evbuffer_new() : NULL;

	if (body)
		evbuffer_add(body, text, length);
	if (reply->peer)
		peer_answer(reply->peer, &(struct peer_answer){ .status = status,
								.content_type = body ? type : NULL,
								.allow = allow,
								.body = body,
								.head_only = reply->method == HEAD_HEAD });
	if (body)
		evbuffer_free(body);
	free(reply);
}

static void answer_json(struct reply *reply, int status, const char *type, const char *allow, json_t *body,
			const char *detail)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		status = 500;
	log_answer(reply, status, text ? detail : "out of memory");
	answer(reply, status, type, allow, text, text ? strlen(text) : 0);
	free(text);
}

void reply_json(struct reply *reply, int status, json_t *body)
{
	answer_json(reply, status, plain_json, NULL, body, NULL);
}

void reply_empty(struct reply *reply, int status)
{
	log_answer(reply, status, NULL);
	answer(reply, status, NULL, NULL, NULL, 0);
}

void reply_problem(struct reply *reply, const struct problem *problem)
{
	int status = problem->kind == PROBLEM_NONE ? PROBLEM_INTERNAL : (int)problem->kind;

	answer_json(reply, status, problem_type, NULL, wire_write_problem(problem), problem->detail);
}

void reply_text(struct reply *reply, const char *content_type, const char *text, size_t length)
{
	log_answer(reply, 200, NULL);
	answer(reply, 200, content_type, NULL, text, length);
}

static json_t *refusal(int status, const char *field, const char *detail)
{
	json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", reply_reason(status),
				    "status", status, "detail", detail);

	if (problem && field && *field)
		json_object_set_new(problem, "field", json_string(field));
	return problem;
}

void reply_refusal(struct reply *reply, int status, const char *field, const char *detail, const char *allow)
{
	answer_json(reply, status, problem_type, allow, refusal(status, field, detail), detail);
}

char *reply_refusal_text(int status, const char *field, const char *detail)
{
	json_t *problem = refusal(status, field, detail);
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;

	json_decref(problem);
	return text;
}

void reply_stream(struct reply *reply, const char *content_type, void (*drained)(void *context), void *context)
{
	reply->drained = drained;
	reply->drained_context = context;
	log_answer(reply, 200, NULL);
	if (reply->peer)
		peer_stream_start(reply->peer, content_type);
}

void reply_write(struct reply *reply, struct evbuffer *data)
{
	if (reply->peer)
		peer_stream_write(reply->peer, data, reply->drained, reply->drained_context);
}

size_t reply_pending(const struct reply *reply)
{
	return reply->peer ? peer_stream_pending(reply->peer) : 0;
}

void reply_end(struct reply *reply)
{
	if (reply->peer)
		peer_stream_end(reply->peer);
	free(reply);
}
