/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots prepared ahead. They are made like all others, of the configuration's defaults and for no sandbox, by jobs that come
 * after all callers that wait; one at a time, so that a claim that finds the pool empty waits for the slot at hand at most. The
 * lowest free numbers are taken. How released slots come back stands in recycle.c.
 *
 * A slot that cannot be made is tried again at once, for its number may have been at fault; then after 1, 2, 4 ... 30 s. When a slot
 * was made, for the pool or for a caller, that is forgotten.
 */
#include "fabric/pool.h"

#include "base/backoff.h"
#include "fabric/make.h"
#include "fabric/slot/plan.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>

enum { RETRY_MS = 1000, RETRY_MAX_MS = 30000, TICK_MS = 1000, RENEWING_MAX = 4 };

struct pool {
	struct fabric *fabric;
	struct slot_queue ready;
	bool open;
	struct timer refill, tick;
	unsigned failures; /* to make a slot, in a row */
	unsigned hurries;  /* how often one was made ahead of its time in the present pause */
	uint64_t cold_total;
};

static void fabric_pool_report(struct pool *pool)
{
	pool->fabric->watcher.pool_changed(pool->fabric->watcher.context);
}

struct plan_share *fabric_pool_plan(const struct fabric *fabric, unsigned number)
{
	const struct config_owner *owner = &fabric->config->pool.tap_owner;
	/* No policy at all: a claim adds the one it wants, and there is no VM on the TAP before. */
	struct egress egress = { .internet = true };
	struct bandwidth bandwidth = { 0 };
	struct fabric_plan plan = {
		.slot = number,
		.id = "",
		.has_tap_owner = owner->set,
		.tap_uid = owner->uid,
		.tap_gid = owner->gid,
		.egress = &egress,
		.bandwidth = &bandwidth,
	};

	return slot_plan_share_new(&plan);
}

static unsigned fabric_pool_lowest_free(const struct fabric *fabric)
{
	unsigned max = config_slot_max(&fabric->config->layout);

	for (unsigned number = 1; number <= max; number++) {
		if (!fabric->slots[number] && !fabric->shunned[number])
			return number;
	}
	return 0;
}

/* How many more slots it has room for. */
static unsigned fabric_pool_room(const struct pool *pool)
{
	const unsigned *counts = pool->fabric->states.counts;
	unsigned has = counts[SLOT_READY] + counts[SLOT_PREPARING] + counts[SLOT_RENEWING];
	unsigned size = pool->fabric->config->pool.size;

	return pool->open && !pool->fabric->stopping && has < size ? size - has : 0;
}

bool fabric_pool_wants(const struct pool *pool)
{
	return fabric_pool_room(pool) > 0;
}

bool fabric_pool_wants_renewed(const struct pool *pool)
{
	return fabric_pool_wants(pool) && pool->fabric->states.counts[SLOT_RENEWING] < RENEWING_MAX;
}

/* Begins one more; the next follows when it is there. */
static void fabric_pool_refill(struct pool *pool)
{
	struct fabric *fabric = pool->fabric;
	struct slot *slot;
	unsigned number;

	if (!fabric_pool_wants(pool) || fabric->states.counts[SLOT_PREPARING])
		return;
	number = fabric_pool_lowest_free(fabric);
	slot = number ? fabric_slot_new(fabric, number, NULL) : NULL;
	if (!slot)
		return;
	slot->plan = fabric_pool_plan(fabric, number);
	if (!slot->plan || !fabric_slot_prepare(slot))
		fabric_slot_forget(slot, "no memory");
}

static void fabric_pool_on_refill(void *context)
{
	struct pool *pool = context;

	pool->hurries = 0;
	fabric_pool_refill(pool);
}

void fabric_pool_hurry(struct pool *pool)
{
	if (pool->failures < 2 || !timer_is_armed(&pool->refill) || pool->hurries == FABRIC_HURRIES_MAX)
		return;
	timer_stop(&pool->refill);
	pool->hurries++;
	pool->failures--; /* should it fail, the pause does not grow */
	fabric_pool_refill(pool);
}

static void fabric_pool_refill_after(struct pool *pool, uint64_t delay_ms)
{
	if (fabric_pool_wants(pool) && !timer_is_armed(&pool->refill))
		timer_start(&pool->refill, delay_ms);
}

static void fabric_pool_refill_soon(struct pool *pool)
{
	unsigned a_second = pool->fabric->config->pool.refill;

	fabric_pool_refill_after(pool, a_second ? 1000 / a_second : 0);
}

/* After a reload there may be more ready slots than are wanted; one at a time goes, from the end. */
static void fabric_pool_shrink(struct pool *pool)
{
	struct slot *slot = TAILQ_LAST(&pool->ready, slot_queue);
	const struct fabric *fabric = pool->fabric;

	if (slot && !fabric->stopping && fabric->states.counts[SLOT_READY] > fabric->config->pool.size)
		slot_become(slot, SLOT_LEAVING, "the pool has shrunk");
}

void fabric_pool_open(struct pool *pool)
{
	pool->open = true;
	fabric_pool_refill_soon(pool);
}

