/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reply leaves the request with the answer and frees it: so a request cannot be answered twice, and one that was forgotten
 * shows as a leak of its reply.
 */
#include "control/request.h"

#include "control/control.h"
#include "registry/problem.h"

#include <assert.h>
#include <stdlib.h>

struct ctl_request *ctl_request_new(struct ctl_reply *reply)
{
	struct ctl_request *request = calloc(1, sizeof(*request));
	struct problem problem;

	if (!request) {
		problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
		ctl_reply_problem(reply, &problem);
		return NULL;
	}
	request->reply = reply;
	return request;
}

struct ctl_reply *ctl_request_release(struct ctl_request *request)
{
	struct ctl_reply *reply = request->reply;

	assert(reply && !request->park);
	spec_free(request->spec);
	spec_patch_clear(&request->patch);
	free(request);
	return reply;
}

void ctl_request_answer(struct ctl_request *request, int status, json_t *body)
{
	if (body)
		ctl_reply_json(ctl_request_release(request), status, body);
	else
		ctl_request_refuse_unavailable(request, "out of memory");
}

void ctl_request_answer_empty(struct ctl_request *request, int status)
{
	ctl_reply_empty(ctl_request_release(request), status);
}

void ctl_request_refuse(struct ctl_request *request, const struct problem *problem)
{
	ctl_reply_problem(ctl_request_release(request), problem);
}

void ctl_request_refuse_unavailable(struct ctl_request *request, const char *detail)
{
	struct problem problem;

	problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "%s", detail);
	ctl_request_refuse(request, &problem);
}

struct sandbox *ctl_request_sandbox(struct ctl_request *request, struct registry *registry)
{
	struct sandbox *sandbox = registry_find(registry, request->target.id);
	struct problem problem;

	if (!sandbox) {
		problem_set(&problem, PROBLEM_NOT_FOUND, "id", "no sandbox %s", request->target.id);
		ctl_request_refuse(request, &problem);
	}
	return sandbox;
}
