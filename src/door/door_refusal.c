/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of HTTP/2 the least that there is: the static table of HPACK (RFC 7541, appendix A) and literals without an index, no Huffman code.
 * A literal's name is an index or a text; texts are shorter than 127 bytes, so that one byte is their length.
 */
#include "door/door_refusal.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

enum {
	FRAME_HEADERS = 0x1,
	FRAME_SETTINGS = 0x4,
	FRAME_GOAWAY = 0x7,
	FLAG_ACK = 0x1,
	FLAG_END_STREAM = 0x1,
	FLAG_END_HEADERS = 0x4,
	FRAME_HEAD_SIZE = 9,
	INDEX_STATUS = 8, /* ":status" */
	INDEX_CONTENT_LENGTH = 28,
	PREFIX_4 = 15, /* an index that does not fit into four bits goes on in the next byte */
};

const char *door_refusal_name(enum door_refusal refusal)
{
	switch (refusal) {
	case DOOR_REFUSAL_NOT_FOUND:
		return "not-found";
	case DOOR_REFUSAL_PORT_CLOSED:
		return "port-closed";
	case DOOR_REFUSAL_STARTING:
		return "starting";
	case DOOR_REFUSAL_PAUSED:
		return "paused";
	case DOOR_REFUSAL_LIMIT:
		return "limit";
	case DOOR_REFUSAL_TOKEN_MISSING:
		return "token-missing";
	case DOOR_REFUSAL_TOKEN_INVALID:
		return "token-invalid";
	}
	return "";
}

static size_t door_refusal_write_http(enum door_refusal refusal, unsigned limit, char reply[static DOOR_REPLY_MAX])
{
	char line[32] = "";

	if (refusal == DOOR_REFUSAL_LIMIT)
		snprintf(line, sizeof(line), "Weft-Limit: %u\r\n", limit);
	int size = snprintf(reply, DOOR_REPLY_MAX,
			    "HTTP/1.1 502 Bad Gateway\r\n"
			    "Weft-Refused: %s\r\n"
			    "%s"
			    "Content-Length: 0\r\n"
			    "Connection: close\r\n"
			    "\r\n",
			    door_refusal_name(refusal), line);

	base_assert(size > 0 && size < DOOR_REPLY_MAX);
	return (size_t)size;
}

static char *door_refusal_put_text(char *at, const char *text)
{
	*at++ = (char)strlen(text);
	while (*text)
		*at++ = *text++;
	return at;
}

static char *door_refusal_put_field(char *at, const char *name, const char *value)
{
	*at++ = 0;
	return door_refusal_put_text(door_refusal_put_text(at, name), value);
}

static char *door_refusal_put_indexed(char *at, unsigned index, const char *value)
{
	if (index < PREFIX_4) {
		*at++ = (char)index;
	} else {
		*at++ = PREFIX_4;
		*at++ = (char)(index - PREFIX_4);
	}
	return door_refusal_put_text(at, value);
}

/* Writes the head of a frame at AT, whose SIZE bytes of payload stand, or will stand, behind it. Returns where these end. */
static char *door_refusal_put_frame(char *at, size_t size, char type, char flags, char stream)
{
	const char head[FRAME_HEAD_SIZE] = { 0, (char)(size >> 8), (char)size, type, flags, 0, 0, 0, stream };

	memcpy(at, head, sizeof(head));
	return at + sizeof(head) + size;
}

static size_t door_refusal_write_h2(enum door_refusal refusal, unsigned limit, char reply[static DOOR_REPLY_MAX])
{
	static const char last_stream_1_no_error[8] = { 0, 0, 0, 1 };
	char number[16];
	char *headers = door_refusal_put_frame(reply, 0, FRAME_SETTINGS, FLAG_ACK, 0);
	char *fields = headers + FRAME_HEAD_SIZE;
	char *at = door_refusal_put_indexed(fields, INDEX_STATUS, "502");

	at = door_refusal_put_field(at, "weft-refused", door_refusal_name(refusal));
	if (refusal == DOOR_REFUSAL_LIMIT) {
		snprintf(number, sizeof(number), "%u", limit);
		at = door_refusal_put_field(at, "weft-limit", number);
	}
	at = door_refusal_put_indexed(at, INDEX_CONTENT_LENGTH, "0");
	at = door_refusal_put_frame(headers, (size_t)(at - fields), FRAME_HEADERS, FLAG_END_STREAM | FLAG_END_HEADERS,
				    1);
	memcpy(at + FRAME_HEAD_SIZE, last_stream_1_no_error, sizeof(last_stream_1_no_error));
	at = door_refusal_put_frame(at, sizeof(last_stream_1_no_error), FRAME_GOAWAY, 0, 0);
	return (size_t)(at - reply);
}

size_t door_refusal_greet(enum door_kind kind, char reply[static DOOR_REPLY_MAX])
{
	if (kind != DOOR_GRPC)
		return 0;
	return (size_t)(door_refusal_put_frame(reply, 0, FRAME_SETTINGS, 0, 0) - reply);
}

size_t door_refusal_write(enum door_kind kind, enum door_refusal refusal, unsigned limit,
			  char reply[static DOOR_REPLY_MAX])
{
	switch (kind) {
	case DOOR_HTTP:
		return door_refusal_write_http(refusal, limit, reply);
	case DOOR_GRPC:
		return door_refusal_write_h2(refusal, limit, reply);
	case DOOR_TCP:
		break;
	}
	return 0;
}
