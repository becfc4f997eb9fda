/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet stands for the one in question if it meets the same rules with the same certainty. A doubt that may come from
 * addresses or links themselves, such as a match that looks into an ipset, cannot be settled by another packet.
 */
#include "inspect/trial.h"

#include <sys/random.h>

enum { FIRST_PORT = 1024, PORT_TRIES = 256 };

bool inspect_trial_is_alike(const struct inspect_trial *trial, const struct ruleset_packet *packet)
{
	struct ruleset_answer answer = inspect_ruleset_ask(trial->ruleset, trial->hook, trial->what, packet);

	return answer.certainty == trial->answer->certainty && answer.chain == trial->answer->chain &&
	       answer.rule == trial->answer->rule && answer.way == trial->answer->way;
}

static bool inspect_trial_spares(const struct inspect_trial *trial, uint16_t port)
{
	if (port >= trial->spared_first && port <= trial->spared_last)
		return true;
	for (size_t i = 0; i < trial->spared_count; i++)
		if (trial->spared[i] == port)
			return true;
	return false;
}

uint16_t inspect_trial_port(const struct inspect_trial *trial, struct ruleset_packet *packet, unsigned attempt)
{
	uint16_t numbers[PORT_TRIES];
	uint16_t asked = trial->packet->port;

	if (getrandom(numbers, sizeof(numbers), 0) != sizeof(numbers))
		return 0;
	/* Ports near the one in question are the likeliest to be in its range. */
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		unsigned near = i / 2 + 1 + attempt * 16;
		unsigned port = i >= PORT_TRIES / 2 ? numbers[i] : i % 2 ? asked + near : asked - near;
		if (port < FIRST_PORT || port > UINT16_MAX || inspect_trial_spares(trial, (uint16_t)port))
			continue;
		packet->port = (uint16_t)port;
		if (inspect_trial_is_alike(trial, packet))
			return packet->port;
	}
	return 0;
}
