/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_RECORD_PART_H
#define WEFT_FORWARDER_RECORD_PART_H

/* The tags and flags of a record's parts, for its writer and its reader. Numbers stay for ever. */

#define RECORD_MAGIC "weft-con"

enum {
	RECORD_MAGIC_SIZE = 8,
	PART_HEADER_SIZE = 8,
};

enum record_tag {
	TAG_HEAD = 1,
	TAG_ROUTE = 2,

	TAG_ROUTE_FACTS = 16,
	TAG_ROUTE_ID = 17,
	TAG_CONNECTION = 18,

	TAG_FACTS = 32,
	TAG_CLIENT = 33,
	TAG_ENDPOINT = 34,
	TAG_PEER = 35,
	TAG_STREAM = 36,
	TAG_REST = 37,
	TAG_TARGET = 38, /* of a connection to a service, and of no other */
	TAG_DOOR = 39,   /* of a connection through the door, and of no other */

	TAG_UNKNOWN = 0x7e00, /* never used, so that tests may */
};

enum { PART_NEEDED = 1 }; /* a reader that does not know the tag cannot use what it lies in */

/* Flags within the numbers of a part. */
enum { ROUTE_PAUSED = 1 };
enum { CONNECTION_LEAVING = 1 };
enum { ENDPOINT_PROXY = 1 };
enum { TARGET_PROXY = 1, TARGET_SOURCE = 2 };
enum { DOOR_TOKEN_GIVEN = 1 };
enum { PEER_SPECIAL = 1, PEER_ENDED = 2 };
enum { STREAM_BULK = 1, STREAM_BOUNDED = 2, STREAM_FINISHED = 4 };

#define RECORD_NO_FD UINT32_MAX

#endif
