/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving bytes. Each stream copies through the worker's buffer: for what an interactive client sends that is the cheapest, and
 * it needs nothing while idle. A read that fills the buffer promotes the stream to splicing, by a pipe borrowed for as long as
 * there is something to move; small reads bring it back.
 *
 * What holds:
 * - Nothing is read from a peer before all that was read earlier was taken by the other: a blocked stream is held by TCP.
 * - Readable and writable are believed until the socket itself says that it has no more. A short read says so only as long as no
 *   FIN, error or urgent byte was announced: what comes after the announcement that was read last is an edge of its own.
 * - In front of an urgent byte splice() says EAGAIN, with the socket readable for ever, or even 0 as at the end, if the FIN has
 *   come. So before a splicing stream believes that, it asks recv(), which skips the byte.
 * - A FIN is passed on when all bytes before it were taken.
 * - A turn moves a bounded number of bytes, and goes on at the end of the loop's turn.
 */
#include "base/err.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/proxy_header.h"
#include "forwarder/route.h"
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
	/* The kernel's memory for the bulk streams of a worker: shared by them, within bounds for each. */
	BUFFERS = 64 * 1024 * 1024,
	BUFFER_MIN = 512 * 1024,
	BUFFER_MAX = 4 * 1024 * 1024,
};

enum result {
	RESULT_MORE,   /* go on */
	RESULT_WAIT,   /* nothing to be done before the next event */
	RESULT_SPENT,  /* the budget: go on later */
	RESULT_CLOSED, /* the connection has ended */
};

/* A stream at work: what its functions need to know. */
struct work {
	struct connection *connection;
	struct stream *stream;
	struct peer *from, *to;
	size_t budget;
	unsigned reads;
};

static enum result end_by_error(struct connection *connection, const struct peer *peer, int error)
{
	bool reset = error == ECONNRESET || error == EPIPE;

	if (reset)
		connection_close(connection, peer->which == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_GUEST_RESET, 0);
	else
		connection_close(connection, CLOSE_ERROR, error);
	return RESULT_CLOSED;
}

static void taken(struct work *work, size_t size)
{
	struct connection *connection = work->connection;
	struct worker *worker = connection->worker;
	struct route_side *side = connection->side;
	bool to_guest = work->to->which == GUEST;

	work->stream->bytes += size;
	work->budget -= size < work->budget ? size : work->budget;
	count_add(to_guest ? &side->bytes_to_guest : &side->bytes_from_guest, size);
	count_add(to_guest ? &worker->stats.bytes_to_guest : &worker->stats.bytes_from_guest, size);
	atomic_store_explicit(&side->active_ms, worker->now_ms, memory_order_relaxed);
	connection->active_ms = worker->now_ms;
}

/* ---- Pipes ---- */

static void give_pipe_back(struct worker *worker, struct stream *stream)
{
	if (stream->pipe.read_fd < 0)
		return;
	pipe_pool_give_back(worker->pipes, &stream->pipe);
	/* One that was not empty was closed. */
	stream->pipe = PIPE_NONE;
	worker->pipes_lent--;
}

static bool borrow_pipe(struct work *work)
{
	struct worker *worker = work->connection->worker;
	struct err err;

	if (work->stream->pipe.read_fd >= 0)
		return true;
	if (worker->pipes_lent >= PIPES_LENT_MAX || pipe_pool_borrow(worker->pipes, &work->stream->pipe, &err) < 0)
		return false;
	worker->pipes_lent++;
	if (work->stream->pipe.write_fd <
	    atomic_load_explicit(&worker->forwarder->descriptors_usable, memory_order_relaxed))
		return true;
	/* The last descriptors are for more than speed. */
	give_pipe_back(worker, work->stream);
	return false;
}

void stream_drop(struct connection *connection, struct stream *stream)
{
	give_pipe_back(connection->worker, stream);
	free(stream->rest);
	stream->rest = NULL;
	if (stream->bounded) {
		connection->worker->bulk_streams--;
		atomic_fetch_sub_explicit(&connection->worker->forwarder->bulk_streams, 1, memory_order_relaxed);
	}
	stream->bounded = false;
}

/* ---- Writing ---- */

static bool is_pending(const struct stream *stream)
{
	return stream->rest || stream->pipe.filled;
}

static enum result flush_pipe(struct work *work)
{
	struct pipe *pipe = &work->stream->pipe;

