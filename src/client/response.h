/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLIENT_RESPONSE_H
#define WEFT_CLIENT_RESPONSE_H

/*
 * Reads one HTTP/1.1 response (RFC 9112) from bytes as they come: status line, header fields, and a body that is delimited by
 * its length, by chunks, or by the end of the connection. Pure, without I/O. Strict: anything unknown is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum client_response_state {
	RESPONSE_STATUS_LINE, /* then RESPONSE_FIELDS */
	RESPONSE_FIELDS,      /* then one of the bodies, RESPONSE_STATUS_LINE again after a 1xx, or RESPONSE_DONE */
	RESPONSE_LENGTH_BODY, /* `remaining` bytes; then RESPONSE_DONE */
	RESPONSE_CHUNK_SIZE,  /* then RESPONSE_CHUNK_DATA, or RESPONSE_TRAILERS after the chunk of size 0 */
	RESPONSE_CHUNK_DATA,  /* `remaining` bytes; then RESPONSE_CHUNK_END */
	RESPONSE_CHUNK_END,   /* the empty rest of a line; then RESPONSE_CHUNK_SIZE */
	RESPONSE_TRAILERS,    /* then RESPONSE_DONE */
	RESPONSE_REST_BODY,   /* until the connection ends */
	RESPONSE_DONE,        /* nothing may follow */
};

enum { RESPONSE_LINE_MAX = 8192, RESPONSE_FIELDS_MAX = 64, RESPONSE_TYPE_SIZE = 64 };

struct client_response {
	enum client_response_state state;
	unsigned status;                       /* 100 to 599; 0 before it is known */
	char content_type[RESPONSE_TYPE_SIZE]; /* without parameters, lower case; "" if there was none */
	unsigned retry_after_s;                /* its Retry-After, at most a day; 0: none in seconds */
	/* Called with each piece of the body. False ends the reading, as if the response were complete. */
	bool (*body)(void *context, const char *data, size_t length);
	void *context;

	/* The reader's own. */
	bool chunked, has_length;
	uint64_t remaining; /* bytes of the body, or of the chunk, that are still to come */
	unsigned fields;    /* header and trailer fields so far */
	size_t line_length;
	char line[RESPONSE_LINE_MAX]; /* the unfinished one */
};

/* Ready to read a response. BODY may be NULL: the body is then read and dropped. */
void client_response_init(struct client_response *response,
			  bool (*body)(void *context, const char *data, size_t length), void *context);

/* Reads on. 0, or -1 with ERR (code EPROTO): not a response that we understand. Nothing may be fed after that. */
int client_response_feed(struct client_response *response, const char *data, size_t length, struct err *err);

/* The connection ended. 0 if the response is whole; -1 with ERR: cut off (EPROTO), or nothing came at all (ECONNRESET). */
int client_response_end(struct client_response *response, struct err *err);

#endif
