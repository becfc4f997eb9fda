/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_BACKOFF_H
#define WEFT_BASE_BACKOFF_H

/*
 * The pause before another attempt: FIRST at first, then twice the PAUSE before, MOST at most. PAUSE is 0 while nothing has failed.
 * Any unit, the same for all three. Pure.
 */
static inline unsigned base_backoff_next(unsigned pause, unsigned first, unsigned most)
{
	if (pause < first)
		return first;
	return pause < most / 2 ? 2 * pause : most;
}

#endif
