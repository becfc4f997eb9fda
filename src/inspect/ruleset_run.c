/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the steps of a rule one after the other, as the kernel does, until one of them does not hold. A rule that perhaps holds
 * is run to its end too: what it changes may be changed or not then, and is not known any more.
 */
#include "inspect/ruleset_run.h"

#include <endian.h>
#include <string.h>

/* The run of one rule. */
struct ruleset_run {
	struct ruleset_moment *moment;
	struct ruleset_registers *registers;
	enum ruleset_certainty reach, holds;
	enum ruleset_certainty either; /* of the comparisons that the next one is an alternative to */
	bool elsewhere;
	const struct ruleset_step *verdicts;
};

/* The mask of a value that is known. */
static const uint8_t all[RULESET_VALUE_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
						 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

void inspect_way_add(uint64_t *way, uint64_t number)
{
	*way = (*way ^ number) * 0x9e3779b97f4a7c15u;
	*way ^= *way >> 29;
}

/* LENGTH bytes at REGISTER, and how many of them there are room for. */
static size_t inspect_run_room(uint8_t at, size_t length)
{
	size_t room = at < RULESET_REGISTERS_SIZE ? RULESET_REGISTERS_SIZE - at : 0;

	return length < room ? length : room;
}

static void inspect_run_forget(struct ruleset_registers *registers, uint8_t at, size_t length)
{
	if (at < RULESET_REGISTERS_SIZE)
		memset(registers->known + at, 0, inspect_run_room(at, length));
}

/* Writes a value; the kernel fills the last four bytes with zeroes. */
static void inspect_run_store(struct ruleset_registers *registers, uint8_t at, const uint8_t *bits,
			      const uint8_t *known, size_t length)
{
	size_t whole = inspect_run_room(at, (length + 3) & ~(size_t)3), part = inspect_run_room(at, length);

	if (!whole)
		return;
	memset(registers->bits + at, 0, whole);
	memset(registers->known + at, 0xff, whole);
	memcpy(registers->bits + at, bits, part);
	memcpy(registers->known + at, known, part);
}

static bool inspect_run_has(uint8_t at, size_t length)
{
	return at < RULESET_REGISTERS_SIZE && inspect_run_room(at, length) == length;
}

static void inspect_run_load(struct ruleset_run *run, const struct ruleset_step *step)
{
	uint8_t bits[RULESET_KEY_SIZE], known[RULESET_KEY_SIZE];
	struct ruleset_step bounded = *step;

	if (bounded.length > sizeof(bits))
		bounded.length = sizeof(bits);
	if (!inspect_field_load(run->moment, &bounded, bits, known)) {
		run->holds = RULESET_NO;
		return;
	}
	inspect_run_forget(run->registers, step->target, step->length);
	inspect_run_store(run->registers, step->target, bits, known, bounded.length);
	run->elsewhere = run->elsewhere || step->elsewhere;
}

static void inspect_run_mask(struct ruleset_registers *registers, const struct ruleset_step *step)
{
	uint8_t bits[RULESET_VALUE_SIZE], known[RULESET_VALUE_SIZE];

	if (step->length > sizeof(bits) || !inspect_run_has(step->source, step->length)) {
		inspect_run_forget(registers, step->target, step->length);
		return;
	}
	for (size_t i = 0; i < step->length; i++) {
		bits[i] = (registers->bits[step->source + i] & step->a[i]) ^ step->b[i];
		known[i] = registers->known[step->source + i] | (uint8_t)~step->a[i];
	}
	inspect_run_store(registers, step->target, bits, known, step->length);
}

/* Of a number of four bytes; the kernel can do longer ones. */
static void inspect_run_shift(struct ruleset_registers *registers, const struct ruleset_step *step)
{
	uint32_t bits, known;
	int amount = step->amount;

	if (step->length != 4 || amount > 31 || amount < -31 || !inspect_run_has(step->source, 4)) {
		inspect_run_forget(registers, step->target, step->length);
		return;
	}
	memcpy(&bits, registers->bits + step->source, 4);
	memcpy(&known, registers->known + step->source, 4);
	if (amount >= 0) {
		bits <<= amount;
		known = ~(~known << amount);
	} else {
		bits >>= -amount;
		known = ~(~known >> -amount);
	}
	inspect_run_store(registers, step->target, (uint8_t *)&bits, (uint8_t *)&known, 4);
}

static void inspect_run_swap(struct ruleset_registers *registers, const struct ruleset_step *step)
{
	uint8_t bits[RULESET_VALUE_SIZE], known[RULESET_VALUE_SIZE];
	size_t group = step->amount > 0 ? (size_t)step->amount : 1;

	if (step->length > sizeof(bits) || step->length % group || !inspect_run_has(step->source, step->length)) {
		inspect_run_forget(registers, step->target, step->length);
		return;
	}
	for (size_t i = 0; i < step->length; i++) {
		size_t from = step->source + (BYTE_ORDER == BIG_ENDIAN ? i : i / group * group + group - 1 - i % group);
		bits[i] = registers->bits[from];
		known[i] = registers->known[from];
	}
	inspect_run_store(registers, step->target, bits, known, step->length);
}

/* Takes a condition into account. */
static void inspect_run_require(struct ruleset_run *run, enum ruleset_certainty certainty, bool inverted)
{
	if (inverted)
		certainty = RULESET_SURELY - certainty;
	if (certainty < run->holds)
		run->holds = certainty;
}

/* Of a step that has no such register, or too long a value, nothing is known. */
static enum ruleset_certainty inspect_run_comparison(const struct ruleset_registers *registers,
						     const struct ruleset_step *step)
{
	if (step->length > RULESET_VALUE_SIZE || !inspect_run_has(step->source, step->length))
		return RULESET_PERHAPS;
	const uint8_t *bits = registers->bits + step->source, *known = registers->known + step->source;
	return step->kind == STEP_RANGE ? inspect_value_is_within(bits, known, step->a, step->b, step->length)
					: inspect_value_compares(bits, known, step->a, step->length, step->compare);
}

static void inspect_run_compare(struct ruleset_run *run, const struct ruleset_step *step)
{
	enum ruleset_certainty certainty = inspect_run_comparison(run->registers, step);

	if (run->either > certainty)
		certainty = run->either;
	run->either = step->either ? certainty : RULESET_NO;
	if (!step->either)
		inspect_run_require(run, certainty, step->inverted);
}

static void inspect_run_look_up(struct ruleset_run *run, const struct ruleset_step *step)
{
	const struct ruleset_set *set =
	    step->set < run->moment->ruleset->sets.count ? &run->moment->ruleset->sets.items[step->set] : NULL;
	const struct ruleset_element *element = NULL;
	enum ruleset_certainty certainty = RULESET_PERHAPS;

	run->elsewhere = run->elsewhere || !set || set->unreadable;
	if (set && inspect_run_has(step->source, set->key_length))
		certainty = inspect_set_has(set, run->registers->bits + step->source,
					    run->registers->known + step->source, &element);
	inspect_run_require(run, certainty, step->inverted);
	if (step->target == RULESET_NO_REGISTER)
		return;
	if (element && element->has_data && set->data_length <= RULESET_VALUE_SIZE)
		inspect_run_store(run->registers, step->target, element->data, all, set->data_length);
	else
		inspect_run_forget(run->registers, step->target, RULESET_VALUE_SIZE);
}

/* MARK is what it was, or what the step makes of it, or perhaps one of them. */
static void inspect_run_mark(struct ruleset_run *run, const struct ruleset_step *step, uint8_t mark[static 4],
			     uint8_t known[static 4])
{
	bool from_register = step->source != RULESET_NO_REGISTER;

	for (size_t i = 0; i < 4; i++) {
		uint8_t other = step->b[i], other_known = 0xff;
		if (from_register) {
			bool there = inspect_run_has(step->source, 4);
			other = there ? run->registers->bits[step->source + i] : 0;
			other_known = there ? run->registers->known[step->source + i] : 0;
		}
		uint8_t bits = (mark[i] & step->a[i]) ^ other;
		uint8_t sure = (known[i] | (uint8_t)~step->a[i]) & other_known;
		if (run->holds != RULESET_SURELY || run->reach != RULESET_SURELY)
			sure &= known[i] & (uint8_t) ~(bits ^ mark[i]);
		mark[i] = bits;
		known[i] = sure;
	}
}

static void inspect_run_change(struct ruleset_run *run, enum ruleset_certainty *what)
{
	enum ruleset_certainty certainty = run->reach < run->holds ? run->reach : run->holds;

	if (certainty > *what)
		*what = certainty;
}

static void inspect_run_step(struct ruleset_run *run, const struct ruleset_step *step)
{
	struct ruleset_state *state = run->moment->state;

	switch (step->kind) {
	case STEP_LOAD:
		inspect_run_load(run, step);
		break;
	case STEP_SET:
		if (step->length <= RULESET_VALUE_SIZE)
			inspect_run_store(run->registers, step->target, step->a, all, step->length);
		break;
	case STEP_MASK:
		inspect_run_mask(run->registers, step);
		break;
	case STEP_SHIFT:
		inspect_run_shift(run->registers, step);
		break;
	case STEP_SWAP:
		inspect_run_swap(run->registers, step);
		break;
	case STEP_FORGET:
		inspect_run_forget(run->registers, step->target, step->length);
		run->elsewhere = run->elsewhere || step->elsewhere;
		break;
	case STEP_COMPARE:
	case STEP_RANGE:
		inspect_run_compare(run, step);
		break;
	case STEP_LOOKUP:
		inspect_run_look_up(run, step);
		break;
	case STEP_VERDICTS:
		run->verdicts = step;
		break;
	case STEP_DOUBT:
		run->elsewhere = run->elsewhere || step->elsewhere;
		inspect_run_require(run, RULESET_PERHAPS, false);
		break;
	case STEP_NEVER:
		run->holds = RULESET_NO;
		break;
	case STEP_MARK:
		inspect_run_mark(run, step, state->mark, state->mark_known);
		break;
	case STEP_CT_MARK:
		inspect_run_mark(run, step, state->ct_mark, state->ct_mark_known);
		break;
	case STEP_ALTER:
		inspect_run_change(run, &state->altered);
		break;
	case STEP_UNTRACK:
		inspect_run_change(run, &state->untracked);
		break;
	}
}

enum ruleset_certainty inspect_rule_run(struct ruleset_moment *moment, const struct ruleset_rule *rule,
					enum ruleset_certainty reach, struct ruleset_registers *registers,
					const struct ruleset_step **verdicts)
{
	struct ruleset_run run = { .moment = moment, .registers = registers, .reach = reach, .holds = RULESET_SURELY };

	memset(registers, 0, sizeof(*registers));
	for (size_t i = 0; i < rule->steps.count && run.holds != RULESET_NO; i++)
		inspect_run_step(&run, &rule->steps.items[i]);
	/* A sure rule is sure whatever it looked at. */
	if (run.holds == RULESET_PERHAPS)
		moment->elsewhere = moment->elsewhere || run.elsewhere;
	*verdicts = run.verdicts;
	return run.holds;
}
