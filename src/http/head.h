/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_HEAD_H
#define WEFT_HTTP_HEAD_H

/*
 * Reads the head of an HTTP/1.x request and a chunked body, strictly and without side effects. Pure; any thread.
 */

#include "http/site.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HEAD_MAX = 16 * 1024,        /* bytes of a head, its blank line included; beyond: 431 */
	HEAD_FIELDS_MAX = 100,       /* header fields; beyond: 431 */
	HEAD_HOST_MAX = 300,         /* bytes of a Host: a name of 255 with its port fits; beyond: 400 */
	CHUNK_LINE_MAX = 256,        /* bytes of a line between chunks, or of a trailer */
	HEAD_TRAILER_LINES_MAX = 32, /* after the last chunk */
};

enum http_method {
	HTTP_GET,
	HTTP_HEAD, /* as GET, without the body */
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_POST,
	HTTP_OTHER, /* any other token: never allowed anywhere, 405 */
};

enum head_verdict {
	HEAD_MORE,     /* it is not complete yet, and nothing is wrong so far */
	HEAD_COMPLETE, /* struct head is filled in */
	HEAD_NOT_HTTP, /* to be answered with a bare 400 */
	HEAD_BAD,      /* HTTP, but not acceptable: 400 with the detail */
	HEAD_TOO_LONG, /* 431 */
	HEAD_ENCODED,  /* 415: its body has a content coding */
};

struct head {
	enum http_method method;
	const char *target; /* into the bytes read, not terminated; of the absolute form: its path and query */
	size_t target_length;
	bool printable;       /* every byte of the target is one that may stand in a URI unescaped, or a % */
	unsigned minor;       /* of HTTP/1.minor: 0 or 1 */
	bool close;           /* no further request is to follow on this connection */
	bool chunked;         /* the body's chunks give its length, not content_length */
	bool coded;           /* Content-Encoding names a coding of the body */
	bool expect_continue; /* the client waits for 100 before it sends the body */
	uint64_t content_length;
	bool has_host;
	char host[HEAD_HOST_MAX + 1]; /* the authority of a target in absolute form, else the Host field */
	struct http_site site;        /* whose page it comes from */
	size_t length;                /* bytes of the head, blank line included */
	const char *detail;           /* HEAD_BAD: a sentence */
};

/*
 * Reads the bytes that have come so far. The verdict is final unless it is HEAD_MORE; then call again from the first byte
 * when more have come. Bytes that cannot become HTTP any more are refused at once, not when a line ends.
 */
enum head_verdict http_head_read(const char *bytes, size_t length, struct head *head);

enum chunk_verdict {
	CHUNK_MORE,
	CHUNK_COMPLETE,
	CHUNK_BAD,
	CHUNK_TOO_LONG, /* more than the limit given */
};

/* The progress of reading a chunked body. Zeroed before the first call. */
struct chunks {
	enum {
		CHUNK_AT_SIZE, /* a line with a size follows */
		CHUNK_AT_DATA, /* `left` bytes of data follow */
		CHUNK_AT_END,  /* the CRLF after data follows */
		CHUNK_AT_TRAILER,
	} at;
	uint64_t left;
	unsigned trailers; /* lines seen */
	size_t body;       /* bytes decoded: they stand at the beginning of the buffer */
	size_t raw;        /* bytes that follow them and are not decoded yet */
};

/*
 * Decodes in place. BYTES begins with chunks->body decoded bytes; raw ones follow up to *LENGTH. The decoded bytes are moved
 * together, and undecoded ones follow them (after CHUNK_COMPLETE: the next request). *LENGTH gets the length of both. LIMIT
 * is the largest body.
 */
enum chunk_verdict http_chunks_read(struct chunks *chunks, char *bytes, size_t *length, size_t limit);

#endif
