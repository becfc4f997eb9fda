/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_SPARES_H
#define WEFT_BASE_SPARES_H

#include <stdbool.h>

/*
 * Descriptors that a thread sets aside for a time in which the process has no others. Each thread that wants some has its own;
 * all functions concern those of the calling thread, and a thread that never set any aside has none to give.
 */
enum { SPARES_MAX = 16 };

/*
 * Sets aside as many as the thread is to have, as far as there are any. That is SPARES_MAX, or fewer if the process had a limit
 * below 1,024 when the thread called first: one for each 64. Cheap if none is missing.
 */
void base_spares_fill(void);

/* Whether some are missing. */
bool base_spares_are_short(void);

/* Gives all back, for the end of the thread. */
void base_spares_drop(void);

/*
 * After a call that failed with CODE, an errno value: true if that is EMFILE or ENFILE and a spare was closed, so that the call is
 * worth another attempt. Keeps errno.
 */
bool base_spares_give(int code);

/* CALL, an expression that opens a descriptor or returns -1 with errno; for want of descriptors a spare one is used for it. */
#define SPARES_TRY(call)                                                                                               \
	({                                                                                                             \
		int opened_;                                                                                           \
		do                                                                                                     \
			opened_ = (call);                                                                              \
		while (opened_ < 0 && base_spares_give(errno));                                                        \
		opened_;                                                                                               \
	})

/* The same for a CALL that opens a FILE or a DIR, or returns NULL with errno. */
#define SPARES_TRY_STREAM(call)                                                                                        \
	({                                                                                                             \
		__typeof__(call) opened_;                                                                              \
		do                                                                                                     \
			opened_ = (call);                                                                              \
		while (!opened_ && base_spares_give(errno));                                                           \
		opened_;                                                                                               \
	})

#endif
