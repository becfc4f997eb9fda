/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A repair that follows another within the time below was undone by the same program, and waits twice as long as that one did.
 */
#include "daemon/pace.h"

#include "base/backoff.h"

enum {
	RETRY_MS = 1000,
	UNDONE_MS = 100,
	MOST_MS = 30 * 1000,
	FORGET_MS = 10 * 1000, /* beyond the delay itself */
};

static void daemon_pace_wait(struct pace *pace, uint64_t now_ms, unsigned least_ms)
{
	pace->delay_ms = base_backoff_next(pace->delay_ms, least_ms, MOST_MS);
	pace->not_before_ms = now_ms + pace->delay_ms;
}

bool daemon_pace_allows(const struct pace *pace, uint64_t now_ms)
{
	return now_ms >= pace->not_before_ms;
}

bool daemon_pace_failed(struct pace *pace, uint64_t now_ms)
{
	bool first = !pace->failing;

	if (first)
		pace->delay_ms = 0;
	pace->failing = true;
	daemon_pace_wait(pace, now_ms, RETRY_MS);
	return first;
}

void daemon_pace_done(struct pace *pace, uint64_t now_ms)
{
	bool quarrel = pace->last_ms && now_ms - pace->last_ms < pace->delay_ms + (uint64_t)FORGET_MS;

	if (pace->failing || !quarrel) {
		pace->delay_ms = 0;
		pace->not_before_ms = now_ms;
	} else {
		daemon_pace_wait(pace, now_ms, UNDONE_MS);
	}
	pace->failing = false;
	pace->last_ms = now_ms;
}

bool daemon_pace_is_fine(struct pace *pace, uint64_t now_ms)
{
	bool failed = pace->failing;

	if (failed) {
		pace->failing = false;
		pace->delay_ms = 0;
		pace->not_before_ms = now_ms;
	}
	return failed;
}
