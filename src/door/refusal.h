/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DOOR_REFUSAL_H
#define WEFT_DOOR_REFUSAL_H

/*
 * The constant replies of the door to clients that do not get through: HAProxy makes the page or the JSON of them. Pure; any thread.
 */

#include "door/request.h"

/* Why. Names, as in the reply's header Weft-Refused: door_refusal_name(). */
enum door_refusal {
	DOOR_REFUSAL_NOT_FOUND,
	DOOR_REFUSAL_PORT_CLOSED, /* the guest refuses, or the policy closes the port */
	DOOR_REFUSAL_STARTING,    /* held until the end, and the sandbox never got ready */
	DOOR_REFUSAL_PAUSED,      /* held until the end, and paused */
	DOOR_REFUSAL_LIMIT,
	DOOR_REFUSAL_TOKEN_MISSING,
	DOOR_REFUSAL_TOKEN_INVALID,
};

enum { DOOR_REFUSALS = DOOR_REFUSAL_TOKEN_INVALID + 1, DOOR_REPLY_MAX = 256 };

const char *door_refusal_name(enum door_refusal refusal); /* "not-found", "port-closed", ... */

/*
 * Writes the reply to a client of KIND into REPLY; LIMIT: the number of connections that is allowed, for DOOR_REFUSAL_LIMIT. Returns its
 * size; 0 for DOOR_TCP, which has none.
 *
 * DOOR_HTTP: "HTTP/1.1 502 ..." with Weft-Refused, for a limit Weft-Limit, Content-Length: 0 and Connection: close. DOOR_GRPC: the same
 * as frames of HTTP/2 (RFC 9113, HPACK without dynamic entries): SETTINGS, HEADERS of stream 1 that end the stream, GOAWAY. They may be
 * sent as soon as the client's HEADERS of stream 1 have come: door_h2_read().
 */
size_t door_refusal_write(enum door_kind kind, enum door_refusal refusal, unsigned limit,
			  char reply[static DOOR_REPLY_MAX]);

/* Where a reader of a client's HTTP/2 frames is. Zeroed before use. */
struct door_h2 {
	uint8_t head[9];    /* of the frame that is being read, as far as it has come */
	unsigned head_size;
	uint32_t skip;      /* bytes of the preface or of a frame's payload that are still to come and do not matter */
	bool begun;         /* the preface was seen */
	bool asked;         /* HEADERS of stream 1 have begun */
	bool bad;           /* this is no HTTP/2 */
};

/* Takes SIZE bytes of the client; returns whether the reply may be sent, which stays so. BAD clients get none. */
bool door_h2_read(struct door_h2 *reader, const uint8_t *data, size_t size);

#endif
