/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evhttp accepts, writes replies and keeps connections alive; the gate stands between it and the socket, because evhttp
 * answers mistakes in HTML, restarts its timeout with each byte, takes a half-closed connection for a dead one, knows no cap.
 *
 * evhttp_set_bevcb() lets us make the bufferevent of each connection. One loop turn later evhttp has put its callbacks on it;
 * we keep them (their argument is evhttp's connection) and put our own there. While a request is READING, evhttp sees nothing:
 * the bytes are judged (head.h) and collected here. For a complete request evhttp is given "GET / HTTP/1.1", which it cannot
 * find fault with, by one call of its read callback: it calls our handler before it returns, and the handler is given what was
 * really asked. While it is SERVING we watch for the client's end, and evhttp's write callback runs only while evhttp writes.
 * After the reply evhttp puts its own callbacks back, and we ours. What came meanwhile waits in `inbox`: were it left in the
 * bufferevent's input, evhttp would read it by itself.
 *
 * A refusal is written to the bufferevent past evhttp (REFUSING); then we read on and throw away (LINGERING), because a client
 * that still sends would otherwise be reset and never see the answer. Every state but SERVING has a deadline.
 */
#include "http/gate_internal.h"

#include "base/clock.h"
#include "base/err.h"
#include "control/reply.h"
#include "http/gate_accept.h"
#include "http/last_words.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	INPUT_MAX = 64 * 1024,         /* read ahead while a request is served */
	LINGER_MAX = 64 * 1024 * 1024, /* bytes thrown away before we give up */
	HANGUP_CHECK_MS = 1000,        /* how often a half-closed client is looked at */
};

/* ---- states, and the end ---- */

static void peer_unlist(struct http_peer *peer)
{
	struct gate *gate = peer->gate;

	if (peer->state == PEER_READING) {
		TAILQ_REMOVE(&gate->reading, peer, next);
		gate->reading_count--;
	} else {
		TAILQ_REMOVE(&gate->others, peer, next);
	}
}

static void peer_list(struct http_peer *peer)
{
	struct gate *gate = peer->gate;

	if (peer->state == PEER_READING) {
		peer->reading_since_ms = clock_now_ms();
		TAILQ_INSERT_TAIL(&gate->reading, peer, next);
		gate->reading_count++;
	} else {
		TAILQ_INSERT_TAIL(&gate->others, peer, next);
	}
}

void peer_set_state(struct http_peer *peer, enum peer_state state, uint64_t deadline_ms)
{
	peer_unlist(peer);
	peer->state = state;
	peer_list(peer);
	if (deadline_ms)
		timer_start(&peer->deadline, deadline_ms);
	else
		timer_stop(&peer->deadline);
}

static void peer_free(struct http_peer *peer)
{
	if (peer->gate->current == peer)
		peer->gate->current = NULL;
	peer->gate->count--;
	timer_free(&peer->deadline);
	if (peer->kick)
		event_free(peer->kick);
	if (peer->inbox)
		evbuffer_free(peer->inbox);
	free(peer->text);
	free(peer);
}

void peer_close(struct http_peer *peer)
{
	evhttp_connection_free(peer->connection); /* calls on_closed() */
}

/* evhttp is about to free the connection, whoever wanted that. */
static void on_closed(struct evhttp_connection *connection, void *arg)
{
	struct http_peer *peer = arg;
	struct gate *gate = peer->gate;

	(void)connection;
	peer->request = NULL;
	if (peer->reply)
		reply_detach(peer->reply);
	peer_unlist(peer);
	peer_free(peer);
	for (size_t i = 0; i < gate->acceptor_count; i++)
		gate_accept_refill(gate->acceptors[i]);
}

