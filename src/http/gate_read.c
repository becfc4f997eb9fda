/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is collected in one piece of memory that grows with it, at most to a head, a body and a little framing. It is judged
 * whenever something came, so that what will be refused is refused as early as it can be told, and is not kept.
 */
#include "http/gate_internal.h"

#include "control/reply.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MIN = 2048,
	TEXT_MAX = HEAD_MAX + GATE_BODY_MAX + 4 * CHUNK_LINE_MAX, /* of a request as it is collected */
};

/* ---- refusing ---- */

/* DETAIL NULL: a bare 400 for what does not speak HTTP. */
static void peer_refuse(struct http_peer *peer, int status, const char *detail)
{
	struct evbuffer *output = bufferevent_get_output(peer->bufferevent);
	char *body = detail ? reply_refusal_text(status, NULL, detail) : NULL;
	uint64_t suppressed;

	if (log_limit_allows(&peer->gate->refused, &suppressed))
		log_info("control: request refused", F_INT("status", status), F_STR("detail", detail),
			 F_SOME("suppressed", suppressed));
	evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\nConnection: close\r\n", status, reply_reason(status));
	if (body)
		evbuffer_add_printf(output, "Content-Type: application/problem+json\r\n");
	evbuffer_add_printf(output, "Content-Length: %zu\r\n\r\n%s", body ? strlen(body) : 0, body ? body : "");
	free(body);

	evbuffer_drain(peer->inbox, evbuffer_get_length(peer->inbox));
	peer_set_state(peer, PEER_REFUSING, GATE_REQUEST_MS);
	peer_install(peer);
	bufferevent_enable(peer->bufferevent, EV_READ | EV_WRITE);
}

/* ---- collecting a request ---- */

/* Moves what came into the text, as far as it has room. */
static void peer_collect(struct http_peer *peer)
{
	size_t have = evbuffer_get_length(peer->inbox);
	size_t wanted = peer->text_length + have < TEXT_MAX ? peer->text_length + have : TEXT_MAX;
	size_t size = peer->text_size ? peer->text_size : TEXT_MIN;

	while (size < wanted)
		size *= 2;
	if (size > peer->text_size) {
		char *text = realloc(peer->text, size);
		if (!text)
			return;
		peer->text = text;
		peer->text_size = size;
	}
	int moved = evbuffer_remove(peer->inbox, peer->text + peer->text_length, wanted - peer->text_length);
	if (moved > 0)
		peer->text_length += (size_t)moved;
}

/* Whether the head is complete. If it is refused the state says so. */
static bool peer_read_head(struct http_peer *peer)
{
	switch (head_read(peer->text, peer->text_length, &peer->head)) {
	case HEAD_MORE:
		return false;
	case HEAD_NOT_HTTP:
		peer_refuse(peer, 400, NULL);
		return false;
	case HEAD_BAD:
		peer_refuse(peer, 400, peer->head.detail);
		return false;
	case HEAD_TOO_LONG:
		peer_refuse(peer, 431, "the request's head is longer than 16 KiB or has more than 100 fields");
		return false;
	case HEAD_COMPLETE:
		break;
	}
	peer->has_head = true;
	peer->target_at = (size_t)(peer->head.target - peer->text);
	peer->chunks = (struct chunks){ 0 };
	return true;
}

/* Whether the body is complete. If it is refused the state says so. */
static bool peer_read_body(struct http_peer *peer)
{
	static const char too_large[] = "the body is longer than 64 KiB";
	const struct head *head = &peer->head;
	size_t have = peer->text_length - head->length;

	if (!head->chunked) {
		if (head->content_length > GATE_BODY_MAX) {
			peer_refuse(peer, 413, too_large);
			return false;
		}
		peer->request_length = head->length + (size_t)head->content_length;
		return have >= head->content_length;
	}

	enum chunk_verdict verdict = chunks_read(&peer->chunks, peer->text + head->length, &have, GATE_BODY_MAX);
	peer->text_length = head->length + have;
	peer->request_length = head->length + peer->chunks.body;
	switch (verdict) {
	case CHUNK_MORE:
		return false;
	case CHUNK_COMPLETE:
		return true;
	case CHUNK_BAD:
		peer_refuse(peer, 400, "the body's chunks are malformed");
		return false;
	case CHUNK_TOO_LONG:
		peer_refuse(peer, 413, too_large);
		return false;
	}
	return false;
}

static void peer_continue(struct http_peer *peer)
{
	static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";

	peer->continued = true;
	bufferevent_write(peer->bufferevent, answer, sizeof(answer) - 1);
	bufferevent_enable(peer->bufferevent, EV_WRITE);
}

void peer_advance(struct http_peer *peer)
{
	if (peer->state != PEER_READING)
		return;
	peer_collect(peer);
	if (!peer->text_length || (!peer->has_head && !peer_read_head(peer)))
		return;
	if (peer_read_body(peer))
		peer_hand_over(peer);
	else if (peer->state == PEER_READING && peer->head.expect_continue && !peer->continued)
		peer_continue(peer);
}
