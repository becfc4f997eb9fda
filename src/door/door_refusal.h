/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DOOR_DOOR_REFUSAL_H
#define WEFT_DOOR_DOOR_REFUSAL_H

/*
 * The replies of the door to clients that do not get through: HAProxy makes the page or the JSON of them. Pure; any thread.
 *
 *	DOOR_HTTP	"HTTP/1.1 502 ..." with Weft-Refused, for a limit Weft-Limit, Content-Length: 0 and Connection: close
 *	DOOR_GRPC	the same as frames of HTTP/2, for stream 1
 *	DOOR_TCP	none
 *
 * A refused client gets the greeting first. The reply follows at once, to DOOR_GRPC as soon as door_h2_read() says so. After a reply of
 * HTTP/2 the client closes, and not weftd: HAProxy 2.6 that learns of our end while it uploads may take the reply for a fault.
 */

#include "door/door_request.h"

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
 * Writes what a client of KIND is sent as soon as it is refused, before anything is read of it: SETTINGS for DOOR_GRPC, since HAProxy
 * asks nothing of a server that has not sent them. Returns its size; 0: nothing.
 */
size_t door_refusal_greet(enum door_kind kind, char reply[static DOOR_REPLY_MAX]);

/*
 * Writes the reply to a client of KIND that was greeted; LIMIT: the number of connections that is allowed, for DOOR_REFUSAL_LIMIT.
 * Returns its size; 0: there is none.
 *
 * Of HTTP/2 (RFC 9113) it is an acknowledgement of the client's SETTINGS, HEADERS that end the stream, without dynamic entries of
 * HPACK, and GOAWAY.
 */
size_t door_refusal_write(enum door_kind kind, enum door_refusal refusal, unsigned limit,
			  char reply[static DOOR_REPLY_MAX]);

#endif
