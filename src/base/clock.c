/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two clocks: the monotonic one for all times that are compared, the wall clock for all times that are shown or stored.
 */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

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

char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
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
