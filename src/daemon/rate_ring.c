/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A float has 24 bits, which is exact enough for a picture, and no rate is too large for it. A reading that comes late stands for all
 * points that it missed.
 */
#include "daemon/rate_ring.h"

/* What COUNTED has grown by since *KNOWN, which it becomes. */
static struct rate_bytes daemon_rate_ring_advance(struct rate_bytes *known, bool *has, const struct rate_bytes *counted)
{
	struct rate_bytes before = *known;

	*known = *counted;
	if (!*has) {
		*has = true;
		return (struct rate_bytes){ 0 };
	}
	if (counted->to_guest < before.to_guest || counted->from_guest < before.from_guest)
		return *counted;
	return (struct rate_bytes){ counted->to_guest - before.to_guest, counted->from_guest - before.from_guest };
}

void daemon_rate_ring_add(struct rate_ring *ring, const struct rate_bytes *kernel, const struct rate_bytes *forwarder,
			  uint64_t tick, unsigned steps)
{
	struct rate_bytes passed = daemon_rate_ring_advance(&ring->forwarder, &ring->has_forwarder, forwarder);
	float seconds = (float)steps * RATES_INTERVAL_MS / 1000;

	if (kernel) {
		struct rate_bytes more = daemon_rate_ring_advance(&ring->kernel, &ring->has_kernel, kernel);
		passed.to_guest += more.to_guest;
		passed.from_guest += more.from_guest;
	}
	for (unsigned i = 0; i < steps && i < RATES_POINTS; i++) {
		size_t at = (tick - i) % RATES_POINTS;
		ring->to_guest[at] = (float)passed.to_guest / seconds;
		ring->from_guest[at] = (float)passed.from_guest / seconds;
	}
}

unsigned daemon_rate_ring_points(const struct rate_ring *ring, uint64_t tick, unsigned limit)
{
	for (unsigned points = limit < RATES_POINTS ? limit : RATES_POINTS; points > 0; points--) {
		size_t at = (tick - points + 1) % RATES_POINTS;
		if (ring->to_guest[at] > 0 || ring->from_guest[at] > 0)
			return points;
	}
	return 0;
}
