/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection is a bufferevent and goes round READING, SERVING, WRITING. While it is READING its bytes are collected and judged
 * (intake.h). With a complete request the handler gets an exchange, by which it responds (exchange.h). While it is SERVING
 * the gate watches for the client's end; further requests wait in the bufferevent's input, which is bounded. The next
 * request is read when the client has taken the whole response.
 *
 * A refusal is written by the gate itself (REFUSING). Then it reads on and throws away (LINGERING), because a client that still
 * sends would otherwise be reset and never see the answer. Every state but SERVING has a deadline.
 */
#include "http/gate.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/log.h"
#include "http/exchange.h"
#include "http/gate_accept.h"
#include "http/peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPTORS_MAX = 16,
	INPUT_MAX = 64 * 1024,         /* bytes read ahead while a request is served */
	LINGER_MAX = 64 * 1024 * 1024, /* bytes thrown away before the connection is closed */
	HANGUP_CHECK_MS = 1000,        /* how often a client that is not read is checked for its end */
};

static const struct log_limit gate_lines = { .burst = 10, .interval_ms = 10000 };

struct http_gate {
	struct event_base *base;
	const struct http_gate_ops *ops;
	void *context;
	struct peer_set peers;
	size_t peers_max, reading_max;
	struct gate_accept *acceptors[ACCEPTORS_MAX];
	size_t acceptor_count;
};

static struct http_gate *http_gate_of(const struct http_peer *peer)
{
	return container_of(peer->set, struct http_gate, peers);
}

/* ---- the end of a connection ---- */

static void http_gate_close(struct http_peer *peer)
{
	struct http_gate *gate = http_gate_of(peer);

	if (peer->exchange)
		http_exchange_detach(peer->exchange);
	http_peer_free(peer);
	for (size_t i = 0; i < gate->acceptor_count; i++)
		http_gate_accept_refill(gate->acceptors[i]);
}

static void http_gate_on_deadline(void *context)
{
	struct http_peer *peer = context;

	if (peer->state != PEER_SERVING || http_peer_hung_up(peer))
		http_gate_close(peer);
	else
		timer_start(&peer->deadline, HANGUP_CHECK_MS);
}

/* There are too many connections, so the oldest without a request is closed. False: there is none. */
static bool http_gate_evict(struct http_gate *gate)
{
	struct http_peer *oldest = TAILQ_FIRST(&gate->peers.reading);

	if (!oldest)
		return false;
	log_limited(&gate_lines, LOG_WARNING_LEVEL, "control: too many connections, the oldest idle one is closed",
		    F_UINT("connections", gate->peers.count));
	http_gate_close(oldest);
	return true;
}

/*
 * Keeps to the caps. A connection that has only just come is spared while there is any room: in a burst its request is on
 * the way, or waits in the socket already. True if PEER, which comes now, was closed itself.
 */
static bool http_gate_make_room(struct http_gate *gate, const struct http_peer *peer)
{
	const struct peer_set *peers = &gate->peers;
	uint64_t now = clock_now_ms();

	for (;;) {
		const struct http_peer *oldest = TAILQ_FIRST(&peers->reading);
		bool idle = oldest && http_peer_is_idle(oldest, now, GATE_GRACE_MS);
		if (!oldest || !(peers->count > gate->peers_max || (peers->reading_count > gate->reading_max && idle)))
			return false;
		http_gate_evict(gate);
		if (oldest == peer)
			return true;
	}
}

/* ---- requests ---- */

static void http_gate_refuse(struct http_peer *peer, int status, const char *detail)
{
	struct http_gate *gate = http_gate_of(peer);
	struct evbuffer *input = bufferevent_get_input(peer->bufferevent);
	char *body = detail ? gate->ops->describe(status, detail) : NULL;

	log_limited(&gate_lines, LOG_INFO_LEVEL, "control: request refused", F_INT("status", status),
		    F_STR("detail", detail));
	bool written = http_refuse(peer, status, body ? gate->ops->description_type : NULL, body);
	free(body);
	evbuffer_drain(input, evbuffer_get_length(input));
	http_peer_set_state(peer, PEER_REFUSING, written ? GATE_REQUEST_MS : PEER_LOST_MS);
}

static void http_gate_read_creds(struct http_request *request)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(request->fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 || cred.uid == (uid_t)-1)
		return;
	request->has_creds = true;
	request->uid = cred.uid;
	request->gid = cred.gid;
	request->pid = cred.pid;
}

