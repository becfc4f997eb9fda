/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An array doubles, so that adding an item costs the same however many there are. Its first block has room for a few: most arrays
 * stay short.
 */
#include "base/vec.h"

#include <stdint.h>

enum { VEC_FIRST_ROOM = 8 };

void *vec_grown(void *items, size_t *room, size_t wanted, size_t size)
{
	size_t more = *room > SIZE_MAX / 2 ? wanted : 2 * *room;

	if (more < VEC_FIRST_ROOM)
		more = VEC_FIRST_ROOM;
	if (more < wanted)
		more = wanted;

	size_t bytes;
	if (__builtin_mul_overflow(more, size, &bytes))
		return NULL;

	void *grown = realloc(items, bytes);
	if (grown)
		*room = more;
	return grown;
}
