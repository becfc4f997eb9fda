/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loopback comes first: it takes no privileges and makes nothing but sockets.
 */
#include "inspect/trial.h"

#include <stdio.h>

enum inspect_trial_result inspect_trial_run(const struct inspect_trial *trial, char *text, size_t size)
{
	if (trial->answer->elsewhere) {
		snprintf(text, size, "it depends on addresses or links that no trial may use");
		return TRIAL_NONE;
	}
	enum inspect_trial_result result = inspect_trial_loopback(trial, text, size);
	return result == TRIAL_NONE ? inspect_trial_links(trial, text, size) : result;
}
