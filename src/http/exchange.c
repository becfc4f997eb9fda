/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Responses are written to the output of the peer's bufferevent, and the loop sends them; the gate learns from the bufferevent
 * when the client has taken them. HTTP/1.1 gets Date and the length or chunks, HTTP/1.0 the end of the connection.
 */
#include "http/exchange.h"

#include "http/gate.h"
#include "http/peer.h"
#include "http/status.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_ROOM = 2048 }; /* more than any head of ours takes, and evbuffer_add_printf() wants to have free */

struct http_exchange {
	struct http_peer *peer; /* NULL: the client is gone */
	bool head_only;
	void (*gone)(void *context);
	void *gone_context;
	void (*drained)(void *context); /* NULL: no stream has begun */
	void *drained_context;
	bool lost; /* a part of the stream found no memory: no more is written, and the connection ends */
};

struct http_exchange *http_exchange_new(struct http_peer *peer, bool head_only)
{
	struct http_exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->peer = peer;
	exchange->head_only = head_only;
	return exchange;
}

static struct evbuffer *http_output(const struct http_peer *peer)
{
	return bufferevent_get_output(peer->bufferevent);
}

static bool http_is_1_1(const struct http_peer *peer)
{
	return peer->intake.head.minor == 1;
}

/* ---- heads ---- */

static void http_write_field(struct evbuffer *output, const char *name, const char *value)
{
	if (value)
		evbuffer_add_printf(output, "%s: %s\r\n", name, value);
}

static void http_write_length(struct evbuffer *output, size_t length)
{
	evbuffer_add_printf(output, "Content-Length: %zu\r\n", length);
}

static void http_write_date(struct evbuffer *output)
{
	char date[50];

	if (evutil_date_rfc1123(date, sizeof(date), NULL) > 0)
		http_write_field(output, "Date", date);
}

/*
 * Nobody takes an answer for something else, keeps it, puts it into a frame, or loads it into a page of another site. POLICY: NULL for
 * data, of which a browser is to run nothing.
 */
static void http_write_protection(struct evbuffer *output, const char *policy)
{
	http_write_field(output, "Cache-Control", "no-store");
	http_write_field(output, "Content-Security-Policy",
			 policy ? policy : "default-src 'none'; frame-ancestors 'none'");
	http_write_field(output, "X-Content-Type-Options", "nosniff");
	http_write_field(output, "X-Frame-Options", "DENY"); /* for browsers that do not know frame-ancestors */
	http_write_field(output, "Cross-Origin-Resource-Policy", "same-origin");
	http_write_field(output, "Referrer-Policy", "no-referrer");
}

/* The fields that the gate's owner wants in each head. */
static void http_write_fields(struct evbuffer *output, const struct http_peer *peer)
{
	if (peer->set->fields)
		evbuffer_add(output, peer->set->fields, strlen(peer->set->fields));
}

/* The end of each head of HTTP/1.1; that of HTTP/1.0 is an empty line. */
static void http_write_end_of_head(struct evbuffer *output, const struct http_peer *peer)
{
	if (http_is_1_1(peer) && peer->intake.head.close)
		http_write_field(output, "Connection", "close");
	evbuffer_add(output, "\r\n", 2);
}

static void http_write_status(struct evbuffer *output, unsigned minor, int status)
{
	evbuffer_add_printf(output, "HTTP/1.%u %d %s\r\n", minor, status, http_status_reason(status));
}

static void http_write_head(const struct http_exchange *exchange, const struct http_answer *answer)
{
	struct http_peer *peer = exchange->peer;
	struct evbuffer *output = http_output(peer);
	bool has_body = answer->status != 204;

	http_write_status(output, peer->intake.head.minor, answer->status);
	http_write_field(output, "Content-Type", answer->content_type);
	http_write_field(output, "Allow", answer->allow);
	http_write_fields(output, peer);
	http_write_protection(output, answer->policy);
	if (answer->retry_after_s)
		evbuffer_add_printf(output, "Retry-After: %u\r\n", answer->retry_after_s);
	if (exchange->head_only && has_body)
		http_write_length(output, answer->body_length);
	if (http_is_1_1(peer)) {
		http_write_date(output);
		if (!exchange->head_only && has_body)
			http_write_length(output, answer->body_length);
	}
	http_write_end_of_head(output, peer);
}

/* ---- answers ---- */

/*
 * Has room for a head and BODY_LENGTH bytes, so that writing them needs no memory: otherwise an answer could lose a line, or its
 * body. False: there is none.
 */
static bool http_make_room(const struct http_peer *peer, size_t body_length)
{
	return evbuffer_expand(http_output(peer), HEAD_ROOM + body_length) == 0;
}

/* Without memory for an answer the client gets none: the connection ends. */
static void http_lose_answer(struct http_peer *peer)
{
	peer->intake.head.close = true;
	http_peer_set_state(peer, PEER_WRITING, PEER_LOST_MS);
}

static void http_write_answer(const struct http_exchange *exchange, const struct http_answer *answer)
{
	struct http_peer *peer = exchange->peer;
	size_t body_length = answer->body && !exchange->head_only ? answer->body_length : 0;

	if (!http_make_room(peer, body_length)) {
		http_lose_answer(peer);
		return;
	}
	http_write_head(exchange, answer);
	if (body_length)
		evbuffer_add(http_output(peer), answer->body, body_length);
	if (http_peer_send(peer))
		http_peer_set_state(peer, PEER_WRITING, GATE_REPLY_MS);
	else
		http_lose_answer(peer);
}

