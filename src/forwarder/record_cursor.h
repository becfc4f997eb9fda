/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_RECORD_CURSOR_H
#define WEFT_FORWARDER_RECORD_CURSOR_H

/* Taking a record's numbers and parts, from the first to the last, never beyond its end. Pure; any thread. */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_cursor {
	const uint8_t *at, *end;
	bool bad; /* more was asked for than there is; numbers are 0 then */
};

struct record_piece {
	uint16_t tag, flags;
	struct record_cursor contents;
	bool cut; /* it goes beyond the end of what it lies in */
};

/* Bytes that are left. */
static inline size_t fwd_record_left(const struct record_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* The next SIZE bytes, to DATA; zeroes where there are not so many. */
void fwd_record_get(struct record_cursor *cursor, void *data, size_t size);

/* The next number. */
uint8_t fwd_record_get8(struct record_cursor *cursor);
uint16_t fwd_record_get16(struct record_cursor *cursor);
uint32_t fwd_record_get32(struct record_cursor *cursor);
uint64_t fwd_record_get64(struct record_cursor *cursor);

/* The next address. False: it cannot be right, and ADDR is undefined. One without a port can be, where ANY_PORT says so. */
bool fwd_record_get_address(struct record_cursor *cursor, struct addr *addr, bool any_port);

/* The next part. False: there is none, or CURSOR is bad. The last one may be cut, and CURSOR is bad then. */
bool fwd_record_next(struct record_cursor *cursor, struct record_piece *piece);

#endif
