/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots prepared ahead. They are made like all others, of the configuration's defaults and for nobody, by jobs that come after
 * everybody who waits; one at a time, so that a claim that finds the pool empty waits for what is being made at most, and for
 * nothing else. The lowest free numbers are taken. What becomes of released slots stands in recycle.c.
 */
#include "fabric/state.h"

#include "base/log.h"
#include "fabric/slot/plan.h"

#include <errno.h>
#include <stdlib.h>

enum { RETRY_MS = 1000, LOW_SHARE = 4, RENEWING_MAX = 4 };

struct pool {
	struct fabric *fabric;
	struct slot_queue ready;
	unsigned ready_count, making, renewing, quarantined;
	bool open;
	struct timer refill;
	uint64_t cold_total;
};

static void changed(struct pool *pool)
{
	pool->fabric->watcher.pool_changed(pool->fabric->watcher.context);
}

struct plan_share *pool_plan(const struct fabric *fabric, unsigned number)
{
	const struct config_owner *owner = &fabric->config->pool.tap_owner;
	/* No policy at all: a claim adds what it wants, and there is no VM on the TAP before. */
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

	return plan_share_new(&plan);
}

static unsigned lowest_free(const struct fabric *fabric)
{
	unsigned max = config_slot_max(fabric->config);

	for (unsigned number = 1; number <= max; number++) {
		if (!fabric->slots[number] && !fabric->shunned[number])
			return number;
	}
	return 0;
}

bool pool_wants(const struct pool *pool)
{
	return pool->open && !pool->fabric->stopping &&
	       pool->ready_count + pool->making + pool->renewing < pool->fabric->config->pool.size;
}

bool pool_wants_renewed(const struct pool *pool)
{
	return pool_wants(pool) && pool->renewing < RENEWING_MAX;
}

bool pool_is_low(const struct pool *pool)
{
	return pool->ready_count < pool->fabric->config->pool.size / LOW_SHARE;
}

/* Begins one more; the next follows when it is there. */
static void refill(struct pool *pool)
{
	struct fabric *fabric = pool->fabric;
	struct slot *slot;
	unsigned number;

	if (!pool_wants(pool) || pool->making)
		return;
	number = lowest_free(fabric);
	slot = number ? slot_new(fabric, number, SLOT_MAKING) : NULL;
	if (!slot)
		return;
	slot->plan = pool_plan(fabric, number);
	if (!slot->plan) {
		slot_forget(fabric, slot);
		return;
	}
	slot->of_pool = true;
	pool->making++;
	fabric_start_making(fabric, slot, JOB_REFILL);
}

static void on_refill(void *context)
{
	refill(context);
}

static void refill_soon(struct pool *pool)
{
	unsigned a_second = pool->fabric->config->pool.refill;

	if (pool_wants(pool) && !timer_is_armed(&pool->refill))
		timer_start(&pool->refill, a_second ? 1000 / a_second : 0);
}

void pool_open(struct pool *pool)
{
	pool->open = true;
	refill_soon(pool);
}

void fabric_reconfigure(struct fabric *fabric)
{
	refill_soon(fabric->pool);
	changed(fabric->pool);
}

void pool_add_ready(struct pool *pool, struct slot *slot)
{
	slot->phase = SLOT_READY;
	slot->pooled = true;
	TAILQ_INSERT_TAIL(&pool->ready, slot, next);
	pool->ready_count++;
	changed(pool);
	refill_soon(pool);
}

void pool_remove_ready(struct pool *pool, struct slot *slot)
{
	if (!slot->pooled)
		return;
	slot->pooled = false;
	TAILQ_REMOVE(&pool->ready, slot, next);
	pool->ready_count--;
	changed(pool);
	refill_soon(pool);
}

void pool_quarantined(struct pool *pool, bool entered)
{
	if (entered)
		pool->quarantined++;
	else
		pool->quarantined--;
	changed(pool);
}

void pool_renewing(struct pool *pool, bool begun)
{
	if (begun)
		pool->renewing++;
	else
		pool->renewing--;
	refill_soon(pool);
}

/* After a reload there may be more of them than are wanted; one a time goes, from the end. */
static void shrink(struct pool *pool)
{
	struct slot *slot = TAILQ_LAST(&pool->ready, slot_queue);

	if (!slot || pool->fabric->stopping || pool->ready_count <= pool->fabric->config->pool.size)
		return;
	pool_remove_ready(pool, slot);
	fabric_start_going(pool->fabric, slot, NULL, NULL);
}

void pool_kick(struct pool *pool, bool failed)
{
	shrink(pool);
	if (failed && pool_wants(pool) && !timer_is_armed(&pool->refill))
		timer_start(&pool->refill, RETRY_MS);
	else
		refill_soon(pool);
}

void pool_made(struct pool *pool)
{
	pool->making--;
	refill_soon(pool);
}

void pool_count_cold(struct pool *pool)
{
	pool->cold_total++;
}

void fabric_pool_state(const struct fabric *fabric, struct fabric_pool *state)
{
	const struct pool *pool = fabric->pool;
	const struct slot *slot;

	*state = (struct fabric_pool){
		.ready = pool->ready_count,
		.target = fabric->config->pool.size,
		.quarantined = pool->quarantined,
		.deleting = fabric->going,
		.cold_total = pool->cold_total,
		.deferred_total = fabric->deferred_total,
	};
	TAILQ_FOREACH(slot, &fabric->deletions, next)
	state->deleting++;
}

void fabric_shun(struct fabric *fabric, unsigned slot, bool shun)
{
	if (slot < 1 || slot > CONFIG_SLOT_MAX)
		return;
	if (shun)
		fabric->shunned[slot] |= SHUN_CALLER;
	else
		fabric->shunned[slot] &= (uint8_t)~SHUN_CALLER;
	if (!shun)
		pool_kick(fabric->pool, false);
}

unsigned fabric_pool_slot(const struct fabric *fabric)
{
	const struct slot *slot = TAILQ_FIRST(&fabric->pool->ready);

	return slot ? slot->number : 0;
}

struct pool *pool_new(struct fabric *fabric, struct err *err)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool) {
		err_set(err, ENOMEM, "pool");
		return NULL;
	}
	pool->fabric = fabric;
	TAILQ_INIT(&pool->ready);
	if (timer_init(&pool->refill, fabric->base, on_refill, pool, err) == 0)
		return pool;
	free(pool);
	return NULL;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	timer_free(&pool->refill);
	free(pool);
}
