/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Suspicions gather for some milliseconds, because a program that alters one rule mostly alters more. Then the patrol is notified
 * once.
 */
#include "fabric/suspects.h"

#include "base/err.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>

enum { GATHER_MS = 20 };

struct suspects {
	struct fabric *fabric;
	TAILQ_HEAD(suspect_queue, slot) slots;
	bool host, routes, all_rules, all_links;
	bool hurried; /* the timer is started, and has not been seen to expire */
	struct timer timer;
	void (*due)(void *context); /* NULL: nobody is notified */
	void *context;
};

static void fabric_suspect_hurry(struct suspects *suspects)
{
	if (suspects->fabric->stopping || suspects->hurried)
		return;
	suspects->hurried = true;
	timer_start(&suspects->timer, GATHER_MS);
}

static void fabric_suspect_on_timer(void *context)
{
	struct suspects *suspects = context;

	suspects->hurried = false;
	if (suspects->due)
		suspects->due(suspects->context);
}

void fabric_suspect_slot(struct slot *slot)
{
	struct suspects *suspects = slot->fabric->suspects;

	if (!slot->suspected) {
		TAILQ_INSERT_TAIL(&suspects->slots, slot, suspects);
		slot->suspected = true;
	}
	fabric_suspect_hurry(suspects);
}

void fabric_suspect_host(struct fabric *fabric)
{
	fabric->suspects->host = true;
	fabric_suspect_hurry(fabric->suspects);
}

void fabric_suspect_wake(struct fabric *fabric)
{
	fabric->wake_unsure = true;
	fabric_suspect_host(fabric);
}

void fabric_suspect_routes(struct fabric *fabric, bool hurry)
{
	fabric->suspects->routes = true;
	if (hurry)
		fabric_suspect_hurry(fabric->suspects);
}

void fabric_suspect_all_rules(struct fabric *fabric)
{
	fabric->suspects->all_rules = true;
	fabric_suspect_hurry(fabric->suspects);
}

void fabric_suspect_all_links(struct fabric *fabric)
{
	fabric->suspects->all_links = true;
	fabric_suspect_hurry(fabric->suspects);
}

struct slot *fabric_suspects_take_slot(struct suspects *suspects)
{
	struct slot *slot = TAILQ_FIRST(&suspects->slots);

	if (slot) {
		TAILQ_REMOVE(&suspects->slots, slot, suspects);
		slot->suspected = false;
	}
	return slot;
}

static bool fabric_suspects_take(bool *suspicion)
{
	bool suspected = *suspicion;

	*suspicion = false;
	return suspected;
}

bool fabric_suspects_take_host(struct suspects *suspects)
{
	return fabric_suspects_take(&suspects->host);
}

bool fabric_suspects_take_routes(struct suspects *suspects)
{
	return fabric_suspects_take(&suspects->routes);
}

bool fabric_suspects_take_all_rules(struct suspects *suspects)
{
	return fabric_suspects_take(&suspects->all_rules);
}

bool fabric_suspects_take_all_links(struct suspects *suspects)
{
	return fabric_suspects_take(&suspects->all_links);
}

static void fabric_suspect_on_move(void *context, struct slot *slot, enum slot_phase from, const char *cause)
{
	struct suspects *suspects = context;

	(void)cause;
	if (fabric_slot_phase_is_live(from) && !fabric_slot_is_live(slot) && slot->plan &&
	    slot_plan_wake(slot->plan->plan))
		slot->fabric->wake_raced |= slot->fabric->wake_reviewed;
	if (slot->phase != SLOT_GONE || !slot->suspected)
		return;
	TAILQ_REMOVE(&suspects->slots, slot, suspects);
	slot->suspected = false;
}

void fabric_suspects_notify(struct suspects *suspects, void (*due)(void *context), void *context)
{
	suspects->due = due;
	suspects->context = context;
}

struct suspects *fabric_suspects_new(struct fabric *fabric, struct err *err)
{
	struct suspects *suspects = calloc(1, sizeof(*suspects));

	if (!suspects) {
		err_set(err, ENOMEM, "suspects");
		return NULL;
	}
	suspects->fabric = fabric;
	TAILQ_INIT(&suspects->slots);
	if (timer_init(&suspects->timer, fabric->base, fabric_suspect_on_timer, suspects, err) < 0) {
		free(suspects);
		return NULL;
	}
	fabric_slot_listen(&fabric->states, fabric_suspect_on_move, suspects);
	return suspects;
}

void fabric_suspects_free(struct suspects *suspects)
{
	if (!suspects)
		return;
	timer_free(&suspects->timer);
	free(suspects);
}
