/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sandbox that is asleep: nothing is sent to its guest, and a VM that is gone is no fault, for its snapshot may be on disk. But its
 * manager must resume it once it was asked.
 */
#include "health/walk.h"

#include <stdio.h>

bool hop_is_asleep(const struct walk *walk)
{
	return walk->request->state == SANDBOX_PAUSED && walk->request->sleep.asleep;
}

void hop_asleep_tell(const struct walk *walk, char *text, size_t size)
{
	const struct diagnose_sleep *sleep = &walk->request->sleep;
	char age[HOP_AGE_SIZE];

	if (sleep->asked)
		snprintf(text, size, "asleep: its manager was asked %s to resume it, because of %s",
			 hop_age(sleep->asked_age_ms, age), sleep->asked_by);
	else
		snprintf(text, size, "asleep: woken by %s", sleep->wakers);
}

enum hop_status hop_asleep_judge(struct walk *walk, struct hop *hop)
{
	const struct diagnose_sleep *sleep = &walk->request->sleep;
	char age[HOP_AGE_SIZE];

	if (!hop_is_asleep(walk) || !sleep->asked || sleep->asked_age_ms <= sleep->timeout_ms)
		return hop_skip(hop, "paused: not tried");
	walk_cause(walk, "its manager was asked %s to resume it, because of %s, and has not",
		   hop_age(sleep->asked_age_ms, age), sleep->asked_by);
	walk_next_step(walk, "look at the log of the VM manager: the one at [wake] notify, or the one that reads "
			     "/v1/events; weftctl ls --filter wake=asked lists what waits for it");
	return hop_fail(hop, "paused, and not resumed although asked %s", age);
}
