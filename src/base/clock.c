/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two clocks: the monotonic one for all times that are compared, the wall clock for all times that are shown or stored.
 */
#include "base/clock.h"

#include <string.h>
#include <time.h>

enum { CLOCK_SECONDS_LENGTH = sizeof("2026-01-14T09:37:00") - 1 };

static struct timespec clock_read(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time;
}

uint64_t clock_now_ms(void)
{
	return clock_now_us() / 1000;
}

uint64_t clock_now_us(void)
{
	struct timespec time = clock_read(CLOCK_MONOTONIC);

	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	struct timespec time = clock_read(CLOCK_REALTIME);

	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* NUMBER as DIGITS digits, and END behind them; returns the place behind that. */
static char *clock_put(char *text, unsigned number, unsigned digits, char end)
{
	for (unsigned i = digits; i-- > 0; number /= 10)
		text[i] = (char)('0' + number % 10);
	text[digits] = end;
	return text + digits + 1;
}

/* gmtime_r(3) and strftime(3) take locks, so a signal handler may call neither. The years of this count begin in March. */
char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE])
{
	enum { DAYS_1970 = 719468, DAYS_ERA = 146097, DAYS_CENTURY = 36524, DAYS_LEAP = 1460, DAYS_FIVE_MONTHS = 153 };
	uint64_t seconds = wall_ms > 0 ? (uint64_t)wall_ms / 1000 : 0;
	uint64_t days = seconds / 86400 + DAYS_1970;
	unsigned clock = (unsigned)(seconds % 86400);
	unsigned day = (unsigned)(days % DAYS_ERA); /* of the era of 400 years */
	unsigned year = (day - day / DAYS_LEAP + day / DAYS_CENTURY - day / (DAYS_ERA - 1)) / 365;
	unsigned day_of_year = day - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * day_of_year + 2) / DAYS_FIVE_MONTHS; /* 0: March */
	char *next = text;

	next = clock_put(next, year + (unsigned)(days / DAYS_ERA) * 400 + (month >= 10), 4, '-');
	next = clock_put(next, month < 10 ? month + 3 : month - 9, 2, '-');
	next = clock_put(next, day_of_year - (DAYS_FIVE_MONTHS * month + 2) / 5 + 1, 2, 'T');
	next = clock_put(next, clock / 3600, 2, ':');
	next = clock_put(next, clock / 60 % 60, 2, ':');
	next = clock_put(next, clock % 60, 2, 'Z');
	*next = '\0';
	return text;
}

char *clock_format_ms(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE])
{
	char *end = clock_format(wall_ms, text) + CLOCK_SECONDS_LENGTH;

	*end++ = '.';
	end = clock_put(end, wall_ms > 0 ? (unsigned)(wall_ms % 1000) : 0, 3, 'Z');
	*end = '\0';
	return text;
}

int clock_parse(const char *text, int64_t *wall_ms)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	char again[CLOCK_TEXT_SIZE];

	if (!end || *end)
		return -1;
	*wall_ms = (int64_t)timegm(&tm) * 1000;
	return strcmp(clock_format(*wall_ms, again), text) == 0 ? 0 : -1;
}