/* On a unix socket a client that closed hangs up, and one that only sends no more does not. */
static bool peer_hung_up(const struct http_peer *peer)
{
	struct pollfd poll_fd = { .fd = bufferevent_getfd(peer->bufferevent) };

	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

static void on_deadline(void *context)
{
	struct http_peer *peer = context;

	if (peer->state != PEER_SERVING) {
		peer_close(peer);
		return;
	}
	if (peer_hung_up(peer))
		peer_close(peer);
	else
		timer_start(&peer->deadline, HANGUP_CHECK_MS);
}

/* ---- serving ---- */

void peer_hand_over(struct http_peer *peer)
{
	struct gate *gate = peer->gate;
	struct evbuffer *input = bufferevent_get_input(peer->bufferevent);
	char plain[64];
	int length = snprintf(plain, sizeof(plain), "GET / HTTP/1.%u\r\n%s\r\n", peer->head.minor,
			      peer->head.close && peer->head.minor ? "Connection: close\r\n" : "");

	peer_set_state(peer, PEER_SERVING, 0);
	if (evbuffer_prepend(input, plain, (size_t)length) < 0) {
		peer_close(peer);
		return;
	}
	gate->current = peer;
	peer->evhttp_read(peer->bufferevent, peer->connection);
	if (gate->current != peer)
		return;
	gate->current = NULL;
	if (!peer->request) {
		peer_close(peer); /* evhttp lacked memory */
		return;
	}
	peer_install(peer);
	bufferevent_enable(peer->bufferevent, EV_READ);
}

/* ---- what the bufferevent tells ---- */

static void on_readable(struct bufferevent *bufferevent, void *arg)
{
	struct http_peer *peer = arg;
	struct evbuffer *input = bufferevent_get_input(bufferevent);

	switch (peer->state) {
	case PEER_READING:
		evbuffer_add_buffer(peer->inbox, input);
		peer_advance(peer);
		break;
	case PEER_REFUSING:
	case PEER_LINGERING:
		peer->lingered += evbuffer_get_length(input);
		evbuffer_drain(input, evbuffer_get_length(input));
		if (peer->lingered > LINGER_MAX)
			peer_close(peer);
		break;
	case PEER_NEW:
	case PEER_SERVING:
	case PEER_WRITING:
		break; /* waits in the input, which is bounded */
	}
}

static void on_written(struct bufferevent *bufferevent, void *arg)
{
	struct http_peer *peer = arg;

	switch (peer->state) {
	case PEER_REFUSING:
		if (peer->half_closed) {
			peer_close(peer);
			break;
		}
		shutdown(bufferevent_getfd(bufferevent), SHUT_WR);
		peer_set_state(peer, PEER_LINGERING, GATE_REQUEST_MS);
		break;
	case PEER_SERVING:
		if (peer->streaming)
			peer->evhttp_write(bufferevent, peer->connection);
		break;
	case PEER_WRITING:
		peer->evhttp_write(bufferevent, peer->connection);
		break;
	case PEER_NEW:
	case PEER_READING: /* "100 Continue" */
	case PEER_LINGERING:
		break;
	}
}

/* A client that sends no more may still wait for what it asked for. */
static void on_event(struct bufferevent *bufferevent, short what, void *arg)
{
	struct http_peer *peer = arg;
	bool owed = peer->state == PEER_SERVING || peer->state == PEER_WRITING || peer->state == PEER_REFUSING;

	(void)bufferevent;
	if (!owed || what != (BEV_EVENT_EOF | BEV_EVENT_READING) || peer_hung_up(peer)) {
		peer_close(peer);
		return;
	}
	peer->half_closed = true;
	if (peer->state == PEER_SERVING)
		timer_start(&peer->deadline, HANGUP_CHECK_MS);
}

void peer_install(struct http_peer *peer)
{
	bufferevent_setcb(peer->bufferevent, on_readable, on_written, on_event, peer);
}

/* ---- what evhttp tells ---- */

/* Too many connections: the oldest that has not sent a request makes room. */
static bool gate_evict(struct gate *gate)
{
	struct http_peer *oldest = TAILQ_FIRST(&gate->reading);
	uint64_t suppressed;

	if (!oldest)
		return false;
	if (log_limit_allows(&gate->evicted, &suppressed))
		log_warning("control: too many connections, the oldest idle one is closed",
			    F_UINT("connections", gate->count), F_SOME("suppressed", suppressed));
	peer_close(oldest);
	return true;
}

/* Where we were held up ourselves, what a client sent in time waits to be read in the next turn. */
static bool peer_is_idle(const struct http_peer *peer, uint64_t now_ms)
{
	int unread = 0;

	if (now_ms - peer->reading_since_ms < GATE_GRACE_MS)
		return false;
	return ioctl(bufferevent_getfd(peer->bufferevent), FIONREAD, &unread) < 0 || !unread;
}

/*
 * Keeps to the caps. What has only just come is spared while there is any room: in a burst its request is on the way, or
 * waits in the socket already. True if PEER, which comes now, was closed itself.
 */
static bool gate_make_room(struct gate *gate, const struct http_peer *peer)
{
	uint64_t now = clock_now_ms();

	for (;;) {
		const struct http_peer *oldest = TAILQ_FIRST(&gate->reading);
		bool idle = oldest && peer_is_idle(oldest, now);
		if (!oldest || !(gate->count > GATE_PEERS_MAX || (gate->reading_count > GATE_READING_MAX && idle)))
			return false;
		gate_evict(gate);
		if (oldest == peer)
			return true;
	}
}

static bool on_exhausted(void *context)
{
	return gate_evict(context);
}

/* evhttp has finished setting the connection up. */
static void peer_begin(struct http_peer *peer)
{
	bufferevent_event_cb event_cb;
	void *connection;

	bufferevent_getcb(peer->bufferevent, &peer->evhttp_read, &peer->evhttp_write, &event_cb, &connection);
	peer->connection = connection;
	evhttp_connection_set_closecb(peer->connection, on_closed, peer);
	bufferevent_set_timeouts(peer->bufferevent, NULL, NULL);
	bufferevent_setwatermark(peer->bufferevent, EV_READ, 0, INPUT_MAX);
	peer_set_state(peer, PEER_READING, GATE_REQUEST_MS);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct http_peer *peer = arg;
	struct gate *gate = peer->gate;

	(void)fd;
	(void)what;
	if (peer->state == PEER_NEW)
		peer_begin(peer);
	peer_install(peer);
	if (!gate_make_room(gate, peer))
		peer_advance(peer);
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct gate *gate = arg;
	struct http_peer *peer = calloc(1, sizeof(*peer));
	struct err err;

	if (!peer)
		return NULL;
	peer->gate = gate;
	peer->inbox = evbuffer_new();
	peer->kick = event_new(base, -1, 0, on_kick, peer);
	peer->bufferevent = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	gate->count++;
	if (!peer->inbox || !peer->kick || !peer->bufferevent ||
	    timer_init(&peer->deadline, base, on_deadline, peer, &err) < 0) {
		if (peer->bufferevent)
			bufferevent_free(peer->bufferevent);
		peer_free(peer);
		return NULL; /* evhttp then makes a bufferevent by itself, and on_request() answers 503 */
	}
	peer_list(peer);
	event_active(peer->kick, EV_TIMEOUT, 0);
	return peer->bufferevent;
}

/* The client has the whole reply; evhttp closes the connection next, or gets it ready for another request. */
static void on_sent(struct evhttp_request *request, void *arg)
{
	struct http_peer *peer = arg;

	(void)request;
	peer->request = NULL;
	peer->streaming = false;
	peer->has_head = peer->continued = false;
	peer->text_length -= peer->request_length;
	memmove(peer->text, peer->text + peer->request_length, peer->text_length);
	if (!peer->text_length) {
		free(peer->text);
		peer->text = NULL;
		peer->text_size = 0;
	}
	evbuffer_add_buffer(peer->inbox, bufferevent_get_input(peer->bufferevent));
	peer_set_state(peer, PEER_READING, GATE_REQUEST_MS);
	event_active(peer->kick, EV_TIMEOUT, 0);
}

static void on_request(struct evhttp_request *evhttp_request, void *arg)
{
	struct gate *gate = arg;
	struct http_peer *peer = gate->current;

	if (!peer) {
		evhttp_send_reply(evhttp_request, 503, reply_reason(503), NULL);
		return;
	}

	struct gate_request request = {
		.method = peer->head.method,
		.target = peer->text + peer->target_at,
		.target_length = peer->head.target_length,
		.printable = peer->head.printable,
		.host = peer->head.host,
		.body = peer->text + peer->head.length,
		.body_length = peer->request_length - peer->head.length,
		.fd = bufferevent_getfd(peer->bufferevent),
	};
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (!getsockopt(request.fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) && cred.uid != (uid_t)-1) {
		request.has_creds = true;
		request.uid = cred.uid;
		request.gid = cred.gid;
		request.pid = cred.pid;
	}
	peer->request = evhttp_request;
	evhttp_request_set_on_complete_cb(evhttp_request, on_sent, peer);
	peer->reply = reply_new(peer, &request);
	if (peer->reply)
		gate->handle(gate->context, &request, peer->reply);
	else
		peer_answer(peer, &(struct peer_answer){ .status = 503 });
}

/* ---- what replies say ---- */

void peer_answer(struct http_peer *peer, const struct peer_answer *answer)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(peer->request);
	char length[24];

	peer->reply = NULL;
	if (answer->content_type)
		evhttp_add_header(headers, "Content-Type", answer->content_type);
	if (answer->allow)
		evhttp_add_header(headers, "Allow", answer->allow);
	if (answer->head_only && answer->body) {
		snprintf(length, sizeof(length), "%zu", evbuffer_get_length(answer->body));
		evhttp_add_header(headers, "Content-Length", length);
	}
	peer_set_state(peer, PEER_WRITING, GATE_REPLY_MS);
	evhttp_send_reply(peer->request, answer->status, reply_reason(answer->status),
			  answer->head_only ? NULL : answer->body);
	peer_install(peer);
}

