/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLIENT_RESPONSE_H
#define WEFT_CLIENT_RESPONSE_H

/*
 * Reads one HTTP/1.1 response (RFC 9112) from bytes as they come: status line, header fields, and a body that is delimited by
 * its length, by chunks, or by the end of the connection. Pure: no I/O. Strict: what it does not understand is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum http_state {
	HTTP_STATUS_LINE, /* then HTTP_FIELDS */
	HTTP_FIELDS,      /* then one of the bodies, HTTP_STATUS_LINE again after a 1xx, or HTTP_DONE */
	HTTP_LENGTH_BODY, /* `remaining` bytes; then HTTP_DONE */
	HTTP_CHUNK_SIZE,  /* then HTTP_CHUNK_DATA, or HTTP_TRAILERS after the chunk of size 0 */
	HTTP_CHUNK_DATA,  /* `remaining` bytes; then HTTP_CHUNK_END */
	HTTP_CHUNK_END,   /* the empty rest of a line; then HTTP_CHUNK_SIZE */
	HTTP_TRAILERS,    /* then HTTP_DONE */
	HTTP_REST_BODY,   /* until the connection ends */
	HTTP_DONE,        /* nothing may follow */
};

enum { HTTP_LINE_MAX = 8192, HTTP_FIELDS_MAX = 64, HTTP_TYPE_SIZE = 64 };

struct http_response {
	enum http_state state;
	unsigned status;                   /* 100 to 599; 0 before it is known */
	char content_type[HTTP_TYPE_SIZE]; /* without parameters, lower case; "" if there was none */
	/* Called with each piece of the body. False ends it: http_response_feed() then returns as if the rest had come. */
	bool (*body)(void *context, const char *data, size_t length);
	void *context;

	/* The reader's own. */
	bool chunked, has_length;
	uint64_t remaining; /* bytes of the body, or of the chunk, that are still to come */
	unsigned fields;    /* header and trailer fields so far */
	size_t line_length;
	char line[HTTP_LINE_MAX]; /* the unfinished one */
};

/* Ready to read a response. BODY may be NULL: the body is then read and dropped. */
void http_response_init(struct http_response *response, bool (*body)(void *context, const char *data, size_t length),
			void *context);

/* Reads on. 0, or -1 with ERR (code EPROTO): not a response that we understand. Nothing may be fed after that. */
int http_response_feed(struct http_response *response, const char *data, size_t length, struct err *err);

/* The connection ended. 0 if the response is whole; -1 with ERR: cut off (EPROTO), or nothing came at all (ECONNRESET). */
int http_response_end(struct http_response *response, struct err *err);

#endif
