/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_DESCRIPTORS_H
#define WEFT_BASE_DESCRIPTORS_H

/*
 * The descriptors of this process, and the part of their limit that connections of clients must leave free. Any thread.
 */

#include <stddef.h>

enum {
	/* Waiting requests of the control socket, event streams, and what fabric and store open for a moment. */
	DESCRIPTORS_RESERVE = 1000 + 128 + 64,
	DESCRIPTORS_INTERNAL = 64, /* of these, for fabric and store */
	DESCRIPTORS_FEW = 256,     /* below this limit there is no reserve */
};

/* RLIMIT_NOFILE as it is now; INT32_MAX: no limit, or an unknown one. */
size_t base_descriptors_limit(void);

/* How many are open. Up to Linux 6.1 they are counted one by one: for a process that has few. 0: /proc cannot be read. */
size_t base_descriptors_count(void);

/* How many of LIMIT are the reserve: a quarter at most, and none below DESCRIPTORS_FEW. */
size_t base_descriptors_reserve(size_t limit);

#endif