static void http_gate_hand_over(struct http_peer *peer)
{
	struct http_gate *gate = http_gate_of(peer);
	const struct head *head = &peer->intake.head;
	struct http_request request = {
		.method = head->method,
		.target = http_intake_target(&peer->intake),
		.target_length = head->target_length,
		.printable = head->printable,
		.has_host = head->has_host,
		.host = head->host,
		.sender = http_site_judge(&head->site, head->host),
		.fd = bufferevent_getfd(peer->bufferevent),
	};

	request.body = http_intake_body(&peer->intake, &request.body_length);
	http_gate_read_creds(&request);
	peer->exchange = http_exchange_new(peer, head->method == HTTP_HEAD);
	if (!peer->exchange) {
		http_gate_refuse(peer, 503, "out of memory");
		return;
	}
	http_peer_set_state(peer, PEER_SERVING, 0);
	gate->ops->handle(gate->context, &request, peer->exchange);
}

static void http_gate_continue(struct http_peer *peer)
{
	static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";

	peer->continued = true;
	if (bufferevent_write(peer->bufferevent, answer, sizeof(answer) - 1) < 0 || !http_peer_send(peer))
		http_gate_refuse(peer, 503, "out of memory");
}

/* Reads on, and serves or refuses the request once it can be judged. */
static void http_gate_advance(struct http_peer *peer)
{
	struct intake_refusal refusal;

	switch (http_intake_read(&peer->intake, bufferevent_get_input(peer->bufferevent), &refusal)) {
	case INTAKE_MORE:
		if (http_intake_expects_continue(&peer->intake) && !peer->continued)
			http_gate_continue(peer);
		break;
	case INTAKE_COMPLETE:
		http_gate_hand_over(peer);
		break;
	case INTAKE_REFUSED:
		http_gate_refuse(peer, refusal.status, refusal.detail);
		break;
	}
}

/*
 * Reads on, for a further request or for the client's end, unless a request is being served and the input is full: a client is
 * then checked for its end by the clock. A high watermark would not do, for libevent has the input drained again and again
 * while it is reached. For want of memory it may be that nothing is read: then a request is not waited for.
 */
static void http_gate_read_on(struct http_peer *peer)
{
	bool served = peer->state == PEER_SERVING || peer->state == PEER_WRITING;

	if (served && evbuffer_get_length(bufferevent_get_input(peer->bufferevent)) >= INPUT_MAX)
		bufferevent_disable(peer->bufferevent, EV_READ);
	else if (bufferevent_enable(peer->bufferevent, EV_READ) == 0)
		return;
	if (peer->state == PEER_SERVING)
		timer_start(&peer->deadline, HANGUP_CHECK_MS);
	else if (!served)
		timer_start(&peer->deadline, PEER_LOST_MS);
}

/* The client has the whole response. */
static void http_gate_next_request(struct http_peer *peer)
{
	if (peer->intake.head.close) {
		http_gate_close(peer);
		return;
	}
	http_intake_drop(&peer->intake);
	peer->continued = false;
	http_peer_set_state(peer, PEER_READING, GATE_REQUEST_MS);
	if (http_gate_make_room(http_gate_of(peer), peer))
		return;
	http_gate_advance(peer);
	http_gate_read_on(peer);
}

/* ---- events of the bufferevent ---- */

static void http_gate_on_readable(struct bufferevent *bufferevent, void *arg)
{
	struct http_peer *peer = arg;
	struct evbuffer *input = bufferevent_get_input(bufferevent);

	switch (peer->state) {
	case PEER_READING:
		http_gate_advance(peer);
		break;
	case PEER_REFUSING:
	case PEER_LINGERING:
		peer->lingered += evbuffer_get_length(input);
		evbuffer_drain(input, evbuffer_get_length(input));
		if (peer->lingered > LINGER_MAX)
			http_gate_close(peer);
		break;
	case PEER_SERVING:
	case PEER_WRITING:
		http_gate_read_on(peer);
		break;
	}
}

/* All of the output is in the socket. */
static void http_gate_on_written(struct bufferevent *bufferevent, void *arg)
{
	struct http_peer *peer = arg;

	switch (peer->state) {
	case PEER_REFUSING:
		if (peer->half_closed) {
			http_gate_close(peer);
			break;
		}
		shutdown(bufferevent_getfd(bufferevent), SHUT_WR);
		http_peer_set_state(peer, PEER_LINGERING, GATE_REQUEST_MS);
		break;
	case PEER_SERVING: /* a stream, or "100 Continue" */
		http_exchange_drained(peer->exchange);
		break;
	case PEER_WRITING:
		http_gate_next_request(peer);
		break;
	case PEER_READING: /* "100 Continue" */
	case PEER_LINGERING:
		break;
	}
}

