/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both searches walk over words in which a set bit means "found". Bits outside of FIRST to LAST are masked away.
 */
#include "registry/bitmap.h"

static unsigned registry_bitmap_first_set(uint64_t word, unsigned index, unsigned first, unsigned last)
{
	unsigned start = index * BITMAP_WORD_BITS, bit;

	if (start < first)
		word &= UINT64_MAX << (first - start);
	if (!word)
		return last + 1;
	bit = start + (unsigned)__builtin_ctzll(word);
	return bit <= last ? bit : last + 1;
}

unsigned registry_bitmap_lowest_absent(const uint64_t *a, const uint64_t *b, unsigned first, unsigned last)
{
	for (unsigned i = first / BITMAP_WORD_BITS; i <= last / BITMAP_WORD_BITS; i++) {
		unsigned bit = registry_bitmap_first_set(~(a[i] | (b ? b[i] : 0)), i, first, last);

		if (bit <= last)
			return bit;
	}
	return last + 1;
}

unsigned registry_bitmap_lowest(const uint64_t *words, unsigned first, unsigned last)
{
	for (unsigned i = first / BITMAP_WORD_BITS; i <= last / BITMAP_WORD_BITS; i++) {
		unsigned bit = registry_bitmap_first_set(words[i], i, first, last);

		if (bit <= last)
			return bit;
	}
	return last + 1;
}