void peer_stream_start(struct http_peer *peer, const char *content_type)
{
	evhttp_add_header(evhttp_request_get_output_headers(peer->request), "Content-Type", content_type);
	peer->streaming = true;
	evhttp_send_reply_start(peer->request, 200, reply_reason(200));
	peer_install(peer);
}

static void on_drained(struct evhttp_connection *connection, void *arg)
{
	struct http_peer *peer = arg;

	(void)connection;
	if (peer->drained && peer->reply)
		peer->drained(peer->drained_context);
}

void peer_stream_write(struct http_peer *peer, struct evbuffer *data, void (*drained)(void *context), void *context)
{
	peer->drained = drained;
	peer->drained_context = context;
	evhttp_send_reply_chunk_with_cb(peer->request, data, on_drained, peer);
	peer_install(peer);
}

void peer_stream_end(struct http_peer *peer)
{
	bool chunked = peer->head.minor == 1;

	peer->reply = NULL;
	peer_set_state(peer, PEER_WRITING, GATE_REQUEST_MS);
	evhttp_send_reply_end(peer->request);
	if (chunked) /* else the peer may be gone by now, and evhttp has left the callbacks alone */
		peer_install(peer);
}

size_t peer_stream_pending(const struct http_peer *peer)
{
	return evbuffer_get_length(bufferevent_get_output(peer->bufferevent));
}

