/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target as a part of a record: place (16 bits), flags (16), the size of a path (32); the path, or else an address; and with the flag
 * TARGET_SOURCE the address that is dialed from.
 */
#include "forwarder/record_target.h"

#include "forwarder/dial_target.h"
#include "forwarder/record_cursor.h"
#include "forwarder/record_part.h"

#include <string.h>

static bool fwd_record_read_path(struct record_cursor *cursor, uint32_t size, struct sockaddr_un *path)
{
	if (size >= sizeof(path->sun_path))
		return false;
	path->sun_family = AF_UNIX;
	fwd_record_get(cursor, path->sun_path, size);
	path->sun_path[size] = '\0';
	return !cursor->bad && path->sun_path[0] == '/' && strlen(path->sun_path) == size;
}

bool fwd_record_read_target(struct record_cursor *cursor, struct fwd_target *target)
{
	uint16_t place = fwd_record_get16(cursor), flags = fwd_record_get16(cursor);
	uint32_t path_size = fwd_record_get32(cursor);

	*target = (struct fwd_target){ .place = (enum fwd_place)place, .proxy_protocol = flags & TARGET_PROXY };
	if (place > PLACE_HOST || flags & ~(TARGET_PROXY | TARGET_SOURCE))
		return false;
	if (path_size ? !fwd_record_read_path(cursor, path_size, &target->to.path)
		      : !fwd_record_get_address(cursor, &target->to.addr, false))
		return false;
	return !(flags & TARGET_SOURCE) || fwd_record_get_address(cursor, &target->source, true);
}
