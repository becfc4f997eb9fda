/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reply leaves the request with the answer and frees it: so a request cannot be answered twice, and one that was forgotten
 * shows as a leak of its reply.
 */
#include "control/request.h"

#include "base/assert.h"
#include "control/control.h"
#include "registry/problem.h"

#include <stdlib.h>
#include <string.h>

struct control_request *control_request_new(struct control_reply *reply)
{
	struct control_request *request = calloc(1, sizeof(*request));
	struct problem problem;

	if (!request) {
		registry_problem_no_memory(&problem);
		control_reply_problem(reply, &problem);
		return NULL;
	}
	request->reply = reply;
	return request;
}

struct control_reply *control_request_release(struct control_request *request)
{
	struct control_reply *reply = request->reply;

	base_assert(reply && !request->park);
	registry_spec_free(request->spec);
	registry_spec_patch_clear(&request->patch);
	free(request);
	return reply;
}

void control_request_answer(struct control_request *request, int status, json_t *body)
{
	if (body)
		control_reply_json(control_request_release(request), status, body);
	else
		control_request_refuse_unavailable(request, "out of memory");
}

void control_request_answer_empty(struct control_request *request, int status)
{
	control_reply_empty(control_request_release(request), status);
}

void control_request_refuse(struct control_request *request, const struct problem *problem)
{
	control_reply_problem(control_request_release(request), problem);
}

void control_request_refuse_unavailable(struct control_request *request, const char *detail)
{
	struct problem problem;

	registry_problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "%s", detail);
	control_request_refuse(request, &problem);
}

struct sandbox *control_request_sandbox(struct control_request *request, struct registry *registry)
{
	struct sandbox *sandbox = registry_lookup(registry, request->target.id);
	struct problem problem;

	if (sandbox) {
		memcpy(request->target.id, sandbox->id, sizeof(sandbox->id));
		control_reply_concern(request->reply, sandbox->id);
		return sandbox;
	}
	registry_problem_set(&problem, PROBLEM_NOT_FOUND, "id", "no sandbox %s", request->target.id);
	control_request_refuse(request, &problem);
	return NULL;
}
