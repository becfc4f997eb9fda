/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_READER_H
#define WEFT_CATALOG_READER_H

/*
 * Limits of what hiredis takes from a server that is not one, or no longer itself. It would end the process by an assertion for an
 * answer that nobody asked for, make room for as many elements as an array announces, and gather a text of half a gigabyte.
 */

struct redisReader;

enum { CATALOG_ANSWER_MAX = 256 * 1024 };

struct catalog_reader {
	unsigned owed;     /* answers that were asked for and are not here yet; the caller counts */
	const char *fault; /* why the reader refused an answer; NULL: it did not */
};

/* From now on READER takes no more answers than GUARD says, and none that weft does not ask for. GUARD outlives it. */
void catalog_reader_limit(struct redisReader *reader, struct catalog_reader *guard);

/* Whether what READER has gathered for the next answer is within the limit; else GUARD has the fault. */
int catalog_reader_check(const struct redisReader *reader, struct catalog_reader *guard);

#endif
