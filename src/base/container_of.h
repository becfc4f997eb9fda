/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_CONTAINER_OF_H
#define WEFT_BASE_CONTAINER_OF_H

#include <stddef.h>

/*
 * The TYPE whose MEMBER POINTER points to. For callbacks that get a member: a job, a message, a timer. The compiler refuses a
 * pointer of another type than the MEMBER's; NULL is not allowed.
 */
#define container_of(pointer, type, member)                                                                            \
	({                                                                                                             \
		__typeof__(&((type *)0)->member) member_ = (pointer);                                                  \
		(type *)(void *)((char *)member_ - offsetof(type, member));                                            \
	})

#endif
