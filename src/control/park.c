/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No flow is known here, for a parked request carries its continuation. While one runs, other requests may leave, with their
 * clients, and it may itself be parked anew. So the requests that are due are marked, and the next one is searched for each time.
 *
 * A request that is served at once brings its sandbox to rest within its continuation. Such a call only marks, and the loop that
 * runs the request goes on with the others: otherwise the depth of the stack would be the number of parked requests.
 */
#include "control/park.h"

#include "control/reply.h"
#include "registry/problem.h"

#include <string.h>

void control_park_init(struct control_park *park, const char *left)
{
	*park = (struct control_park){ .left = left };
	TAILQ_INIT(&park->requests);
}

static void control_park_take_out(struct control_request *request)
{
	struct control_park *park = request->park;

	TAILQ_REMOVE(&park->requests, request, next);
	park->count--;
	request->park = NULL;
	if (park->left)
		control_reply_on_gone(request->reply, NULL, NULL);
}

/* Nothing was begun: a change that no client waits for any more is not made. */
static void control_park_on_client_gone(void *context)
{
	struct control_request *request = context;
	const char *left = request->park->left;

	control_park_take_out(request);
	control_request_refuse_unavailable(request, left);
}

void control_park_add(struct control_park *park, struct control_request *request, control_serve *run, void *context)
{
	request->park = park;
	request->run = run;
	request->run_context = context;
	request->due = false;
	TAILQ_INSERT_TAIL(&park->requests, request, next);
	park->count++;
	if (park->left)
		control_reply_on_gone(request->reply, control_park_on_client_gone, request);
}

static bool control_park_is_of_sandbox(const struct control_request *request, const char *id)
{
	/* One that takes the default may wait for its holder. */
	return !strcmp(request->target.id, id) || request->patch.takes_default;
}

static bool control_park_is_read(const struct control_request *request, const char *ignored)
{
	(void)ignored;
	return !control_target_is_change(request->method);
}

static bool control_park_is_any(const struct control_request *request, const char *ignored)
{
	(void)request;
	(void)ignored;
	return true;
}

typedef bool control_park_filter(const struct control_request *request, const char *id);

static struct control_request *control_park_first_due(struct control_park *park)
{
	struct control_request *request;

	TAILQ_FOREACH(request, &park->requests, next)
	{
		if (request->due)
			return request;
	}
	return NULL;
}

static void control_park_run(struct control_park *park, control_park_filter *filter, const char *id)
{
	struct control_request *request;

	TAILQ_FOREACH(request, &park->requests, next)
	{
		if (filter(request, id))
			request->due = true;
	}
	if (park->running)
		return;
	park->running = true;
	while ((request = control_park_first_due(park))) {
		control_park_take_out(request);
		request->run(request->run_context, request);
	}
	park->running = false;
}

void control_park_run_sandbox(struct control_park *park, const char *id)
{
	control_park_run(park, control_park_is_of_sandbox, id);
}

void control_park_run_reads(struct control_park *park)
{
	control_park_run(park, control_park_is_read, NULL);
}

void control_park_run_all(struct control_park *park)
{
	control_park_run(park, control_park_is_any, NULL);
}

void control_park_refuse_all(struct control_park *park, const char *detail)
{
	struct control_request *request;
	struct problem problem;

	registry_problem_stopping(&problem, detail);
	while ((request = TAILQ_FIRST(&park->requests))) {
		control_park_take_out(request);
		control_request_refuse(request, &problem);
	}
}
