/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_BURST_H
#define WEFT_BASE_BURST_H

/* Work that others can provoke without end is done at most BURST times in INTERVAL_MS. One thread. */

#include <stdbool.h>
#include <stdint.h>

/* Zeroed but for the two limits. */
struct base_burst {
	unsigned burst;
	unsigned interval_ms;
	uint64_t started_ms; /* of the current interval */
	unsigned done;       /* in it */
};

/* Whether it may be done once more at NOW_MS, clock_now_ms(). If so, it counts as done. */
static inline bool base_burst_allows(struct base_burst *burst, uint64_t now_ms)
{
	if (!burst->started_ms || now_ms - burst->started_ms >= burst->interval_ms) {
		burst->started_ms = now_ms;
		burst->done = 0;
	}
	return burst->done < burst->burst && ++burst->done;
}

#endif