	while (pipe->filled) {
		ssize_t moved =
		    splice(pipe->read_fd, NULL, work->to->fd, NULL, pipe->filled, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (moved < 0 && errno == EAGAIN) {
			work->to->writable = false;
			return RESULT_WAIT;
		}
		if (moved < 0)
			return end_by_error(work->connection, work->to, errno);
		pipe->filled -= (size_t)moved;
		taken(work, (size_t)moved);
	}
	return RESULT_MORE;
}

static enum result flush_rest(struct work *work)
{
	struct stream *stream = work->stream;

	while (stream->rest) {
		ssize_t sent = send(work->to->fd, stream->rest + stream->rest_at, stream->rest_size - stream->rest_at,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN) {
			work->to->writable = false;
			return RESULT_WAIT;
		}
		if (sent < 0)
			return end_by_error(work->connection, work->to, errno);
		stream->rest_at += (uint32_t)sent;
		taken(work, (size_t)sent);
		if (stream->rest_at < stream->rest_size)
			continue;
		free(stream->rest);
		stream->rest = NULL;
	}
	return RESULT_MORE;
}

/* DATA, SIZE was read and not taken: kept, and the stream is blocked. */
static enum result keep_rest(struct work *work, const char *data, size_t size)
{
	struct stream *stream = work->stream;

	stream->rest = malloc(size);
	if (!stream->rest) {
		connection_close(work->connection, CLOSE_ERROR, ENOMEM);
		return RESULT_CLOSED;
	}
	memcpy(stream->rest, data, size);
	stream->rest_at = 0;
	stream->rest_size = (uint32_t)size;
	return RESULT_WAIT;
}

/* Writes what the worker's buffer holds. */
static enum result send_buffer(struct work *work, size_t size)
{
	const char *data = work->connection->worker->buffer;

	while (size) {
		ssize_t sent = send(work->to->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN) {
			work->to->writable = false;
			return keep_rest(work, data, size);
		}
		if (sent < 0)
			return end_by_error(work->connection, work->to, errno);
		data += sent;
		size -= (size_t)sent;
		taken(work, (size_t)sent);
	}
	return RESULT_MORE;
}

/* ---- Reading ---- */

static enum result pass_fin_on(struct work *work)
{
	struct connection *connection = work->connection;

	work->from->ended = true;
	work->from->readable = false;
	work->stream->finished = true;
	bool last = connection->streams[work->to->which].finished;

