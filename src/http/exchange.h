/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

/*
 * One request and the response that its handler owes, now or later: one answer of a known length (http_exchange_answer), or a
 * stream (_start, any number of _write, _end). An exchange outlives its client: the answer to a client that went away is dropped.
 * Main thread only.
 */

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct http_peer;
struct http_exchange;

struct http_answer {
	int status;
	const char *content_type; /* NULL: no such header */
	const char *allow;        /* NULL, or the Allow header */
	unsigned retry_after_s;   /* 0, or the Retry-After header */
	const char *policy; /* the Content-Security-Policy of a page; NULL: a browser runs and loads nothing of it */
	const char *body;   /* NULL: none. A HEAD request gets its length alone */
	size_t body_length;
};

/* Answers and frees EXCHANGE. For lack of memory the connection ends without an answer. */
void http_exchange_answer(struct http_exchange *exchange, const struct http_answer *answer);

/*
 * Begins a stream with the status 200. DRAINED is called each time the client has taken all that was written; it may write, and
 * may end the stream.
 */
void http_exchange_start(struct http_exchange *exchange, const char *content_type, void (*drained)(void *context),
			 void *context);

/* Drains DATA, of any length. For lack of memory the connection ends, and the stream hears of it as of a client that went. */
void http_exchange_write(struct http_exchange *exchange, struct evbuffer *data);

/* Ends the stream and frees EXCHANGE. */
void http_exchange_end(struct http_exchange *exchange);

/* Bytes written to the stream that the client has not taken yet. */
size_t http_exchange_pending(const struct http_exchange *exchange);

/* False once the client went away. */
bool http_exchange_has_client(const struct http_exchange *exchange);

/* GONE is called once, when the client goes away before the answer; it may answer. It replaces a former one; NULL: none. */
void http_exchange_on_gone(struct http_exchange *exchange, void (*gone)(void *context), void *context);

/* ---- For gate.c ---- */

/* NULL for lack of memory. */
struct http_exchange *http_exchange_new(struct http_peer *peer, bool head_only);

/* Whether a stream has begun. */
bool http_exchange_is_stream(const struct http_exchange *exchange);

/* The client has taken all that was written to the stream. */
void http_exchange_drained(struct http_exchange *exchange);

/* The client went away. */
void http_exchange_detach(struct http_exchange *exchange);

/*
 * Writes the answer to a request that no handler sees, whole or not at all: then false. CONTENT_TYPE and BODY are NULL for an empty
 * one.
 */
bool http_refuse(struct http_peer *peer, int status, const char *content_type, const char *body);

#endif
