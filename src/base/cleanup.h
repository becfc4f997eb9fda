/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_CLEANUP_H
#define WEFT_BASE_CLEANUP_H

/*
 * Scope cleanup: a variable declared AUTO_FD or AUTO_FREE is released when its scope ends, unless it was stolen.
 *
 *	AUTO_FD int fd = open(...);
 *	...
 *	return steal_fd(&fd);
 *
 * A function uses either this or `goto fail`, never both.
 */

#include <stdlib.h>
#include <unistd.h>

#define AUTO_FD   __attribute__((cleanup(cleanup_fd)))
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))

/*
 * Closes *FD unless it is -1, and sets it to -1. close() is never retried: on Linux the descriptor is gone either way,
 * close(2).
 */
static inline void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Takes the descriptor out of its variable: the caller owns it now. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* POINTER: address of any pointer to malloc()ed memory. */
static inline void cleanup_free(void *pointer)
{
	void **place = pointer;

	free(*place);
	*place = NULL;
}

/* Takes malloc()ed memory out of its variable: the caller owns it now. */
#define steal_ptr(place)                                                                                               \
	({                                                                                                             \
		__auto_type stolen_ = *(place);                                                                        \
		*(place) = NULL;                                                                                       \
		stolen_;                                                                                               \
	})

#endif
