/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Comparisons of values of which some bits are not known: a value stands for all that it may be, and the answer is sure if it is
 * the same for each of them. nftables compares bytes in the order of the network, so the first byte that differs decides.
 */
#include "inspect/ruleset_run.h"

#include <string.h>

/* Which of these a value may be, compared to another. */
enum { MAY_BE_LESS = 1, MAY_BE_EQUAL = 2, MAY_BE_MORE = 4 };

static unsigned inspect_value_orders(const uint8_t *bits, const uint8_t *known, const uint8_t *value, size_t length)
{
	unsigned orders = 0;

	for (size_t i = 0; i < length; i++) {
		uint8_t least = bits[i] & known[i], most = least | (uint8_t)~known[i];
		if (least < value[i])
			orders |= MAY_BE_LESS;
		if (most > value[i])
			orders |= MAY_BE_MORE;
		if ((bits[i] ^ value[i]) & known[i])
			return orders;
	}
	return orders | MAY_BE_EQUAL;
}

enum ruleset_certainty inspect_value_compares(const uint8_t *bits, const uint8_t *known, const uint8_t *value,
					      size_t length, enum ruleset_compare compare)
{
	static const unsigned fitting[] = {
		[COMPARE_EQUAL] = MAY_BE_EQUAL, [COMPARE_DIFFERS] = MAY_BE_LESS | MAY_BE_MORE,
		[COMPARE_LESS] = MAY_BE_LESS,   [COMPARE_AT_MOST] = MAY_BE_LESS | MAY_BE_EQUAL,
		[COMPARE_MORE] = MAY_BE_MORE,   [COMPARE_AT_LEAST] = MAY_BE_MORE | MAY_BE_EQUAL,
	};
	unsigned orders = inspect_value_orders(bits, known, value, length);

	if (!(orders & fitting[compare]))
		return RULESET_NO;
	return orders & ~fitting[compare] ? RULESET_PERHAPS : RULESET_SURELY;
}

static enum ruleset_certainty inspect_certainty_least(enum ruleset_certainty one, enum ruleset_certainty other)
{
	return one < other ? one : other;
}

enum ruleset_certainty inspect_value_is_within(const uint8_t *bits, const uint8_t *known, const uint8_t *low,
					       const uint8_t *high, size_t length)
{
	return inspect_certainty_least(inspect_value_compares(bits, known, low, length, COMPARE_AT_LEAST),
				       inspect_value_compares(bits, known, high, length, COMPARE_AT_MOST));
}

/* ---- Sets ---- */

/* In registers, and so in keys, each field of a concatenation begins at a multiple of four bytes. */
static size_t inspect_set_room_of(uint8_t length)
{
	return (length + 3u) & ~3u;
}

static bool inspect_set_is_concatenated(const struct ruleset_set *set)
{
	return set->interval && set->field_count > 1;
}

enum ruleset_certainty inspect_set_element_has(const struct ruleset_set *set, const struct ruleset_element *element,
					       const uint8_t *bits, const uint8_t *known)
{
	enum ruleset_certainty all = RULESET_SURELY;
	size_t at = 0;

	if (!inspect_set_is_concatenated(set)) {
		all = inspect_value_is_within(bits, known, element->low, element->high, set->key_length);
	} else {
		for (size_t i = 0; i < set->field_count && at + set->fields[i] <= set->key_length; i++) {
			all = inspect_certainty_least(all,
						      inspect_value_is_within(bits + at, known + at, element->low + at,
									      element->high + at, set->fields[i]));
			at += inspect_set_room_of(set->fields[i]);
		}
	}
	return element->doubtful ? inspect_certainty_least(all, RULESET_PERHAPS) : all;
}

static bool inspect_set_knows(const struct ruleset_set *set, const uint8_t *known)
{
	for (size_t i = 0; i < set->key_length; i++)
		if (known[i] != 0xff)
			return false;
	return true;
}

/* Elements are by LOW, and do not overlap: only the last one that begins at or before the key can have it. *END: one behind that. */
static size_t inspect_set_find(const struct ruleset_set *set, const uint8_t *bits, size_t *end)
{
	size_t from = 0, to = set->elements.count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const struct ruleset_element *element = &set->elements.items[middle];
		/* The one for all keys is the last. */
		if (!element->any && memcmp(element->low, bits, set->key_length) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	*end = from;
	return from ? from - 1 : 0;
}

enum ruleset_certainty inspect_set_has(const struct ruleset_set *set, const uint8_t *bits, const uint8_t *known,
				       const struct ruleset_element **element)
{
	const struct ruleset_element *rest = NULL;
	size_t i = 0, end = set->elements.count;
	bool perhaps = false;

	*element = NULL;
	if (set->unreadable)
		return RULESET_PERHAPS;
	if (end && set->elements.items[end - 1].any)
		rest = &set->elements.items[end - 1];
	if (!inspect_set_is_concatenated(set) && inspect_set_knows(set, known))
		i = inspect_set_find(set, bits, &end);
	for (; i < end; i++) {
		const struct ruleset_element *candidate = &set->elements.items[i];
		enum ruleset_certainty has =
		    candidate->any ? RULESET_NO : inspect_set_element_has(set, candidate, bits, known);
		if (has == RULESET_SURELY) {
			*element = candidate;
			return RULESET_SURELY;
		}
		perhaps = perhaps || has == RULESET_PERHAPS;
	}
	if (!rest)
		return perhaps ? RULESET_PERHAPS : RULESET_NO;
	*element = perhaps ? NULL : rest;
	return RULESET_SURELY;
}
