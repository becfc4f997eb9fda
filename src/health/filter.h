/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_FILTER_H
#define WEFT_HEALTH_FILTER_H

/*
 * The words for a rule of another program that stands in the way: its place, and the command that lets sandboxes pass. Shared by the
 * checks of doctor and the hops of diagnose. Pure; any thread.
 */

#include "inspect/ruleset.h"

#include <stddef.h>

struct config;

enum { HEALTH_FILTER_TEXT_SIZE = 320 };

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
