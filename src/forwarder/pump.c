/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OPEN: bytes move both ways. Each stream copies through the worker's buffer, which is cheapest for the bytes of an interactive
 * client and needs nothing while idle. A read that fills the buffer promotes the stream to splicing, by a pipe borrowed for as
 * long as there is something to move. Small reads bring it back to copying.
 *
 * Invariants:
 * - Nothing is read from a peer before the other has taken all that was read earlier: TCP holds a blocked stream.
 * - Readable and writable are believed until the socket itself says that it has no more. A short read says so only as long as no
 *   FIN, error or urgent byte was announced, because bytes after the last announcement come with an edge of their own.
 * - In front of an urgent byte splice() says EAGAIN, with the socket readable for ever. If the FIN has come it even says 0, as at
 *   the end. So before a splicing stream believes either, it asks recv(), which skips the byte.
 * - A FIN is passed on when all bytes before it were taken.
 * - One run moves a bounded number of bytes, and the next one comes at the end of the loop's iteration.
 */
#include "forwarder/connection.h"
#include "forwarder/endpoint.h"
#include "forwarder/proxy_header.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	BUDGET = 1024 * 1024, /* bytes of one stream in one wake-up */
	READS = 64,           /* reads of one stream in one wake-up: they may be of a byte each */
	BULK_MIN = 8 * 1024,  /* spliced at once: below, copying is cheaper */
};

enum result {
	RESULT_MORE,   /* go on */
	RESULT_WAIT,   /* nothing to be done before the next event */
	RESULT_SPENT,  /* the budget: go on later */
	RESULT_CLOSED, /* the connection has ended */
};

/* A stream at work: the arguments of its functions. */
struct work {
	struct connection *connection;
	struct stream *stream;
	struct peer *from, *to;
	size_t budget;
	unsigned reads;
};

static enum result fwd_pump_end_by_error(struct connection *connection, const struct peer *peer, int error)
{
	bool reset = error == ECONNRESET || error == EPIPE;

	if (reset)
		fwd_connection_close(
		    connection,
		    peer->which == fwd_guest_end(connection->direction) ? CLOSE_GUEST_RESET : CLOSE_CLIENT_RESET, 0);
	else
		fwd_connection_close(connection, CLOSE_ERROR, error);
	return RESULT_CLOSED;
}

static void fwd_pump_taken(struct work *work, size_t size)
{
	struct connection *connection = work->connection;
	bool to_guest = work->to->which == fwd_guest_end(connection->direction);

	work->stream->bytes += size;
	work->budget -= size < work->budget ? size : work->budget;
	fwd_tally_pass(connection->side, to_guest ? size : 0, to_guest ? 0 : size);
	connection->active_ms = connection->worker->now_ms;
}

/* ---- Writing ---- */

/* The receiver takes no more: its socket says when there is room again. */
static enum result fwd_pump_note_full(const struct work *work)
{
	struct peer *to = work->to;

	to->writable = false;
	if (!to->deaf)
		return RESULT_WAIT;
	if (fwd_poller_hear_room(work->connection->worker->poller, to->fd, &to->source) < 0)
		return fwd_pump_end_by_error(work->connection, to, errno);
	to->deaf = false;
	return RESULT_WAIT;
}

static enum result fwd_pump_flush_pipe(struct work *work)
{
	struct pipe *pipe = &work->stream->pipe;

	while (pipe->filled) {
		ssize_t moved =
		    splice(pipe->read_fd, NULL, work->to->fd, NULL, pipe->filled, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (moved < 0 && errno == EAGAIN)
			return fwd_pump_note_full(work);
		if (moved < 0)
			return fwd_pump_end_by_error(work->connection, work->to, errno);
		pipe->filled -= (size_t)moved;
		fwd_pump_taken(work, (size_t)moved);
	}
	return RESULT_MORE;
}

static enum result fwd_pump_flush_rest(struct work *work)
{
	struct stream *stream = work->stream;

