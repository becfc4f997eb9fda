/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing here is locked or looped over: what is in use follows from counters that exist anyway (tally.c), a connection counting
 * two descriptors from its accept on. Threads that ask at the same moment may together take a few more than a share.
 *
 * A share is an equal part of all, with one part for a route that has nothing yet. That alone would let two floods, one after the
 * other, take everything. So of the last sixteenth a route gets no more than it leaves: each further flood takes half of it at
 * most. A route that has next to nothing is never over its share, and when nothing usable is left it gets a part of the reserve.
 */
#include "forwarder/fair_share.h"

#include "base/descriptors.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/tally.h"

enum {
	LOOK_MS = 1000, /* between looks at the limit */
	LAST_PART = 16,
	FEW = 2 * SHARE_CONNECTION, /* descriptors of a route, below which it is never over its share */
	MARGIN = 4,                 /* descriptors left to the process where there is no reserve */
};

/* ---- Arithmetic ---- */

struct share_parts fwd_share_divide(size_t limit, size_t fixed, size_t clients)
{
	size_t reserve = base_descriptors_reserve(limit);
	/* The rest of the reserve is for fabric and store. */
	size_t for_clients = reserve - reserve * DESCRIPTORS_INTERNAL / DESCRIPTORS_RESERVE;

	if (!reserve)
		return (struct share_parts){
			.usable = limit > fixed + MARGIN ? (int64_t)(limit - fixed - MARGIN) : 0,
			.elsewhere = (int64_t)clients,
			.loan = 0,
		};
	return (struct share_parts){
		.usable = (int64_t)(limit - reserve),
		.elsewhere = (int64_t)(fixed + (clients > for_clients ? clients - for_clients : 0)),
		.loan = (int64_t)(reserve / 2),
	};
}

static bool fwd_share_are_scarce(int64_t usable, int64_t left)
{
	return left < usable / 4;
}

bool fwd_share_is_due(int64_t usable, int64_t left, int64_t busy, int64_t used)
{
	if (!fwd_share_are_scarce(usable, left) || used < FEW)
		return true;
	return used < usable / (busy + 1) && (used < left || left >= usable / LAST_PART);
}

/* ---- Counters ---- */

static int64_t fwd_share_value(const _Atomic int64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static int64_t fwd_share_usable(const struct forwarder *forwarder)
{
	return fwd_share_value(&forwarder->fair_share.usable);
}

static int64_t fwd_share_own(const struct forwarder *forwarder)
{
	return fwd_tally_descriptors(forwarder) + fwd_share_value(&forwarder->fair_share.held);
}

static int64_t fwd_share_free_now(const struct forwarder *forwarder)
{
	return fwd_share_usable(forwarder) - fwd_share_own(forwarder) -
	       fwd_share_value(&forwarder->fair_share.elsewhere);
}

bool fwd_share_is_scarce(const struct forwarder *forwarder)
{
	return fwd_share_are_scarce(fwd_share_usable(forwarder), fwd_share_free_now(forwarder));
}

static bool fwd_share_is_there(const struct forwarder *forwarder, int64_t left, int cost)
{
	return left + fwd_share_value(&forwarder->fair_share.loan) >= cost;
}

bool fwd_share_has_room(const struct forwarder *forwarder, int cost)
{
	return fwd_share_is_there(forwarder, fwd_share_free_now(forwarder), cost);
}

int fwd_share_room(const struct forwarder *forwarder, int most)
{
	int64_t part = fwd_share_usable(forwarder) / 4;

	return part < SHARE_CONNECTION ? SHARE_CONNECTION : part < most ? (int)part : most;
}

bool fwd_share_allows(const struct fwd_route *route, int cost)
{
	const struct forwarder *forwarder = route->forwarder;
	int64_t left = fwd_share_free_now(forwarder);

	return fwd_share_is_there(forwarder, left, cost) &&
	       fwd_share_is_due(fwd_share_usable(forwarder), left, fwd_tally_busy_routes(forwarder),
				fwd_tally_route_descriptors(route));
}

bool fwd_share_allows_at_door(const struct forwarder *forwarder)
{
	return fwd_share_is_due(fwd_share_usable(forwarder), fwd_share_free_now(forwarder),
				fwd_tally_busy_routes(forwarder), fwd_share_value(&forwarder->fair_share.at_door));
}

size_t fwd_share_in_use(const struct forwarder *forwarder)
{
	const struct fair_share *share = &forwarder->fair_share;

	return (size_t)fwd_share_own(forwarder) + share->fixed + share->clients;
}

void fwd_share_add_stats(const struct forwarder *forwarder, struct fwd_stats *stats)
{
	int64_t left = fwd_share_free_now(forwarder);

	stats->usable = (uint64_t)fwd_share_usable(forwarder);
	stats->usable_free = left > 0 ? (uint64_t)left : 0;
}

/* ---- Main ---- */

void fwd_share_hold(struct forwarder *forwarder, int change)
{
	atomic_fetch_add_explicit(&forwarder->fair_share.held, change, memory_order_relaxed);
}

void fwd_share_hold_at_door(struct forwarder *forwarder, int change)
{
	atomic_fetch_add_explicit(&forwarder->fair_share.at_door, change, memory_order_relaxed);
	fwd_share_hold(forwarder, change);
}

void fwd_share_read_limit(struct forwarder *forwarder)
{
	struct fair_share *share = &forwarder->fair_share;

	share->limit = base_descriptors_limit();
	struct share_parts parts = fwd_share_divide(share->limit, share->fixed, share->clients);
	atomic_store_explicit(&share->usable, parts.usable, memory_order_relaxed);
	atomic_store_explicit(&share->elsewhere, parts.elsewhere, memory_order_relaxed);
	atomic_store_explicit(&share->loan, parts.loan, memory_order_relaxed);
}

void fwd_set_descriptors(struct forwarder *forwarder, size_t fixed)
{
	forwarder->fair_share.fixed = fixed;
	fwd_share_read_limit(forwarder);
}

void fwd_set_clients(struct forwarder *forwarder, size_t clients)
{
	if (forwarder->fair_share.clients == clients)
		return;
	forwarder->fair_share.clients = clients;
	fwd_share_read_limit(forwarder);
}

static void fwd_share_look(void *context)
{
	struct forwarder *forwarder = context;

	fwd_share_read_limit(forwarder);
	timer_start(&forwarder->fair_share.look, LOOK_MS);
}

int fwd_share_init(struct forwarder *forwarder, struct err *err)
{
	if (timer_init(&forwarder->fair_share.look, forwarder->base, fwd_share_look, forwarder, err) < 0)
		return -1;
	timer_start(&forwarder->fair_share.look, LOOK_MS);
	fwd_set_descriptors(forwarder, base_descriptors_count());
	return 0;
}

void fwd_share_free(struct forwarder *forwarder)
{
	timer_free(&forwarder->fair_share.look);
}
