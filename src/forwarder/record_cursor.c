/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where a reader of a record moves on: nothing beyond its end is ever looked at.
 */
#include "forwarder/record_cursor.h"

#include "forwarder/record_part.h"

#include <endian.h>
#include <string.h>

void fwd_record_get(struct record_cursor *cursor, void *data, size_t size)
{
	if (cursor->bad || fwd_record_left(cursor) < size) {
		cursor->bad = true;
		memset(data, 0, size);
		return;
	}
	memcpy(data, cursor->at, size);
	cursor->at += size;
}

uint8_t fwd_record_get8(struct record_cursor *cursor)
{
	uint8_t value;

	fwd_record_get(cursor, &value, sizeof(value));
	return value;
}

uint16_t fwd_record_get16(struct record_cursor *cursor)
{
	uint16_t value;

	fwd_record_get(cursor, &value, sizeof(value));
	return le16toh(value);
}

uint32_t fwd_record_get32(struct record_cursor *cursor)
{
	uint32_t value;

	fwd_record_get(cursor, &value, sizeof(value));
	return le32toh(value);
}

uint64_t fwd_record_get64(struct record_cursor *cursor)
{
	uint64_t value;

	fwd_record_get(cursor, &value, sizeof(value));
	return le64toh(value);
}

bool fwd_record_get_address(struct record_cursor *cursor, struct addr *addr, bool any_port)
{
	uint16_t family = fwd_record_get16(cursor), port = fwd_record_get16(cursor);
	uint32_t scope = fwd_record_get32(cursor);
	uint8_t ip[16];

	fwd_record_get(cursor, ip, sizeof(ip));
	*addr = (struct addr){ 0 };
	if (family == 6) {
		addr->any.sa_family = AF_INET6;
		addr->in6.sin6_scope_id = scope;
		memcpy(&addr->in6.sin6_addr, ip, 16);
	} else {
		addr->any.sa_family = AF_INET;
		memcpy(&addr->in.sin_addr, ip, 4);
	}
	addr_set_port(addr, port);
	return !cursor->bad && (family == 4 || family == 6) && (port || any_port);
}

bool fwd_record_next(struct record_cursor *cursor, struct record_piece *piece)
{
	size_t size;

	if (cursor->bad || cursor->at == cursor->end)
		return false;
	piece->tag = fwd_record_get16(cursor);
	piece->flags = fwd_record_get16(cursor);
	size = fwd_record_get32(cursor);
	if (cursor->bad)
		return false;
	piece->cut = size > fwd_record_left(cursor);
	if (piece->cut) {
		size = fwd_record_left(cursor);
		cursor->bad = true;
	}
	piece->contents = (struct record_cursor){ .at = cursor->at, .end = cursor->at + size };
	cursor->at += size;
	return true;
}
