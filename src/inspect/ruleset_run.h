/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_RUN_H
#define WEFT_INSPECT_RULESET_RUN_H

/*
 * Runs a rule for a packet. Private to the model of rulesets. Values are known bit by bit: beside the bits is a mask of those that
 * are known.
 */

#include "inspect/ruleset.h"

/* What rules change as the packet goes from chain to chain. */
struct ruleset_state {
	uint8_t mark[4], mark_known[4], ct_mark[4], ct_mark_known[4];
	enum ruleset_certainty untracked, altered;
};

struct ruleset_moment {
	const struct ruleset *ruleset;
	const struct ruleset_packet *packet;
	enum ruleset_hook hook;
	int32_t priority;
	struct ruleset_state *state;
	bool elsewhere; /* see struct ruleset_answer */
};

/* The registers after a rule, for its map of verdicts. */
struct ruleset_registers {
	uint8_t bits[RULESET_REGISTERS_SIZE], known[RULESET_REGISTERS_SIZE];
};

/* A connection's first packet, before any rule. */
void inspect_state_begin(struct ruleset_state *state, const struct ruleset_packet *packet);

/* Writes the bytes of the step's field. False: the packet has none, and the rule ends. */
bool inspect_field_load(const struct ruleset_moment *moment, const struct ruleset_step *step, uint8_t *bits,
			uint8_t *known);

/* Whether the LENGTH bytes compare to VALUE like that. */
enum ruleset_certainty inspect_value_compares(const uint8_t *bits, const uint8_t *known, const uint8_t *value,
					      size_t length, enum ruleset_compare compare);
/* Whether they are in LOW ... HIGH. */
enum ruleset_certainty inspect_value_is_within(const uint8_t *bits, const uint8_t *known, const uint8_t *low,
					       const uint8_t *high, size_t length);

/* Whether the key is in ELEMENT of SET, other than one for all keys. */
enum ruleset_certainty inspect_set_element_has(const struct ruleset_set *set, const struct ruleset_element *element,
					       const uint8_t *bits, const uint8_t *known);
/* Whether it is in the set. *ELEMENT gets the element if only one can be it; else NULL. */
enum ruleset_certainty inspect_set_has(const struct ruleset_set *set, const uint8_t *bits, const uint8_t *known,
				       const struct ruleset_element **element);

/*
 * Runs RULE, which is reached with the certainty REACH, and changes the state. Returns whether it comes to its verdict. *VERDICTS:
 * the step that takes the verdict from a map; NULL if there is none.
 */
enum ruleset_certainty inspect_rule_run(struct ruleset_moment *moment, const struct ruleset_rule *rule,
					enum ruleset_certainty reach, struct ruleset_registers *registers,
					const struct ruleset_step **verdicts);

/* Mixes NUMBER into the way. */
void inspect_way_add(uint64_t *way, uint64_t number);

#endif
