/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the record has of a connection through the door: the letter of its kind (8 bits), flags (8), the token (32 bytes); and its client,
 * of whom nothing may be known. The address then has the family 0.
 */
#include "forwarder/record_door.h"

#include "forwarder/record_cursor.h"
#include "forwarder/record_part.h"

bool fwd_record_read_client(struct record_cursor *cursor, struct addr *client)
{
	struct record_cursor ahead = *cursor;

	*client = (struct addr){ 0 };
	return (fwd_record_get16(&ahead) == 0 && !ahead.bad) || fwd_record_get_address(cursor, client, true);
}

bool fwd_record_read_door(struct record_cursor *cursor, struct frozen *frozen)
{
	uint8_t kind = fwd_record_get8(cursor), flags = fwd_record_get8(cursor);

	fwd_record_get(cursor, frozen->door_token.sha256, sizeof(frozen->door_token.sha256));
	frozen->door_kind = (enum door_kind)kind;
	frozen->door_token.given = flags & DOOR_TOKEN_GIVEN;
	return !cursor->bad && (kind == DOOR_HTTP || kind == DOOR_GRPC || kind == DOOR_TCP) &&
	       !(flags & ~DOOR_TOKEN_GIVEN);
}
