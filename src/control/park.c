/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lot knows no flow: a parked request carries its continuation. While one runs, others may leave, with their clients, and it
 * may come back itself: so the next one is searched anew each time, among the tickets that are older than the call.
 */
#include "control/park.h"

#include "control/reply.h"

#include <stdio.h>
#include <string.h>

void ctl_park_init(struct ctl_park *park, const char *left)
{
	*park = (struct ctl_park){ .left = left };
	TAILQ_INIT(&park->requests);
}

static void ctl_park_take_out(struct ctl_request *request)
{
	struct ctl_park *park = request->park;

	TAILQ_REMOVE(&park->requests, request, next);
	park->count--;
	request->park = NULL;
	if (park->left)
		ctl_reply_on_gone(request->reply, NULL, NULL);
}

/* Nothing was begun: a change that no client waits for any more is not made. */
static void ctl_park_on_client_gone(void *context)
{
	struct ctl_request *request = context;
	const char *left = request->park->left;

	ctl_park_take_out(request);
	ctl_request_refuse_unavailable(request, left);
}

void ctl_park_add(struct ctl_park *park, struct ctl_request *request, ctl_serve *run, void *context)
{
	request->park = park;
	request->run = run;
	request->run_context = context;
	request->ticket = ++park->last_ticket;
	TAILQ_INSERT_TAIL(&park->requests, request, next);
	park->count++;
	if (park->left)
		ctl_reply_on_gone(request->reply, ctl_park_on_client_gone, request);
}

static bool ctl_park_is_of_sandbox(const struct ctl_request *request, const char *id)
{
	return !strcmp(request->target.id, id);
}

static bool ctl_park_is_read(const struct ctl_request *request, const char *ignored)
{
	(void)ignored;
	return !ctl_target_is_change(request->method);
}

static bool ctl_park_is_any(const struct ctl_request *request, const char *ignored)
{
	(void)request;
	(void)ignored;
	return true;
}

typedef bool ctl_park_filter(const struct ctl_request *request, const char *id);

/* The first that FILTER wants and that came no later than LAST_TICKET; NULL: none. */
static struct ctl_request *ctl_park_first(struct ctl_park *park, ctl_park_filter *filter, const char *id,
					  uint64_t last_ticket)
{
	struct ctl_request *request;

	TAILQ_FOREACH(request, &park->requests, next)
	{
		if (request->ticket > last_ticket)
			return NULL;
		if (filter(request, id))
			return request;
	}
	return NULL;
}

static void ctl_park_run(struct ctl_park *park, ctl_park_filter *filter, const char *id)
{
	uint64_t last_ticket = park->last_ticket;
	struct ctl_request *request;

	while ((request = ctl_park_first(park, filter, id, last_ticket))) {
		ctl_park_take_out(request);
		request->run(request->run_context, request);
	}
}

void ctl_park_run_sandbox(struct ctl_park *park, const char *id)
{
	char copy[SANDBOX_ID_MAX + 1]; /* ID may be gone with the sandbox, after the first */

	snprintf(copy, sizeof(copy), "%s", id);
	ctl_park_run(park, ctl_park_is_of_sandbox, copy);
}

void ctl_park_run_reads(struct ctl_park *park)
{
	ctl_park_run(park, ctl_park_is_read, NULL);
}

void ctl_park_run_all(struct ctl_park *park)
{
	ctl_park_run(park, ctl_park_is_any, NULL);
}

void ctl_park_refuse_all(struct ctl_park *park, const char *detail)
{
	struct ctl_request *request;

	while ((request = TAILQ_FIRST(&park->requests))) {
		ctl_park_take_out(request);
		ctl_request_refuse_unavailable(request, detail);
	}
}
