/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RATE_RING_H
#define WEFT_DAEMON_RATE_RING_H

/*
 * The traffic of one sandbox over the last two minutes, under a KiB. It lies in its tenant, so that no point is ever without memory.
 * Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RATES_POINTS = 60, RATES_INTERVAL_MS = 2000 };

/* Bytes that a counter has seen since it began. */
struct rate_bytes {
	uint64_t to_guest, from_guest;
};

/* Zeroed before the first call. */
struct rate_ring {
	float to_guest[RATES_POINTS],
	    from_guest[RATES_POINTS];        /* bytes a second; the point of TICK is at TICK % RATES_POINTS */
	struct rate_bytes kernel, forwarder; /* the last readings */
	bool has_kernel, has_forwarder;      /* whether there were any */
};

/*
 * Adds the traffic since the last readings, over the STEPS points that end with TICK. KERNEL is NULL where the kernel's counter was not
 * found. The first reading of a counter is where it is counted from; one that begins anew counts from 0.
 */
void daemon_rate_ring_add(struct rate_ring *ring, const struct rate_bytes *kernel, const struct rate_bytes *forwarder,
			  uint64_t tick, unsigned steps);

/* The number of points up to TICK, at most LIMIT, behind which there are only zeros. 0: nothing passed. */
unsigned daemon_rate_ring_points(const struct rate_ring *ring, uint64_t tick, unsigned limit);

#endif
