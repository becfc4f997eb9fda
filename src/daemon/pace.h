/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PACE_H
#define WEFT_DAEMON_PACE_H

/*
 * When to do something again that somebody undoes, or that fails: at once at first, then less and less often. Pure; a struct of
 * zeroes is ready. Times are clock_now_ms().
 */

#include <stdbool.h>
#include <stdint.h>

struct pace {
	uint64_t not_before_ms;
	uint64_t last_ms; /* of the last repair; 0: none */
	unsigned delay_ms;
	bool failing;
};

/* Whether it may be done now. */
bool daemon_pace_allows(const struct pace *pace, uint64_t now_ms);

/* It failed: the next try is due in 1, 2, 4 ... 30 s. Whether this is the first failure in a row. */
bool daemon_pace_failed(struct pace *pace, uint64_t now_ms);

/* It was needed, and done. The next may follow at once, unless one follows the other: then in 0.1, 0.2 ... 30 s. */
void daemon_pace_done(struct pace *pace, uint64_t now_ms);

/* All is in order. Whether it failed before. */
bool daemon_pace_is_fine(struct pace *pace, uint64_t now_ms);

#endif
