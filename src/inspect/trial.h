/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_TRIAL_H
#define WEFT_INSPECT_TRIAL_H

/*
 * Where the model of rulesets can only say "perhaps", a packet is sent that meets the same rules, and what becomes of it is
 * looked at: over loopback to a listener made for it, or by links to a network namespace made for it.
 */

#include "inspect/ruleset.h"

#include <stddef.h>
#include <stdint.h>

struct inspect_trial {
	const struct ruleset *ruleset;
	/* The question that has only a doubtful answer. */
	enum ruleset_hook hook;
	enum ruleset_verdict what; /* VERDICT_DROP or VERDICT_REDIRECT */
	const struct ruleset_packet *packet;
	const struct ruleset_answer *answer;
	/* Ports that are not tried, because others wait there. */
	const uint16_t *spared;
	size_t spared_count;
	uint16_t spared_first, spared_last;
};

enum inspect_trial_result {
	TRIAL_NONE,   /* not tried */
	TRIAL_PASSED, /* each packet arrived */
	TRIAL_CAUGHT, /* one did not, or somebody else answered */
};

/*
 * Makes the trial, in some seconds at most. Writes to TEXT how it was made and what came of it, or why there was none. What it makes is
 * gone afterwards, however the process ends. All but loopback needs CAP_NET_ADMIN. Any thread, which stays in its namespace.
 */
enum inspect_trial_result inspect_trial_run(const struct inspect_trial *trial, char *text, size_t size);

/* The same over loopback alone, and by links alone. */
enum inspect_trial_result inspect_trial_loopback(const struct inspect_trial *trial, char *text, size_t size);
enum inspect_trial_result inspect_trial_links(const struct inspect_trial *trial, char *text, size_t size);

/* Whether PACKET meets the same rules as the trial's packet, with the same certainty. */
bool inspect_trial_is_alike(const struct inspect_trial *trial, const struct ruleset_packet *packet);

/* A port for PACKET, tried or not yet (ATTEMPT counts from 0), at which it is alike; 0: none was found. */
uint16_t inspect_trial_port(const struct inspect_trial *trial, struct ruleset_packet *packet, unsigned attempt);

#endif
