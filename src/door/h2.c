/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's preface, SETTINGS, and then what it likes until its first HEADERS (RFC 9113, 3.4). HPACK is not looked at: whatever it
 * asks, it is refused. Frames of unknown types are passed over, as the RFC wants; those that need an open stream are a fault. What comes
 * behind the HEADERS is not read, and so a client that has asked stays one.
 */
#include "door/h2.h"

#include <string.h>

enum {
	FRAME_DATA = 0x0,
	FRAME_HEADERS = 0x1,
	FRAME_RST_STREAM = 0x3,
	FRAME_SETTINGS = 0x4,
	FRAME_PUSH_PROMISE = 0x5,
	FRAME_CONTINUATION = 0x9,
	FLAG_ACK = 0x1,
	LENGTH_MAX = 16384, /* of a payload, until we allow more */
	SETTING_SIZE = 6,
};

static const char preface[24] = { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" };

/* Judges the frame whose head has come. */
static void door_h2_read_head(struct door_h2 *reader)
{
	const uint8_t *head = reader->head;
	uint32_t length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
	uint32_t stream = (uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
	bool settings = head[3] == FRAME_SETTINGS;

	reader->head_size = 0;
	reader->skip = (uint16_t)length;
	if (length > LENGTH_MAX || (settings && (stream != 0 || length % SETTING_SIZE != 0)))
		reader->bad = true;
	else if (!reader->settled)
		reader->bad = !settings || head[4] & FLAG_ACK;
	else if (head[3] == FRAME_HEADERS)
		reader->bad = stream != 1;
	else
		reader->bad = head[3] == FRAME_DATA || head[3] == FRAME_RST_STREAM || head[3] == FRAME_PUSH_PROMISE ||
			      head[3] == FRAME_CONTINUATION;
	reader->settled = true;
	reader->asked = !reader->bad && head[3] == FRAME_HEADERS;
}

/* Takes some of the SIZE bytes of DATA, one at least; returns how many. */
static size_t door_h2_take(struct door_h2 *reader, const uint8_t *data, size_t size)
{
	if (reader->preface_size < sizeof(preface)) {
		reader->bad = data[0] != (uint8_t)preface[reader->preface_size++];
		return 1;
	}
	if (reader->skip) {
		size_t skipped = size < reader->skip ? size : reader->skip;

		reader->skip = (uint16_t)(reader->skip - skipped);
		return skipped;
	}
	reader->head[reader->head_size++] = data[0];
	if (reader->head_size == sizeof(reader->head))
		door_h2_read_head(reader);
	return 1;
}

bool door_h2_read(struct door_h2 *reader, const uint8_t *data, size_t size)
{
	while (size && !reader->asked && !reader->bad) {
		size_t taken = door_h2_take(reader, data, size);

		data += taken;
		size -= taken;
	}
	return reader->asked;
}
