/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The resources of a stream: a rest in memory, a pipe from the worker's pool, and the kernel's buffers.
 */
#include "forwarder/stream.h"

#include "base/err.h"
#include "forwarder/fair_share.h"
#include "forwarder/route_side.h"
#include "forwarder/tally.h"
#include "forwarder/worker.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	/* The kernel's memory for the bulk streams of a worker: shared by them, within bounds for each. */
	BUFFERS = 64 * 1024 * 1024,
	BUFFER_MIN = 512 * 1024,
	BUFFER_MAX = 4 * 1024 * 1024,
};

void fwd_stream_note_events(struct peer *peer, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
		peer->special = peer->readable = true;
	if (events & EPOLLIN)
		peer->readable = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		peer->writable = true;
}

int fwd_stream_keep_rest(struct stream *stream, const char *data, size_t size)
{
	stream->rest = malloc(size);
	if (!stream->rest)
		return -1;
	memcpy(stream->rest, data, size);
	stream->rest_at = 0;
	stream->rest_size = (uint32_t)size;
	return 0;
}

/* ---- Pipes ---- */

void fwd_stream_give_pipe_back(struct route_side *side, struct stream *stream)
{
	struct worker *worker = side->worker;

	if (stream->pipe.read_fd < 0)
		return;
	fwd_pipe_pool_give_back(worker->pipes, &stream->pipe);
	/* A pipe that was not empty is closed. */
	stream->pipe = PIPE_NONE;
	worker->pipes_lent--;
	fwd_tally_pipe_back(side);
}

bool fwd_stream_borrow_pipe(struct route_side *side, struct stream *stream)
{
	struct worker *worker = side->worker;
	struct err err;

	if (stream->pipe.read_fd >= 0)
		return true;
	/* The last descriptors are for more than speed. */
	if (fwd_share_is_scarce(worker->forwarder)) {
		fwd_pipe_pool_trim(worker->pipes);
		return false;
	}
	if (worker->pipes_lent >= PIPES_LENT_MAX || fwd_pipe_pool_borrow(worker->pipes, &stream->pipe, &err) < 0)
		return false;
	worker->pipes_lent++;
	fwd_tally_pipe_lent(side);
	return true;
}

void fwd_stream_take_pipe(struct route_side *side, struct stream *stream, int read_fd, int write_fd, size_t filled)
{
	stream->pipe = (struct pipe){ .read_fd = read_fd, .write_fd = write_fd, .filled = filled };
	fwd_pipe_pool_adopt(side->worker->pipes, &stream->pipe);
	side->worker->pipes_lent++;
	fwd_tally_pipe_lent(side);
}

/* ---- Buffers ---- */

/*
 * Left alone the kernel lets a socket's buffers grow to tens of megabytes while the bytes flow, and when the reader then stops
 * they fill. A thousand such connections take all of the host's TCP memory (tcp_mem), and every other connection slows down. A
 * window once offered cannot be taken back, so buffers are bounded before they grow: generously while few streams move bulk data
 * (a window of 4 MiB was 1.4 times as fast as one of 512 KiB, through a TAP), and tightly where many do.
 *
 * A buffer that was set is offered whole at once. A buffer that grows by itself stays as small as a reader who keeps up needs, in
 * the processor's cache, and one stream through a TAP was 1.2 times as fast so. The only bulk stream may grow by itself if it
 * comes from a dialed guest, because the sandbox's namespace limits what it grows to.
 */
static void fwd_stream_bound_buffers(struct worker *worker, const struct peer *from, const struct peer *to,
				     bool may_grow)
{
	bool only;
	size_t streams = fwd_tally_bulk_begin(worker, &only);
	size_t share = BUFFERS / streams;
	size_t size = share > BUFFER_MAX ? BUFFER_MAX : share < BUFFER_MIN ? BUFFER_MIN : share;
	int receive = (int)(size / 2); /* the kernel doubles it, socket(7) */
	int unsent = (int)(size / 2);  /* bytes that the kernel takes beyond what the receiver's window admits */
	bool grows = only && may_grow;

	if (!grows && setsockopt(from->fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) < 0)
		setsockopt(from->fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	setsockopt(to->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void fwd_stream_promote(struct worker *worker, struct stream *stream, const struct peer *from, const struct peer *to,
			bool may_grow)
{
	stream->bulk = true;
	if (!stream->bounded)
		fwd_stream_bound_buffers(worker, from, to, may_grow);
	stream->bounded = true;
}

void fwd_stream_take_bounds(struct worker *worker, struct stream *stream)
{
	bool only;

	fwd_tally_bulk_begin(worker, &only);
	stream->bounded = true;
}

void fwd_stream_drop(struct route_side *side, struct stream *stream)
{
	fwd_stream_give_pipe_back(side, stream);
	free(stream->rest);
	stream->rest = NULL;
	if (stream->bounded)
		fwd_tally_bulk_end(side->worker);
	stream->bounded = false;
}