/* ---- the gate ---- */

struct gate *gate_new(struct event_base *base, gate_handler *handle, void *context, struct err *err)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (gate)
		gate->http = evhttp_new(base);
	if (!gate || !gate->http) {
		free(gate);
		err_set(err, ENOMEM, "HTTP server");
		return NULL;
	}
	gate->base = base;
	gate->handle = handle;
	gate->context = context;
	gate->refused = gate->evicted = (struct log_limit){ .burst = 10, .interval_ms = 10000 };
	TAILQ_INIT(&gate->reading);
	TAILQ_INIT(&gate->others);
	evhttp_set_bevcb(gate->http, on_accept, gate);
	evhttp_set_gencb(gate->http, on_request, gate);
	return gate;
}

int gate_listen(struct gate *gate, int fd, struct err *err)
{
	if (gate->acceptor_count == ACCEPTORS_MAX) {
		close(fd);
		return err_set(err, 0, "more than %d addresses to listen on", ACCEPTORS_MAX);
	}
	struct gate_accept *accept = gate_accept_new(gate->base, gate->http, fd, on_exhausted, gate, err);
	if (!accept)
		return -1;
	gate->acceptors[gate->acceptor_count++] = accept;
	return 0;
}

/* A connection that evhttp accepted in this very turn does not tell us its end yet. */
static void gate_end_all(struct gate *gate)
{
	struct http_peer *peer, *next;

	TAILQ_FOREACH_SAFE(peer, &gate->others, next, next)
	if (peer->state == PEER_NEW)
		peer_begin(peer);
	else
		last_words_send(peer->bufferevent);
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	gate_end_all(gate);
	while (gate->acceptor_count)
		gate_accept_free(gate->acceptors[--gate->acceptor_count]);
	evhttp_free(gate->http);
	free(gate);
}

size_t gate_peers(const struct gate *gate)
{
	return gate->count;
}
