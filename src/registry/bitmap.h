/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_BITMAP_H
#define WEFT_REGISTRY_BITMAP_H

/*
 * Sets of small numbers as bits, searched a word at a time: the lowest free of 32,766 slots is found in at most 512 steps.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BITMAP_WORD_BITS = 64 };

#define BITMAP_WORDS(bits) (((bits) + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS)

static inline bool registry_bitmap_has(const uint64_t *words, unsigned bit)
{
	return words[bit / BITMAP_WORD_BITS] >> bit % BITMAP_WORD_BITS & 1;
}

static inline void registry_bitmap_add(uint64_t *words, unsigned bit)
{
	words[bit / BITMAP_WORD_BITS] |= UINT64_C(1) << bit % BITMAP_WORD_BITS;
}

static inline void registry_bitmap_drop(uint64_t *words, unsigned bit)
{
	words[bit / BITMAP_WORD_BITS] &= ~(UINT64_C(1) << bit % BITMAP_WORD_BITS);
}

/*
 * The lowest number from FIRST to LAST that is in neither of two sets; LAST + 1 if there is none. B may be NULL.
 */
unsigned registry_bitmap_lowest_absent(const uint64_t *a, const uint64_t *b, unsigned first, unsigned last);

/* The lowest number from FIRST to LAST that is in the set; LAST + 1 if there is none. */
unsigned registry_bitmap_lowest(const uint64_t *words, unsigned first, unsigned last);

#endif