	/* The client's last FIN is sent by closing it. */
	if (!(last && work->to->which == CLIENT) && shutdown(work->to->fd, SHUT_WR) < 0)
		return end_by_error(connection, work->to, errno == ENOTCONN ? ECONNRESET : errno);
	if (last) {
		connection_close(connection, CLOSE_DONE, 0);
		return RESULT_CLOSED;
	}
	connection->half_closed_ms = connection->worker->now_ms;
	timeouts_begin(connection);
	return RESULT_WAIT;
}

/*
 * Left alone the kernel lets a socket's buffers grow to tens of megabytes while the bytes flow, and when the reader then stops they
 * fill: a thousand such connections take all of the host's TCP memory (tcp_mem), and every other connection slows down. What was
 * offered cannot be taken back, so they are bounded before they grow: generously while few streams move bulk data (a window of
 * 4 MiB was 1.4 times as fast as one of 512 KiB, through a TAP), and tightly where many do.
 *
 * A buffer that was set is offered whole at once; one that grows by itself stays as small as a reader who keeps up needs, in the
 * processor's cache, and one stream through a TAP was 1.2 times as fast so. It is left to the only bulk stream, if it comes from a
 * guest: the sandbox's namespace limits what it grows to.
 */
static void bound_buffers(struct work *work)
{
	struct worker *worker = work->connection->worker;
	size_t streams = ++worker->bulk_streams;
	bool only = !atomic_fetch_add_explicit(&worker->forwarder->bulk_streams, 1, memory_order_relaxed);
	size_t share = BUFFERS / streams;
	size_t size = share > BUFFER_MAX ? BUFFER_MAX : share < BUFFER_MIN ? BUFFER_MIN : share;
	int receive = (int)(size / 2); /* the kernel doubles it, socket(7) */
	int unsent = (int)(size / 2);  /* bytes that the kernel takes beyond what the receiver's window admits */
	bool grows = only && work->from->which == GUEST;

	if (!grows && setsockopt(work->from->fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) < 0)
		setsockopt(work->from->fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	setsockopt(work->to->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static void promote(struct work *work)
{
	work->stream->bulk = true;
	if (!work->stream->bounded)
		bound_buffers(work);
	work->stream->bounded = true;
}

static enum result copy(struct work *work)
{
	char *buffer = work->connection->worker->buffer;
	ssize_t size = recv(work->from->fd, buffer, COPY_SIZE, MSG_DONTWAIT);

	if (size == 0)
		return pass_fin_on(work);
	if (size < 0 && errno == EAGAIN) {
		work->from->readable = false;
		return RESULT_WAIT;
	}
	if (size < 0)
		return end_by_error(work->connection, work->from, errno);
	if (size == COPY_SIZE)
		promote(work);
	else if (!work->from->special)
		work->from->readable = false;
	return send_buffer(work, (size_t)size);
}

/* By the pipe; copies where there is none, or where the socket has nothing that can be spliced. */
static enum result move_bulk(struct work *work)
{
	struct pipe *pipe = &work->stream->pipe;
	ssize_t moved;

	if (!borrow_pipe(work))
		return copy(work);
	moved = splice(work->from->fd, NULL, pipe->write_fd, NULL, pipe->capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (moved < 0 && errno == EAGAIN && !work->from->special) {
		work->from->readable = false;
		return RESULT_WAIT;
	}
	if (moved == 0 || (moved < 0 && errno == EAGAIN))
		return copy(work);
	if (moved < 0)
		return end_by_error(work->connection, work->from, errno);
	pipe->filled = (size_t)moved;
	work->stream->bulk = moved >= BULK_MIN;
	return flush_pipe(work);
}

static enum result step(struct work *work)
{
	struct stream *stream = work->stream;

	if (is_pending(stream)) {
		enum result result = RESULT_WAIT;

		if (work->to->writable)
			result = stream->rest ? flush_rest(work) : flush_pipe(work);
		if (result != RESULT_MORE)
			return result;
	}
	if (!work->from->readable || !work->to->writable)
		return RESULT_WAIT;
	if (!work->budget || !work->reads--)
		return RESULT_SPENT;
	return stream->bulk ? move_bulk(work) : copy(work);
}

/* Returns false when the connection has ended. */
static bool run_stream(struct connection *connection, enum which from)
{
	struct work work = { .connection = connection,
			     .stream = &connection->streams[from],
			     .from = &connection->peers[from],
			     .to = &connection->peers[!from],
			     .budget = BUDGET,
			     .reads = READS };
	enum result result = RESULT_MORE;

	if (work.stream->finished || (!is_pending(work.stream) && !work.from->readable))
		return true;
	while (result == RESULT_MORE)
		result = step(&work);
	if (result == RESULT_CLOSED)
		return false;
	if (result == RESULT_SPENT)
		connection_go_on_later(connection);
	if (!work.stream->pipe.filled)
		give_pipe_back(connection->worker, work.stream);
	return true;
}

/* ---- The connection ---- */

/* The header is the first thing that the guest gets. 0, or -1: no memory. */
static int put_proxy_header(struct connection *connection)
{
	struct stream *stream = &connection->streams[CLIENT];
	char header[PROXY_HEADER_MAX];

	stream->rest_size = (uint32_t)proxy_header_write(&connection->client, &connection->endpoint->listen, header);
	stream->rest = malloc(stream->rest_size);
	if (!stream->rest)
		return -1;
	memcpy(stream->rest, header, stream->rest_size);
	return 0;
}

void pump_begin(struct connection *connection)
{
	struct worker *worker = connection->worker;

	connection->connected_ms = connection->active_ms = worker->now_ms;
	worker_count_connect(worker, connection->accepted_us);
	if (connection->endpoint->proxy_protocol && put_proxy_header(connection) < 0) {
		connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	timeouts_begin(connection);
	pump_run(connection);
}

void pump_run(struct connection *connection)
{
	const struct route_state *state = &connection->side->state;

	if (state->up && !state->paused && run_stream(connection, CLIENT))
		run_stream(connection, GUEST);
}

void pump_event(struct connection *connection, const struct peer *peer, uint32_t events)
{
	int error;

	pump_run(connection);
	if (connection->state != CONNECTION_OPEN || !(events & EPOLLERR))
		return;
	/* Nobody reads from the peer now, because the way on is blocked or its FIN came already: its reset would go unnoticed. */
	error = peer_error(peer);
	if (error)
		end_by_error(connection, peer, error);
}
