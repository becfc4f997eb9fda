/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reply is sent at once; it is small, and the socket is fresh. HAProxy may be in the middle of an upload, and would take a socket
 * that is closed under it for an error instead of reading the reply. So the client is read, and its bytes are thrown away, until it
 * closes or its time is over.
 *
 * A client of HTTP/2 must have asked before it may be answered (RFC 9113, 5.1), so the reply waits for that; the greeting does not, for
 * HAProxy waits for it in turn. It closes by itself then (door/door_refusal.h).
 */
#include "forwarder/door_refuse.h"

#include "base/container_of.h"
#include "door/h2.h"
#include "forwarder/connection.h"
#include "forwarder/endpoint.h"
#include "forwarder/fair_share.h"
#include "forwarder/route_side.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_MS = 10 * 1000, /* for which a refused client is read */
	READS = 16,          /* of COPY_SIZE bytes at most, in one iteration */
};

struct door_refused {
	TAILQ_ENTRY(door_refused) link; /* of its worker */
	struct poll_source readable;
	struct wheel_entry timer;
	struct worker *worker;
	int fd;
	bool answered;
	struct door_h2 h2;
	size_t size;
	char reply[DOOR_REPLY_MAX];
};

static void fwd_door_refused_end(struct door_refused *refused)
{
	fwd_poller_forget(refused->worker->poller, &refused->readable);
	fwd_wheel_cancel(&refused->timer);
	TAILQ_REMOVE(&refused->worker->refused, refused, link);
	close(refused->fd);
	fwd_share_hold_at_door(refused->worker->forwarder, -1);
	free(refused);
}

void fwd_door_refused_expired(struct wheel_entry *entry)
{
	fwd_door_refused_end(container_of(entry, struct door_refused, timer));
}

void fwd_door_refused_drop(struct worker *worker)
{
	while (!TAILQ_EMPTY(&worker->refused))
		fwd_door_refused_end(TAILQ_FIRST(&worker->refused));
}

