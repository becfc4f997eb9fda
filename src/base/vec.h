/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_VEC_H
#define WEFT_BASE_VEC_H

/*
 * The growing array, for items that lie in one block:
 *
 *	struct finding_list {
 *		VEC_OF(struct finding);
 *	};
 *	struct finding *finding = vec_push(&list);
 *
 * There is one rule for want of memory: the call answers NULL, or -1, and the array stays as it was. Items move when it grows, so
 * keep no pointer to one over a vec_push() or a vec_reserve(). An array of zeroes is empty and ready. Any thread, one at a time.
 */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The members of a struct that is a growing array. ITEMS is malloc()ed, NULL at first; ROOM: how many fit before it grows. */
#define VEC_OF(type)                                                                                                   \
	type *items;                                                                                                   \
	size_t count;                                                                                                  \
	size_t room

/* ITEMS, with room for WANTED items of SIZE bytes and more, and *ROOM as it is then; NULL for want of memory: nothing changed. */
void *vec_grown(void *items, size_t *room, size_t wanted, size_t size);

/* Makes room for WANTED items in all. 0, or -1 for want of memory. */
#define vec_reserve(vec, wanted)                                                                                       \
	({                                                                                                             \
		__typeof__(vec) vec_ = (vec);                                                                          \
		size_t wanted_ = (wanted);                                                                             \
		void *grown_ = vec_->items;                                                                            \
		if (wanted_ > vec_->room)                                                                              \
			grown_ = vec_grown(vec_->items, &vec_->room, wanted_, sizeof(*vec_->items));                   \
		if (grown_)                                                                                            \
			vec_->items = grown_;                                                                          \
		grown_ || !wanted_ ? 0 : -1;                                                                           \
	})

/* One more item at the end, zeroed. NULL for want of memory. */
#define vec_push(vec)                                                                                                  \
	({                                                                                                             \
		__typeof__(vec) pushed_ = (vec);                                                                       \
		__typeof__(pushed_->items) item_ = NULL;                                                               \
		if (vec_reserve(pushed_, pushed_->count + 1) == 0) {                                                   \
			item_ = &pushed_->items[pushed_->count++];                                                     \
			memset(item_, 0, sizeof(*item_));                                                              \
		}                                                                                                      \
		item_;                                                                                                 \
	})

/* Frees the block; the array is empty then. What the items own is the caller's to free before. */
#define vec_free(vec)                                                                                                  \
	({                                                                                                             \
		__typeof__(vec) freed_ = (vec);                                                                        \
		free(freed_->items);                                                                                   \
		freed_->items = NULL;                                                                                  \
		freed_->count = freed_->room = 0;                                                                      \
	})

#endif
