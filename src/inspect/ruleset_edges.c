/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows a field through the registers of each rule to the values that it is compared with. A value that was changed on the way
 * (masked, shifted) has its edges elsewhere; it is followed all the same, which costs a few packets more to ask about.
 */
#include "inspect/ruleset.h"

#include <arpa/inet.h>
#include <string.h>

struct edges_walk {
	const struct ruleset *ruleset;
	enum ruleset_edge edge;
	void (*take)(void *context, uint32_t value);
	void *context;
	/* For each register's byte, whether the field begins there, and whether it is in the order of the network. */
	bool here[RULESET_REGISTERS_SIZE], network[RULESET_REGISTERS_SIZE];
};

static size_t inspect_edges_width(enum ruleset_edge edge)
{
	return edge == EDGE_PORT ? 2 : 4;
}

static void inspect_edges_tell(struct edges_walk *walk, uint32_t value, int64_t most)
{
	for (int64_t near = (int64_t)value - 1; near <= (int64_t)value + 1; near++)
		if (near >= 0 && near <= most)
			walk->take(walk->context, (uint32_t)near);
}

/* KEY is compared with what begins at REGISTER. */
static void inspect_edges_look(struct edges_walk *walk, const uint8_t *key, uint8_t at, size_t length)
{
	size_t width = inspect_edges_width(walk->edge);
	uint16_t port;
	uint32_t number = 0;

	for (size_t i = 0; i + width <= length && at + i + width <= RULESET_REGISTERS_SIZE; i++) {
		if (!walk->here[at + i])
			continue;
		memcpy(&port, key + i, sizeof(port));
		if (width == sizeof(number))
			memcpy(&number, key + i, sizeof(number));
		if (walk->edge == EDGE_PORT)
			inspect_edges_tell(walk, ntohs(port), UINT16_MAX);
		else
			inspect_edges_tell(walk, walk->network[at + i] ? ntohl(number) : number, UINT32_MAX - 1);
	}
}

static void inspect_edges_look_up(struct edges_walk *walk, const struct ruleset_step *step)
{
	if (step->set >= walk->ruleset->sets.count)
		return;
	const struct ruleset_set *set = &walk->ruleset->sets.items[step->set];
	for (size_t i = 0; i < set->elements.count; i++) {
		inspect_edges_look(walk, set->elements.items[i].low, step->source, set->key_length);
		inspect_edges_look(walk, set->elements.items[i].high, step->source, set->key_length);
	}
}

static bool inspect_edges_is_field(const struct edges_walk *walk, const struct ruleset_step *step)
{
	switch (walk->edge) {
	case EDGE_PORT:
		return step->field == FIELD_TRANSPORT && step->offset <= 2 && step->offset + step->length >= 4;
	case EDGE_USER:
		return step->field == FIELD_USER;
	case EDGE_USER_GROUP:
		return step->field == FIELD_USER_GROUP;
	}
	return false;
}

/* Forgets the four bytes and more that a step writes. */
static void inspect_edges_write(struct edges_walk *walk, uint8_t at, size_t length)
{
	for (size_t i = at; i < at + length && i < RULESET_REGISTERS_SIZE; i++)
		walk->here[i] = walk->network[i] = false;
}

static void inspect_edges_step(struct edges_walk *walk, const struct ruleset_step *step)
{
	size_t at = step->target;

	switch (step->kind) {
	case STEP_LOAD:
		inspect_edges_write(walk, step->target, step->length);
		if (inspect_edges_is_field(walk, step)) {
			at += walk->edge == EDGE_PORT ? 2u - step->offset : 0u;
			if (at < RULESET_REGISTERS_SIZE)
				walk->here[at] = true;
		}
		break;
	case STEP_SET:
	case STEP_FORGET:
		inspect_edges_write(walk, step->target, step->length);
		break;
	case STEP_SWAP:
	case STEP_MASK:
	case STEP_SHIFT:
		if (at < RULESET_REGISTERS_SIZE && step->source < RULESET_REGISTERS_SIZE) {
			walk->here[at] = walk->here[step->source];
			walk->network[at] = walk->network[step->source] != (step->kind == STEP_SWAP);
		}
		break;
	case STEP_COMPARE:
		inspect_edges_look(walk, step->a, step->source, step->length);
		break;
	case STEP_RANGE:
		inspect_edges_look(walk, step->a, step->source, step->length);
		inspect_edges_look(walk, step->b, step->source, step->length);
		break;
	case STEP_LOOKUP:
	case STEP_VERDICTS:
		inspect_edges_look_up(walk, step);
		break;
	case STEP_DOUBT:
	case STEP_NEVER:
	case STEP_MARK:
	case STEP_CT_MARK:
	case STEP_ALTER:
	case STEP_UNTRACK:
		break;
	}
}

void inspect_ruleset_edges(const struct ruleset *ruleset, enum ruleset_edge edge,
			   void (*take)(void *context, uint32_t value), void *context)
{
	for (size_t i = 0; i < ruleset->count; i++) {
		const struct ruleset_chain *chain = &ruleset->items[i];
		for (size_t j = 0; j < chain->rules.count; j++) {
			const struct ruleset_rule *rule = &chain->rules.items[j];
			struct edges_walk walk = { .ruleset = ruleset, .edge = edge, .take = take, .context = context };
			for (size_t k = 0; k < rule->steps.count; k++)
				inspect_edges_step(&walk, &rule->steps.items[k]);
		}
	}
}