	while (stream->rest) {
		ssize_t sent = send(work->to->fd, stream->rest + stream->rest_at, stream->rest_size - stream->rest_at,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN)
			return fwd_pump_note_full(work);
		if (sent < 0)
			return fwd_pump_end_by_error(work->connection, work->to, errno);
		stream->rest_at += (uint32_t)sent;
		fwd_pump_taken(work, (size_t)sent);
		if (stream->rest_at < stream->rest_size)
			continue;
		free(stream->rest);
		stream->rest = NULL;
	}
	return RESULT_MORE;
}

/* DATA, SIZE was read and not taken: kept, and the stream is blocked. */
static enum result fwd_pump_keep_rest(struct work *work, const char *data, size_t size)
{
	if (fwd_stream_keep_rest(work->stream, data, size) < 0) {
		fwd_connection_close(work->connection, CLOSE_ERROR, ENOMEM);
		return RESULT_CLOSED;
	}
	return RESULT_WAIT;
}

/* Writes the worker's buffer. */
static enum result fwd_pump_send_buffer(struct work *work, size_t size)
{
	const char *data = work->connection->worker->buffer;

	while (size) {
		ssize_t sent = send(work->to->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN) {
			enum result result = fwd_pump_keep_rest(work, data, size);

			return result == RESULT_CLOSED ? result : fwd_pump_note_full(work);
		}
		if (sent < 0)
			return fwd_pump_end_by_error(work->connection, work->to, errno);
		data += sent;
		size -= (size_t)sent;
		fwd_pump_taken(work, (size_t)sent);
	}
	return RESULT_MORE;
}

/* ---- Reading ---- */

static enum result fwd_pump_pass_fin_on(struct work *work)
{
	struct connection *connection = work->connection;

	work->from->ended = true;
	work->from->readable = false;
	work->stream->finished = true;
	bool last = connection->streams[work->to->which].finished;

	/* The last FIN to the guest's other side is sent by closing it. */
	if (!(last && work->to != fwd_connection_guest(connection)) && shutdown(work->to->fd, SHUT_WR) < 0)
		return fwd_pump_end_by_error(connection, work->to, errno == ENOTCONN ? ECONNRESET : errno);
	if (last) {
		fwd_connection_close(connection, CLOSE_DONE, 0);
		return RESULT_CLOSED;
	}
	connection->half_closed_ms = connection->worker->now_ms;
	fwd_timeouts_begin(connection);
	return RESULT_WAIT;
}

static void fwd_pump_promote(const struct work *work)
{
	const struct connection *connection = work->connection;
	bool in_sandbox = work->from->which == SERVER && connection->direction == DIRECTION_IN;

	fwd_stream_promote(connection->worker, work->stream, work->from, work->to, in_sandbox);
}

static enum result fwd_pump_copy(struct work *work)
{
	char *buffer = work->connection->worker->buffer;
	ssize_t size = recv(work->from->fd, buffer, COPY_SIZE, MSG_DONTWAIT);

	if (size == 0)
		return fwd_pump_pass_fin_on(work);
	if (size < 0 && errno == EAGAIN) {
		work->from->readable = false;
		return RESULT_WAIT;
	}
	if (size < 0)
		return fwd_pump_end_by_error(work->connection, work->from, errno);
	if (size == COPY_SIZE)
		fwd_pump_promote(work);
	else if (!work->from->special)
		work->from->readable = false;
	return fwd_pump_send_buffer(work, (size_t)size);
}

/* By the pipe; copies where there is none, or where the socket has nothing that can be spliced. */
static enum result fwd_pump_move_bulk(struct work *work)
{
	struct pipe *pipe = &work->stream->pipe;
	ssize_t moved;

	if (!fwd_stream_borrow_pipe(work->connection->side, work->stream))
		return fwd_pump_copy(work);
	moved = splice(work->from->fd, NULL, pipe->write_fd, NULL, pipe->capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (moved < 0 && errno == EAGAIN && !work->from->special) {
		work->from->readable = false;
		return RESULT_WAIT;
	}
	if (moved == 0 || (moved < 0 && errno == EAGAIN))
		return fwd_pump_copy(work);
	if (moved < 0)
		return fwd_pump_end_by_error(work->connection, work->from, errno);
	pipe->filled = (size_t)moved;
	work->stream->bulk = moved >= BULK_MIN;
	return fwd_pump_flush_pipe(work);
}

static enum result fwd_pump_step(struct work *work)
{
	struct stream *stream = work->stream;

