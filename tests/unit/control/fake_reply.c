/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/control/fake_reply.h"

#include "control/control.h"
#include "control/reply.h"
#include "registry/problem.h"

#include <check.h>
#include <stdio.h>

static void note(struct control_reply *reply, int status, const char *detail)
{
	reply->answers++;
	reply->status = status;
	snprintf(reply->detail, sizeof(reply->detail), "%s", detail);
}

void control_reply_json(struct control_reply *reply, int status, json_t *body)
{
	/* No assertion: Check needs memory. */
	note(reply, body ? status : 0, body ? "" : "no body");
	json_decref(body);
}

void control_reply_empty(struct control_reply *reply, int status)
{
	note(reply, status, "");
}

void control_reply_problem(struct control_reply *reply, const struct problem *problem)
{
	note(reply, (int)problem->kind, problem->detail);
}

void control_reply_concern(struct control_reply *reply, const char *id)
{
	(void)reply;
	(void)id;
}

void control_reply_on_gone(struct control_reply *reply, void (*gone)(void *context), void *context)
{
	reply->gone = gone;
	reply->gone_context = context;
}

struct control_request *fake_request(struct control_reply *reply, enum http_method method, const char *id)
{
	*reply = (struct control_reply){ 0 };
	struct control_request *request = control_request_new(reply);

	ck_assert_ptr_nonnull(request);
	request->method = method;
	snprintf(request->target.id, sizeof(request->target.id), "%s", id);
	return request;
}
