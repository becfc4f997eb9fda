/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_STREAM_H
#define WEFT_FORWARDER_STREAM_H

/* The two halves of a connection: its sockets (peers) and the bytes each way (streams). The worker's thread. */

#include "forwarder/forwarder.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/poller.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_side;
struct worker;

enum which {
	CLIENT, /* who connected: a client of the guest, or the guest itself */
	SERVER, /* who was dialed: the guest, or the service that it asked for */
};

/* The end that is the guest's. The other one is its client's, or that of the service that it asked for. */
static inline enum which fwd_guest_end(enum fwd_direction direction)
{
	return direction == DIRECTION_OUT ? CLIENT : SERVER;
}

/*
 * One of the two sockets. Once it is watched it stays so, edge-triggered, for both directions: nothing is re-armed. Only a unix socket
 * is watched for room from the first time that it is full.
 */
struct peer {
	struct poll_source source;
	int fd; /* -1: none */
	enum which which : 8;
	bool readable : 1; /* not known to be drained */
	bool writable : 1; /* not known to be full */
	bool ended : 1;    /* its FIN was read */
	bool watched : 1;
	bool deaf : 1;    /* watched, but not for room: it never was full */
	bool special : 1; /* a FIN, an error or an urgent byte was announced: a short read proves nothing any more */
	bool resets : 1;  /* it is ready for a handover: closed as it is, it sends a reset */
	uint64_t cookie;  /* SO_COOKIE; 0: not asked for yet */
};

/* The bytes from one peer to the other. */
struct stream {
	struct pipe pipe; /* holds bytes only while the receiver takes none; PIPE_NONE while copying */
	char *rest;       /* read and not taken yet: owned; NULL: nothing */
	uint32_t rest_at; /* of it, sent already */
	uint32_t rest_size;
	uint64_t bytes;    /* taken by the receiver */
	bool bulk : 1;     /* the last reads were large: splice */
	bool bounded : 1;  /* the kernel's buffers are */
	bool finished : 1; /* FIN passed on: nothing will come */
};

/* Notes in the flags of PEER what EVENTS announce. */
void fwd_stream_note_events(struct peer *peer, uint32_t events);

/* Whether bytes were read and not taken yet. */
static inline bool fwd_stream_is_pending(const struct stream *stream)
{
	return stream->rest || stream->pipe.filled;
}

/* Keeps DATA, SIZE, read and not taken. 0, or -1 for lack of memory. */
int fwd_stream_keep_rest(struct stream *stream, const char *data, size_t size);

/*
 * Has STREAM, of a connection of SIDE, borrow a pipe, unless it has one. False: none is to be had, and the stream copies.
 */
bool fwd_stream_borrow_pipe(struct route_side *side, struct stream *stream);
void fwd_stream_give_pipe_back(struct route_side *side, struct stream *stream);

/* The pipe of READ_FD and WRITE_FD, which holds FILLED bytes of STREAM, becomes STREAM's, as if it were borrowed. It has none yet. */
void fwd_stream_take_pipe(struct route_side *side, struct stream *stream, int read_fd, int write_fd, size_t filled);

/* Its buffers were bounded by the former run. */
void fwd_stream_take_bounds(struct worker *worker, struct stream *stream);

/*
 * Large reads from now on, FROM to TO: the stream splices, and the kernel's buffers for it are bounded. MAY_GROW: FROM's buffer lies in
 * a sandbox's namespace, which limits it.
 */
void fwd_stream_promote(struct worker *worker, struct stream *stream, const struct peer *from, const struct peer *to,
			bool may_grow);

/* Gives back all that STREAM holds. */
void fwd_stream_drop(struct route_side *side, struct stream *stream);

#endif
