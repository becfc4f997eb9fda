/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One list of all waiters: a thousand at most, so that each change of state can walk it. A waiter knows its sandbox by id,
 * for the sandbox may be freed before it.
 */
#include "control/waits.h"

#include "base/err.h"
#include "base/loop.h"
#include "base/queue.h"
#include "control/reply.h"
#include "registry/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
	LIST_ENTRY(waiter) next;
	struct waits *waits;
	char id[SANDBOX_ID_MAX + 1];
	enum sandbox_state wanted, last; /* last: the state as last seen */
	unsigned timeout_s;
	struct control_reply *reply;
	struct control_holder *holder; /* of its place */
	struct timer timeout;
};

struct waits {
	struct event_base *base;
	waits_show *show;
	void *context;
	LIST_HEAD(, waiter) list;
	struct control_share *places;
};

static const struct control_share_limits control_waits_limits = { .what = "requests that wait",
								  .local = WAITS_MAX,
								  .root_only = WAITS_ROOT_ONLY };

enum wait_outcome { OUTCOME_PARKED, OUTCOME_MET, OUTCOME_IMPOSSIBLE };

static enum wait_outcome control_waits_outcome_of(enum sandbox_state state, enum sandbox_state wanted)
{
	if (state == wanted || (wanted == SANDBOX_ATTACHED && state == SANDBOX_READY))
		return OUTCOME_MET;
	if (state == SANDBOX_DRAINING || state == SANDBOX_FAILED)
		return OUTCOME_IMPOSSIBLE;
	return OUTCOME_PARKED;
}

static void control_waits_refuse(struct control_reply *reply, enum problem_kind kind, const char *detail)
{
	struct problem problem;

	registry_problem_set(&problem, kind, NULL, "%s", detail);
	control_reply_problem(reply, &problem);
}

/* Takes the waiter off the list; its reply is the caller's to answer now. */
static struct control_reply *control_waits_release(struct waiter *waiter)
{
	struct control_reply *reply = waiter->reply;

	control_reply_on_gone(reply, NULL, NULL);
	timer_free(&waiter->timeout);
	LIST_REMOVE(waiter, next);
	control_share_give_back(waiter->holder);
	free(waiter);
	return reply;
}

static void control_waits_on_timeout(void *context)
{
	struct waiter *waiter = context;
	char detail[160];

	snprintf(detail, sizeof(detail), "not %s within %u s: it is %s", registry_sandbox_state_name(waiter->wanted),
		 waiter->timeout_s, registry_sandbox_state_name(waiter->last));
	control_waits_refuse(control_waits_release(waiter), PROBLEM_TIMEOUT, detail);
}

static void control_waits_on_client_gone(void *context)
{
	control_waits_refuse(control_waits_release(context), PROBLEM_GONE,
			     "the client went away"); /* frees the reply; nobody reads it */
}

static void control_waits_answer_outcome(struct waits *waits, struct sandbox *sandbox, enum wait_outcome outcome,
					 enum sandbox_state wanted, struct control_reply *reply)
{
	char detail[384];

	if (outcome == OUTCOME_MET) {
		json_t *shown = waits->show(waits->context, sandbox);

		if (shown)
			control_reply_json(reply, 200, shown);
		else
			control_waits_refuse(reply, PROBLEM_UNAVAILABLE, "out of memory");
		return;
	}
	snprintf(detail, sizeof(detail), "it will not be %s: it is %s%s%s", registry_sandbox_state_name(wanted),
		 registry_sandbox_state_name(sandbox->state), *sandbox->reason ? ": " : "", sandbox->reason);
	control_waits_refuse(reply, PROBLEM_CONFLICT, detail);
}

struct waits *control_waits_new(struct event_base *base, waits_show *show, void *context)
{
	struct waits *waits = calloc(1, sizeof(*waits));

	if (!waits)
		return NULL;
	waits->places = control_share_new(&control_waits_limits);
	if (!waits->places) {
		free(waits);
		return NULL;
	}
	waits->base = base;
	waits->show = show;
	waits->context = context;
	LIST_INIT(&waits->list);
	return waits;
}

void control_waits_stop(struct waits *waits)
{
	struct problem problem;

	registry_problem_stopping(&problem, "weftd is stopping");
	while (!LIST_EMPTY(&waits->list))
		control_reply_problem(control_waits_release(LIST_FIRST(&waits->list)), &problem);
}

void control_waits_free(struct waits *waits)
{
	if (!waits)
		return;
	control_waits_stop(waits);
	control_share_free(waits->places);
	free(waits);
}

void control_waits_add(struct waits *waits, struct sandbox *sandbox, enum sandbox_state wanted, unsigned timeout_s,
		       bool unsure, struct control_reply *reply)
{
	enum wait_outcome outcome = unsure ? OUTCOME_PARKED : control_waits_outcome_of(sandbox->state, wanted);
	struct problem problem;
	struct err err;

	if (outcome != OUTCOME_PARKED) {
		control_waits_answer_outcome(waits, sandbox, outcome, wanted, reply);
		return;
	}
	struct control_holder *holder = control_share_take(waits->places, control_reply_caller(reply), &problem);
	if (!holder) {
		control_reply_problem(reply, &problem);
		return;
	}
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (!waiter || timer_init(&waiter->timeout, waits->base, control_waits_on_timeout, waiter, &err) < 0) {
		free(waiter);
		control_share_give_back(holder);
		control_waits_refuse(reply, PROBLEM_UNAVAILABLE, "out of memory");
		return;
	}
	waiter->waits = waits;
	snprintf(waiter->id, sizeof(waiter->id), "%s", sandbox->id);
	waiter->wanted = wanted;
	waiter->last = sandbox->state;
	waiter->timeout_s = timeout_s;
	waiter->reply = reply;
	waiter->holder = holder;
	LIST_INSERT_HEAD(&waits->list, waiter, next);
	control_reply_on_gone(reply, control_waits_on_client_gone, waiter);
	timer_start(&waiter->timeout, timeout_s * 1000ULL);
}

/* Answers WAITER if the state of its SANDBOX decides, and frees it then. */
static void control_waits_look(struct waiter *waiter, struct sandbox *sandbox)
{
	enum wait_outcome outcome = control_waits_outcome_of(sandbox->state, waiter->wanted);
	enum sandbox_state wanted = waiter->wanted;
	struct waits *waits = waiter->waits;

	waiter->last = sandbox->state;
	if (outcome != OUTCOME_PARKED)
		control_waits_answer_outcome(waits, sandbox, outcome, wanted, control_waits_release(waiter));
}

void control_waits_state_changed(struct waits *waits, struct sandbox *sandbox)
{
	struct waiter *waiter, *next;

	LIST_FOREACH_SAFE(waiter, &waits->list, next, next)
	{
		if (!strcmp(waiter->id, sandbox->id))
			control_waits_look(waiter, sandbox);
	}
}

void control_waits_adopted(struct waits *waits, struct registry *registry)
{
	struct waiter *waiter, *next;

	LIST_FOREACH_SAFE(waiter, &waits->list, next, next)
	{
		struct sandbox *sandbox = registry_find(registry, waiter->id);

		if (sandbox)
			control_waits_look(waiter, sandbox);
	}
}

void control_waits_gone(struct waits *waits, const char *id)
{
	struct waiter *waiter, *next;

	LIST_FOREACH_SAFE(waiter, &waits->list, next, next)
	if (!strcmp(waiter->id, id))
		control_waits_refuse(control_waits_release(waiter), PROBLEM_GONE, "it was deleted meanwhile");
}
