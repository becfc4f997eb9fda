/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DOOR_DOOR_REQUEST_H
#define WEFT_DOOR_DOOR_REQUEST_H

/*
 * The first bytes of a connection at the door: a header of version 2 of the PROXY protocol (HAProxy, doc/proxy-protocol.txt, 2.2) with
 * the client's address, and in its TLV PP2_TYPE_UNIQUE_ID whom the client wants: "h/ID/PORT/TOKEN", "g/ID/PORT/TOKEN" or "t/ID/PORT",
 * where TOKEN is empty or the SHA-256 of the client's token in base64. Read strictly. Pure; any thread.
 */

#include "base/addr.h"
#include "base/sandbox_name.h"
#include "config/door_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DOOR_HEAD_SIZE = 16,           /* the fixed part of the header */
	DOOR_HEADER_MAX = 536,         /* the whole: more is refused */
	DOOR_NAME_MAX = BASE_NAME_MAX, /* of an id or a name */
};

/* What the client speaks to the sandbox, which decides how a refusal looks. The values are the letters. */
enum door_kind {
	DOOR_HTTP = 'h', /* HTTP/1.1 */
	DOOR_GRPC = 'g', /* HTTP/2, by prior knowledge */
	DOOR_TCP = 't',  /* bytes */
};

/* What the client showed. */
struct door_token {
	bool given;
	uint8_t sha256[DOOR_TOKEN_SIZE];
};

struct door_request {
	enum door_kind kind;
	char name[DOOR_NAME_MAX + 1]; /* an id or a name, valid as such */
	uint16_t port;                /* of the guest */
	struct door_token token;      /* never of DOOR_TCP */
	struct addr client;           /* family 0: the header does not say. IPv4 that was written as IPv6 is IPv4 */
};

/*
 * The size of the whole header that begins with the DOOR_HEAD_SIZE bytes HEAD: DOOR_HEAD_SIZE to DOOR_HEADER_MAX. 0: it is none that may
 * come here (another version or signature, too long), and *FAULT says why; a constant text.
 */
size_t door_request_size(const uint8_t head[static DOOR_HEAD_SIZE], const char **fault);

/*
 * Reads a whole HEADER of SIZE bytes, as door_request_size() says. 0, or -1 with *FAULT: command LOCAL, a family that is none of
 * IPv4, IPv6, unix and unspecified, TLVs that do not fit, a unique id that is missing, there twice, or not of the form above.
 */
int door_request_read(const uint8_t *header, size_t size, struct door_request *request, const char **fault);

#endif