void fabric_reconfigure(struct fabric *fabric)
{
	fabric_pool_refill_soon(fabric->pool);
	fabric_pool_report(fabric->pool);
}

/* ---- moves of slots ---- */

static void fabric_pool_follow_ready(struct pool *pool, struct slot *slot, enum slot_phase from)
{
	if (from == SLOT_READY)
		TAILQ_REMOVE(&pool->ready, slot, next);
	if (slot->phase == SLOT_READY)
		TAILQ_INSERT_TAIL(&pool->ready, slot, next);
}

/* 0 for the first failure. */
static uint64_t fabric_pool_pause(unsigned failures)
{
	unsigned pause = 0;

	for (unsigned i = 1; i < failures && pause < RETRY_MAX_MS; i++)
		pause = base_backoff_next(pause, RETRY_MS, RETRY_MAX_MS);
	return pause;
}

/* Counts failures in a row, and ends a pause when there is reason to. */
static void fabric_pool_follow_making(struct pool *pool, const struct slot *slot, enum slot_phase from)
{
	if (slot->phase == SLOT_GONE && from == SLOT_PREPARING) {
		fabric_pool_refill_after(pool, fabric_pool_pause(++pool->failures));
	} else if (from == SLOT_PREPARING || (from == SLOT_MAKING && slot->phase == SLOT_LIVE)) {
		if (pool->failures > 1)
			timer_stop(&pool->refill);
		pool->failures = 0;
	}
}

/* Whether the move changes a number that fabric_pool_state() reports. */
static bool fabric_pool_is_concerned(const struct slot *slot, enum slot_phase from)
{
	return from == SLOT_READY || slot->phase == SLOT_READY ||
	       fabric_slot_phase_is_quarantine(from) != fabric_slot_phase_is_quarantine(slot->phase);
}

/* Whether the move may have made room in the pool, or a number free for it. */
static bool fabric_pool_has_gained(const struct slot *slot, enum slot_phase from)
{
	return from == SLOT_READY || from == SLOT_PREPARING || from == SLOT_RENEWING || slot->phase == SLOT_READY ||
	       slot->phase == SLOT_RENEWING || (slot->phase == SLOT_GONE && from != SLOT_NEW);
}

static void fabric_pool_on_move(void *context, struct slot *slot, enum slot_phase from, const char *cause)
{
	struct pool *pool = context;

	(void)cause;
	fabric_pool_follow_ready(pool, slot, from);
	if (fabric_pool_is_concerned(slot, from))
		fabric_pool_report(pool);
	if (slot->phase == SLOT_MAKING)
		pool->cold_total++;
	if (slot->phase == SLOT_GONE && from != SLOT_NEW)
		fabric_pool_shrink(pool);
	fabric_pool_follow_making(pool, slot, from);
	if (fabric_pool_has_gained(slot, from))
		fabric_pool_refill_soon(pool);
}

static void fabric_pool_on_tick(void *context)
{
	struct pool *pool = context;

	/* Its size may have been reloaded. */
	fabric_pool_shrink(pool);
	fabric_pool_refill_soon(pool);
	timer_start(&pool->tick, TICK_MS);
}

/* ---- questions of the daemon ---- */

void fabric_pool_state(const struct fabric *fabric, struct fabric_pool *state)
{
	const struct slot_states *states = &fabric->states;

	*state = (struct fabric_pool){
		.ready = states->counts[SLOT_READY],
		.target = fabric->config->pool.size,
		.quarantined = fabric_slot_count_quarantined(states),
		.deleting = states->counts[SLOT_LEAVING] + fabric_slot_count_teardowns(states),
		.cold_total = fabric->pool->cold_total,
		.deferred_total = fabric->deferred_total,
	};
}

void fabric_shun(struct fabric *fabric, unsigned slot, bool shun)
{
	if (slot < 1 || slot > CONFIG_SLOT_MAX)
		return;
	if (shun) {
		fabric->shunned[slot] |= SHUN_CALLER;
		return;
	}
	fabric->shunned[slot] &= (uint8_t)~SHUN_CALLER;
	fabric_pool_shrink(fabric->pool);
	fabric_pool_refill_soon(fabric->pool);
}

unsigned fabric_pool_slot(const struct fabric *fabric)
{
	const struct slot *slot = TAILQ_FIRST(&fabric->pool->ready);

	return slot ? slot->number : 0;
}

struct pool *fabric_pool_new(struct fabric *fabric, struct err *err)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool) {
		err_set(err, ENOMEM, "pool");
		return NULL;
	}
	pool->fabric = fabric;
	TAILQ_INIT(&pool->ready);
	if (timer_init(&pool->refill, fabric->base, fabric_pool_on_refill, pool, err) < 0 ||
	    timer_init(&pool->tick, fabric->base, fabric_pool_on_tick, pool, err) < 0) {
		fabric_pool_free(pool);
		return NULL;
	}
	timer_start(&pool->tick, TICK_MS);
	fabric_slot_listen(&fabric->states, fabric_pool_on_move, pool);
	return pool;
}

void fabric_pool_free(struct pool *pool)
{
	if (!pool)
		return;
	timer_free(&pool->refill);
	timer_free(&pool->tick);
	free(pool);
}
