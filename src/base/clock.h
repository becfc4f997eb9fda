/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC: for deadlines and durations. Any thread. */
uint64_t clock_now_ms(void);

/* Microseconds of CLOCK_MONOTONIC: for measurements. Any thread. */
uint64_t clock_now_us(void);

/* Milliseconds since the epoch, CLOCK_REALTIME: for people and for stored files. Any thread. */
int64_t clock_wall_ms(void);

enum { CLOCK_TEXT_SIZE = 32 };

/*
 * WALL_MS (since the epoch) as RFC 3339 in UTC with seconds, "2026-01-14T09:37:00Z", into TEXT. Returns TEXT. Any thread, and a
 * signal handler.
 */
char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]);

/* The same with milliseconds, "2026-01-14T09:37:00.123Z", for readers who measure the time between two lines. */
char *clock_format_ms(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]);

/* The reverse of clock_format(): 0 and *WALL_MS, or -1 if TEXT is anything else. */
int clock_parse(const char *text, int64_t *wall_ms);

#endif