	if (fwd_stream_is_pending(stream)) {
		enum result result = RESULT_WAIT;

		if (work->to->writable)
			result = stream->rest ? fwd_pump_flush_rest(work) : fwd_pump_flush_pipe(work);
		if (result != RESULT_MORE)
			return result;
	}
	if (!work->from->readable || !work->to->writable)
		return RESULT_WAIT;
	if (!work->budget || !work->reads--)
		return RESULT_SPENT;
	return stream->bulk ? fwd_pump_move_bulk(work) : fwd_pump_copy(work);
}

/* Returns false when the connection has ended. */
static bool fwd_pump_run_stream(struct connection *connection, enum which from)
{
	struct work work = { .connection = connection,
			     .stream = &connection->streams[from],
			     .from = &connection->peers[from],
			     .to = &connection->peers[!from],
			     .budget = BUDGET,
			     .reads = READS };
	enum result result = RESULT_MORE;

	if (work.stream->finished || (!fwd_stream_is_pending(work.stream) && !work.from->readable))
		return true;
	while (result == RESULT_MORE)
		result = fwd_pump_step(&work);
	if (result == RESULT_CLOSED)
		return false;
	if (result == RESULT_SPENT)
		fwd_connection_go_on_later(connection);
	if (!work.stream->pipe.filled)
		fwd_stream_give_pipe_back(connection->side, work.stream);
	return true;
}

/* ---- The connection ---- */

/* The header is the first thing that the server gets. A service learns from it which sandbox asks. 0, or -1: no memory. */
static int fwd_pump_put_proxy_header(struct connection *connection)
{
	const struct route_side *side = connection->side;
	char header[PROXY_HEADER_MAX];
	size_t size = fwd_proxy_header_write(&connection->client, &connection->endpoint->listen, header);

	if (connection->direction == DIRECTION_OUT)
		size = fwd_proxy_header_add_sandbox(header, size, side->route->id, side->state.name);
	return fwd_stream_keep_rest(&connection->streams[CLIENT], header, size);
}

/* Moves the bytes that can be moved, within a budget. */
static void fwd_pump_run(struct connection *connection)
{
	const struct route_state *state = &connection->side->state;

	if (state->up && !state->paused && fwd_pump_run_stream(connection, CLIENT))
		fwd_pump_run_stream(connection, SERVER);
}

void fwd_pump_begin(struct connection *connection)
{
	connection->connected_ms = connection->active_ms = connection->worker->now_ms;
	if (connection->direction == DIRECTION_IN)
		fwd_tally_connect(connection->worker, connection->accepted_us);
	if (connection->endpoint->door)
		fwd_tally_door_serve(connection->worker->forwarder);
	if (connection->endpoint->proxy_protocol && fwd_pump_put_proxy_header(connection) < 0) {
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	fwd_timeouts_begin(connection);
	fwd_pump_run(connection);
}

static void fwd_pump_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	int error;

	fwd_pump_run(connection);
	if (connection->state != &pump_state || !(events & EPOLLERR))
		return;
	/* Nothing reads from the peer now, because the way on is blocked or its FIN came already. Its reset would go unnoticed. */
	error = fwd_socket_error(peer->fd);
	if (error)
		fwd_pump_end_by_error(connection, peer, error);
}

static void fwd_pump_on_route_changed(struct connection *connection, const struct route_state *before)
{
	const struct route_side *side = connection->side;
	const struct route_state *now = &side->state;
	enum fwd_close_reason reason;

	if (fwd_connection_is_cut(connection, before, &reason)) {
		fwd_connection_close(connection, reason, 0);
		return;
	}
	if (now->pace != before->pace)
		fwd_connection_pace(connection);
	if (fwd_route_state_pauses(now, before))
		fwd_timeouts_pause(connection);
	else if (fwd_route_state_resumes(now, before))
		fwd_timeouts_resume(connection, connection->worker->now_ms - side->paused_at_ms);
	if (fwd_route_state_limits(now, before))
		fwd_timeouts_follow(connection, &before->limits);
	/* Edges that came while nothing was moved are in the peers' flags. */
	if (fwd_route_state_resumes(now, before) || (now->up && !before->up))
		fwd_connection_go_on_later(connection);
}

const struct connection_state pump_state = {
	.phase = CONNECTION_OPEN,
	.name = "open",
	.event = fwd_pump_on_event,
	.expired = fwd_timeouts_expired,
	.go_on = fwd_pump_run,
	.route_changed = fwd_pump_on_route_changed,
};