void http_exchange_answer(struct http_exchange *exchange, const struct http_answer *answer)
{
	struct http_peer *peer = exchange->peer;

	if (peer) {
		peer->exchange = NULL;
		http_write_answer(exchange, answer);
	}
	free(exchange);
}

bool http_refuse(struct http_peer *peer, int status, const char *content_type, const char *body)
{
	struct evbuffer *output = http_output(peer);
	size_t length = body ? strlen(body) : 0;

	if (!http_make_room(peer, length))
		return false;
	http_write_status(output, 1, status);
	http_write_field(output, "Connection", "close");
	if (status == 415) /* RFC 9110, 15.5.16: what would be read */
		http_write_field(output, "Accept-Encoding", "identity");
	http_write_field(output, "Content-Type", content_type);
	http_write_fields(output, peer);
	http_write_protection(output, NULL);
	http_write_length(output, length);
	evbuffer_add(output, "\r\n", 2);
	if (length)
		evbuffer_add(output, body, length);
	return http_peer_send(peer);
}

/* ---- streams ---- */

/* The stream's owner hears of it as of a client that went, once it has returned. */
static void http_lose_stream(struct http_exchange *exchange)
{
	exchange->lost = true;
	http_lose_answer(exchange->peer);
}

/* Puts the frame of a chunk around DATA. False: no memory, and DATA is of no use any more. */
static bool http_frame_chunk(struct evbuffer *data)
{
	char line[24];
	int length = snprintf(line, sizeof(line), "%zx\r\n", evbuffer_get_length(data));

	return evbuffer_prepend(data, line, (size_t)length) == 0 && evbuffer_add(data, "\r\n", 2) == 0;
}

void http_exchange_start(struct http_exchange *exchange, const char *content_type, void (*drained)(void *context),
			 void *context)
{
	struct http_peer *peer = exchange->peer;

	exchange->drained = drained;
	exchange->drained_context = context;
	if (!peer)
		return;
	if (!http_make_room(peer, 0)) {
		http_lose_stream(exchange);
		return;
	}
	struct evbuffer *output = http_output(peer);
	http_write_status(output, peer->intake.head.minor, 200);
	http_write_field(output, "Content-Type", content_type);
	http_write_fields(output, peer);
	http_write_protection(output, NULL);
	if (http_is_1_1(peer)) {
		http_write_field(output, "Transfer-Encoding", "chunked");
		http_write_date(output);
	}
	http_write_end_of_head(output, peer);
	if (!http_peer_send(peer))
		http_lose_stream(exchange);
}

/* A chunk without data would end the stream. Without its frame the client would take what follows for another: all of it, or none. */
void http_exchange_write(struct http_exchange *exchange, struct evbuffer *data)
{
	size_t length = evbuffer_get_length(data);

	if (!exchange->peer || exchange->head_only || exchange->lost) {
		evbuffer_drain(data, length);
		return;
	}
	if (!length)
		return;
	if ((http_is_1_1(exchange->peer) && !http_frame_chunk(data)) ||
	    evbuffer_add_buffer(http_output(exchange->peer), data) < 0 || !http_peer_send(exchange->peer)) {
		evbuffer_drain(data, evbuffer_get_length(data));
		http_lose_stream(exchange);
	}
}

/* Where nothing is left to be sent, the bufferevent is asked to notify the gate all the same. */
static void http_finish_stream(const struct http_exchange *exchange)
{
	struct http_peer *peer = exchange->peer;
	bool chunked = http_is_1_1(peer) && !exchange->head_only;

	if ((chunked && evbuffer_add(http_output(peer), "0\r\n\r\n", 5) < 0) || !http_peer_send(peer)) {
		http_lose_answer(peer);
		return;
	}
	http_peer_set_state(peer, PEER_WRITING, GATE_REQUEST_MS);
	bufferevent_trigger(peer->bufferevent, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

void http_exchange_end(struct http_exchange *exchange)
{
	struct http_peer *peer = exchange->peer;

	if (peer) {
		peer->exchange = NULL;
		if (!exchange->lost)
			http_finish_stream(exchange);
	}
	free(exchange);
}

size_t http_exchange_pending(const struct http_exchange *exchange)
{
	return exchange->peer ? evbuffer_get_length(http_output(exchange->peer)) : 0;
}

bool http_exchange_is_stream(const struct http_exchange *exchange)
{
	return exchange->drained != NULL;
}

void http_exchange_drained(struct http_exchange *exchange)
{
	if (exchange->drained)
		exchange->drained(exchange->drained_context);
}

/* ---- clients that go away ---- */

bool http_exchange_has_client(const struct http_exchange *exchange)
{
	return exchange->peer != NULL;
}

void http_exchange_on_gone(struct http_exchange *exchange, void (*gone)(void *context), void *context)
{
	exchange->gone = gone;
	exchange->gone_context = context;
}

void http_exchange_detach(struct http_exchange *exchange)
{
	void (*gone)(void *context) = exchange->gone;

	exchange->peer = NULL;
	exchange->gone = NULL;
	if (gone)
		gone(exchange->gone_context);
}