/* One who does not read it in time has gone. */
static void fwd_door_refused_send(int fd, const char *reply, size_t size)
{
	(void)!send(fd, reply, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* SIZE bytes of the client are in the worker's buffer. False: it is no HTTP/2. */
static bool fwd_door_refused_hear(struct door_refused *refused, size_t size)
{
	if (refused->answered)
		return true;
	refused->answered = door_h2_read(&refused->h2, (const uint8_t *)refused->worker->buffer, size);
	if (refused->answered)
		fwd_door_refused_send(refused->fd, refused->reply, refused->size);
	return !refused->h2.bad;
}

static void fwd_door_refused_on_readable(struct poll_source *source, uint32_t events)
{
	struct door_refused *refused = container_of(source, struct door_refused, readable);

	(void)events;
	for (unsigned i = 0; i < READS; i++) {
		ssize_t size = recv(refused->fd, refused->worker->buffer, COPY_SIZE, MSG_DONTWAIT);

		if (size < 0 && errno == EAGAIN)
			return;
		if (size <= 0 || !fwd_door_refused_hear(refused, (size_t)size)) {
			fwd_door_refused_end(refused);
			return;
		}
	}
}

/* The oldest goes, who has had the longest time to read his reply. */
static void fwd_door_refused_make_room(const struct door_refused *refused)
{
	struct worker *worker = refused->worker;
	struct door_refused *oldest = TAILQ_FIRST(&worker->refused);

	if (oldest != refused && !fwd_share_allows_at_door(worker->forwarder))
		fwd_door_refused_end(oldest);
}

/* Takes FD. False for lack of memory: nothing has changed. */
static bool fwd_door_refused_read(struct worker *worker, int fd, enum door_kind kind, const char *reply, size_t size)
{
	struct door_refused *refused = calloc(1, sizeof(*refused));

	if (!refused)
		return false;
	refused->worker = worker;
	refused->fd = fd;
	refused->readable.happened = fwd_door_refused_on_readable;
	if (fwd_poller_add_readable(worker->poller, fd, &refused->readable) < 0) {
		free(refused);
		return false;
	}
	refused->answered = kind != DOOR_GRPC;
	refused->size = size;
	memcpy(refused->reply, reply, size);
	TAILQ_INSERT_TAIL(&worker->refused, refused, link);
	fwd_share_hold_at_door(worker->forwarder, 1);
	fwd_wheel_set(&worker->refused_wheel, &refused->timer, worker->now_ms + READ_MS);
	fwd_door_refused_make_room(refused);
	return true;
}

void fwd_door_answer(struct worker *worker, int *fd, enum door_kind kind, enum door_refusal refusal, unsigned limit)
{
	char reply[DOOR_REPLY_MAX];
	size_t greeting = door_refusal_greet(kind, reply);

	fwd_door_refused_send(*fd, reply, greeting);
	size_t size = door_refusal_write(kind, refusal, limit, reply);
	if (size && kind != DOOR_GRPC) {
		fwd_door_refused_send(*fd, reply, size);
		shutdown(*fd, SHUT_WR);
	}
	if (!size || !fwd_door_refused_read(worker, *fd, kind, reply, size))
		close(*fd);
	*fd = -1;
}

void fwd_door_refuse(struct worker *worker, int *fd, enum door_kind kind, enum door_refusal refusal, unsigned limit)
{
	fwd_tally_door_refuse(worker->forwarder, refusal);
	fwd_door_answer(worker, fd, kind, refusal, limit);
}

/*
 * It was held for as long as it may be. A guest that is ready and says nothing is no better than one that refuses, and one that refuses
 * to the end has started, whether or not anybody is told when it is ready.
 */
static enum door_refusal fwd_door_refusal_of_held(const struct connection *connection)
{
	const struct route_state *state = &connection->side->state;

	if (state->paused)
		return DOOR_REFUSAL_PAUSED;
	return state->ready || connection->error == ECONNREFUSED ? DOOR_REFUSAL_PORT_CLOSED : DOOR_REFUSAL_STARTING;
}

bool fwd_door_refusal_of(const struct connection *connection, enum fwd_close_reason reason, enum door_refusal *refusal)
{
	switch (reason) {
	case CLOSE_GUEST_REFUSED:
	case CLOSE_NO_ROUTE:
	case CLOSE_DOOR_CLOSED:
		*refusal = DOOR_REFUSAL_PORT_CLOSED;
		return true;
	case CLOSE_CONNECT_DEADLINE:
		*refusal = fwd_door_refusal_of_held(connection);
		return true;
	case CLOSE_ASLEEP:
		*refusal = DOOR_REFUSAL_PAUSED;
		return true;
	case CLOSE_NO_SANDBOX:
	case CLOSE_NO_NAMESPACE:
	case CLOSE_UNREGISTERED:
		*refusal = DOOR_REFUSAL_NOT_FOUND;
		return true;
	case CLOSE_LIMIT:
		*refusal = DOOR_REFUSAL_LIMIT;
		return true;
	case CLOSE_DOOR_TOKEN:
		*refusal = connection->endpoint->token.given ? DOOR_REFUSAL_TOKEN_INVALID : DOOR_REFUSAL_TOKEN_MISSING;
		return true;
	case CLOSE_NO_PORT:
	case CLOSE_ERROR:
		/* A shortage: the client is to try again. */
		*refusal = DOOR_REFUSAL_STARTING;
		return true;
	case CLOSE_DONE:
	case CLOSE_CLIENT_RESET:
	case CLOSE_GUEST_RESET:
	case CLOSE_CARRIER_LOST:
	case CLOSE_IDLE:
	case CLOSE_HALF_CLOSED:
	case CLOSE_PAUSED_RESET:
	case CLOSE_SHUTDOWN:
	case CLOSE_HANDOVER_LOST:
	case CLOSE_PROXY_REFUSED:
		break;
	}
	return false;
}
