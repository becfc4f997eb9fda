/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A caller that claims one slot mostly claims more. While claims follow each other, work that is not urgent, such as names and
 * refills, is deferred: it leaves the processors and the kernel's locks to the claims. That has its limits, in time and when the
 * pool runs low, for then the claims to come would pay.
 */
#include "fabric/defer.h"

#include "base/clock.h"
#include "fabric/state.h"

enum { DEFER_MS = 5, DEFER_MOST_MS = 50, LOW_SHARE = 4 };

/* Few ready slots are left: more are prepared whatever else goes on. */
static bool fabric_pool_is_low(const struct fabric *fabric)
{
	return fabric->states.counts[SLOT_READY] < fabric->config->pool.size / LOW_SHARE;
}

void fabric_defer_background(struct fabric *fabric)
{
	uint64_t now = clock_now_ms(), limit = fabric->defer_from_ms + DEFER_MOST_MS;

	if (fabric_pool_is_low(fabric))
		return;
	if (now >= fabric->defer_until_ms) {
		/* A deferral that came to its limit is followed by as long a rest. */
		if (fabric->defer_until_ms == limit && now < limit + DEFER_MOST_MS)
			return;
		fabric->defer_from_ms = now;
		limit = now + DEFER_MOST_MS;
	}
	fabric->defer_until_ms = now + DEFER_MS < limit ? now + DEFER_MS : limit;
	fabric_job_thread_defer(fabric->builder, fabric->defer_until_ms);
	fabric_job_thread_defer(fabric->claimer, fabric->defer_until_ms);
}