/* A stream has no end, so over TCP it would go on for a client that closed, until the next line is answered with a reset. */
static bool http_gate_is_remote_stream(const struct http_peer *peer)
{
	return peer->state == PEER_SERVING && http_exchange_is_stream(peer->exchange) && !http_peer_is_local(peer);
}

/* The client's end, or an error. A client that sends no more may still wait for the answer to its request. */
static void http_gate_on_event(struct bufferevent *bufferevent, short what, void *arg)
{
	struct http_peer *peer = arg;
	bool owed = peer->state == PEER_SERVING || peer->state == PEER_WRITING || peer->state == PEER_REFUSING;

	(void)bufferevent;
	if (!owed || what != (BEV_EVENT_EOF | BEV_EVENT_READING) || http_peer_hung_up(peer) ||
	    http_gate_is_remote_stream(peer)) {
		http_gate_close(peer);
		return;
	}
	peer->half_closed = true;
	if (peer->state == PEER_SERVING)
		timer_start(&peer->deadline, HANGUP_CHECK_MS);
}

/* ---- the gate ---- */

void http_gate_serve(struct http_gate *gate, int fd)
{
	struct http_peer *peer = http_peer_new(&gate->peers, gate->base, fd, http_gate_on_deadline, GATE_REQUEST_MS);

	if (!peer)
		return;
	bufferevent_setcb(peer->bufferevent, http_gate_on_readable, http_gate_on_written, http_gate_on_event, peer);
	if (bufferevent_enable(peer->bufferevent, EV_READ | EV_WRITE) < 0)
		http_gate_close(peer);
	else
		http_gate_make_room(gate, peer);
}

static void http_gate_on_connection(void *context, int fd)
{
	http_gate_serve(context, fd);
}

static bool http_gate_on_exhausted(void *context)
{
	return http_gate_evict(context);
}

struct http_gate *http_gate_new(struct event_base *base, const struct http_gate_ops *ops, void *context,
				struct err *err)
{
	struct http_gate *gate = calloc(1, sizeof(*gate));

	if (!gate) {
		err_set(err, ENOMEM, "HTTP server");
		return NULL;
	}
	gate->base = base;
	gate->ops = ops;
	gate->context = context;
	http_peer_set_init(&gate->peers);
	gate->peers.fields = ops->fields;
	http_gate_set_caps(gate, GATE_PEERS_MAX, GATE_READING_MAX);
	return gate;
}

void http_gate_set_caps(struct http_gate *gate, size_t peers, size_t reading)
{
	gate->peers_max = peers;
	gate->reading_max = reading;
}

static const struct gate_accept_ops accept_ops = { http_gate_on_connection, http_gate_on_exhausted };

int http_gate_listen(struct http_gate *gate, int fd, struct err *err)
{
	if (gate->acceptor_count == ACCEPTORS_MAX) {
		close(fd);
		return err_set(err, 0, "more than %d addresses to listen on", ACCEPTORS_MAX);
	}
	struct gate_accept *accept = http_gate_accept_new(gate->base, fd, &accept_ops, gate, err);
	if (!accept)
		return -1;
	gate->acceptors[gate->acceptor_count++] = accept;
	return 0;
}

int http_gate_replace(struct http_gate *gate, int fd, struct err *err)
{
	struct gate_accept *fresh = http_gate_accept_new(gate->base, fd, &accept_ops, gate, err);

	if (!fresh)
		return -1;
	http_gate_accept_finish(gate->acceptors[0]);
	gate->acceptors[0] = fresh;
	return 0;
}

/* Answers that were given in the loop's last iteration are still in the buffers: they go out first. */
void http_gate_free(struct http_gate *gate)
{
	struct http_peer *peer;

	if (!gate)
		return;
	TAILQ_FOREACH(peer, &gate->peers.others, next)
	http_peer_flush_finally(peer);
	while (gate->acceptor_count)
		http_gate_accept_free(gate->acceptors[--gate->acceptor_count]);
	while ((peer = TAILQ_FIRST(&gate->peers.reading)) || (peer = TAILQ_FIRST(&gate->peers.others)))
		http_gate_close(peer);
	free(gate);
}

size_t http_gate_peers(const struct http_gate *gate)
{
	return gate->peers.count;
}
