/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_FILTER_H
#define WEFT_HEALTH_FILTER_H

/*
 * The words for a rule of another program that stands in the way: its place, and the command that lets sandboxes pass. Shared by the
 * checks of doctor and the hops of diagnose. Any thread; pure, but for health_filter_ask(), which may make a trial.
 */

#include "inspect/ruleset.h"

#include <stddef.h>

struct config;
struct health_facts;

enum { HEALTH_FILTER_TEXT_SIZE = 320 };

/* The fate of a packet, as well as it can be known; worse ones later. */
enum health_fate {
	FATE_FREE,   /* no rule is in its way */
	FATE_PASSED, /* perhaps one is, but packets like it passed */
	FATE_DOUBT,  /* perhaps one is, and it could not be tried */
	FATE_CAUGHT, /* dropped or sent elsewhere, as the rules say or a trial showed */
};

enum { HEALTH_TRIED_SIZE = 200 };

/*
 * Asks the ruleset, and where that is in doubt makes a trial. *ANSWER: the rule, unless the fate is FREE. TRIED: what came of the trial,
 * or why there was none; "" where there was no doubt.
 */
enum health_fate health_filter_ask(const struct health_facts *facts, enum ruleset_hook hook, enum ruleset_verdict what,
				   const struct ruleset_packet *packet, struct ruleset_answer *answer,
				   char tried[static HEALTH_TRIED_SIZE]);

/* "nftables table ip filter, chain FORWARD, by its policy", from an answer that is not RULESET_NO. Returns TEXT. */
const char *health_filter_name(const struct ruleset_answer *answer, char text[static HEALTH_FILTER_TEXT_SIZE]);

/* The command by which PACKET, which CHAIN drops at HOOK, passes it. */
void health_filter_let_through(const struct ruleset *ruleset, const struct config *config, enum ruleset_hook hook,
			       const struct ruleset_packet *packet, const struct ruleset_chain *chain, char *text,
			       size_t size);

/* The command that exempts the destination of PACKET from the redirection of ANSWER. */
void health_filter_exempt(const struct config *config, const struct ruleset_packet *packet,
			  const struct ruleset_answer *answer, char *text, size_t size);

#endif
