/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dial is one short attempt. A booting guest swallows the first SYNs, and TCP's own back-off would notice it half a second to a
 * second after it listens; so an attempt that stays silent is dropped, with a reset, and a fresh one made. The socket is made
 * inside the sandbox's namespace and leads straight to the guest over its TAP.
 *
 * When one attempt is answered, those that wait for the same port dial at once.
 */
#include "base/err.h"
#include "base/netns.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	PAUSE_MS = 50,        /* between attempts, and how long one may stay silent at first */
	PAUSE_CROWD_MS = 200, /* the same while many wait for one guest */
	CROWD = 32,
	SILENT_MAX_MS = 200, /* an attempt is given longer each time: a busy guest is slow, not absent */
};

static uint64_t pause_ms(const struct connection *connection)
{
	return atomic_load_explicit(&connection->side->held, memory_order_relaxed) > CROWD ? PAUSE_CROWD_MS : PAUSE_MS;
}

static uint64_t silence_ms(const struct connection *connection)
{
	uint64_t limit = pause_ms(connection) + (uint64_t)connection->dials * 10;

	return limit < SILENT_MAX_MS ? limit : SILENT_MAX_MS;
}

/* The guest's socket goes, and the descriptor is promised to the next attempt again. */
static void drop_socket(struct connection *connection)
{
	struct peer *guest = &connection->peers[GUEST];

	close_with_reset(&guest->fd);
	poller_forget(connection->worker->poller, &guest->source);
	atomic_fetch_add_explicit(&connection->worker->forwarder->promised, 1, memory_order_relaxed);
}

void dial_abandon(struct connection *connection)
{
	if (connection->peers[GUEST].fd >= 0)
		drop_socket(connection);
	connection->state = CONNECTION_HELD;
	/* From now on it may take long, and the client may go. If this fails, there is the next attempt. */
	connection_watch(connection, &connection->peers[CLIENT]);
}

/* HELD again, and another attempt after a pause; the deadline is looked at then. */
static void retry(struct connection *connection)
{
	uint64_t due_ms = connection->worker->now_ms + pause_ms(connection);

	dial_abandon(connection);
	connection_wait(connection, due_ms < connection->deadline_ms ? due_ms : connection->deadline_ms);
}

static void refused(struct connection *connection)
{
	const struct route_state *state = &connection->side->state;
	uint64_t now_ms = connection->worker->now_ms;

	connection->error = ECONNREFUSED;
	if (!state->ready)
		connection->refused_ms = 0;
	else if (!connection->refused_ms)
		connection->refused_ms = now_ms;
	if (state->ready && now_ms - connection->refused_ms >= state->refused_grace_ms)
		connection_close(connection, CLOSE_GUEST_REFUSED, 0);
	else
		retry(connection);
}

/* ERROR came back at once: from the namespace itself, not from the guest. */
static void failed_here(struct connection *connection, int error)
{
	switch (error) {
	case EADDRNOTAVAIL:
	case EAGAIN: /* what connect(2) says for want of a local port, in some kernels */
		connection_close(connection, CLOSE_NO_PORT, 0);
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
		connection_close(connection, CLOSE_NO_ROUTE, 0);
		break;
	case ECONNREFUSED:
	case ECONNRESET:
		refused(connection);
		break;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* May pass; until the deadline. */
		connection->error = error;
		retry(connection);
		break;
	default:
		connection_close(connection, CLOSE_ERROR, error);
		break;
	}
}

/* Not for each of a crowd that is answered at once: then the walk would cost more than it saves. */
static void wake_others(struct connection *connection)
{
	struct route_side *side = connection->side;
	uint64_t now_ms = connection->worker->now_ms;
	struct connection *other;

	if (!atomic_load_explicit(&side->held, memory_order_relaxed) || now_ms < side->woken_ms + PAUSE_MS)
		return;
	side->woken_ms = now_ms;
	LIST_FOREACH(other, &side->connections, of_side)
	{
		if (other->state == CONNECTION_HELD && other->endpoint->guest_port == connection->endpoint->guest_port)
			connection_go_on_later(other);
	}
}

static void answered(struct connection *connection)
{
	struct peer *client = &connection->peers[CLIENT];

	/* If it is watched only now, it has said something most likely, and need not be heard first. */
	client->readable |= !client->watched;
	atomic_fetch_sub_explicit(&connection->side->held, 1, memory_order_relaxed);
	wheel_cancel(&connection->timer);
	connection->state = CONNECTION_OPEN;
	connection->error = 0;
	connection_watch_client(connection);
	if (connection->state != CONNECTION_OPEN)
		return;
	if (connection->dials > 1)
		wake_others(connection);
	if (connection->side->state.pace)
		connection_pace(connection);
	pump_begin(connection);
}

static int make_socket(struct connection *connection, int *error)
{
	struct err err;
	int one = 1;
	int fd = netns_socket(connection->side->state.netns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			      &err);

	*error = err.code;
	if (fd < 0)
		return -1;
	atomic_fetch_sub_explicit(&connection->worker->forwarder->promised, 1, memory_order_relaxed);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

void dial_start(struct connection *connection)
{
	struct peer *guest = &connection->peers[GUEST];
	struct addr address = forwarder_guest(connection->worker->forwarder, connection->endpoint->guest_port);
	int error;

	if (connection->dials < UINT16_MAX)
		connection->dials++;
	*guest = (struct peer){ .fd = make_socket(connection, &error), .which = GUEST };
	if (guest->fd < 0) {
		if (error == EINVAL || error == EBADF)
			connection_close(connection, CLOSE_NO_NAMESPACE, error);
		else
			failed_here(connection, error);
		return;
	}
	int result = connect(guest->fd, &address.any, addr_length(&address));

	error = result < 0 ? errno : 0;
	if (error && error != EINPROGRESS) {
		drop_socket(connection);
		failed_here(connection, error);
		return;
	}
	if (connection_watch(connection, guest) < 0) {
		drop_socket(connection);
		connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	connection->state = CONNECTION_DIALING;
	if (!error) {
		guest->writable = true;
		answered(connection);
		return;
	}
	connection_wait(connection, connection->worker->now_ms + silence_ms(connection));
}

void dial_event(struct connection *connection, uint32_t events)
{
	int error = events & (EPOLLERR | EPOLLHUP) ? peer_error(&connection->peers[GUEST]) : 0;

	switch (error) {
	case 0:
		if (events & EPOLLOUT)
			answered(connection);
		break;
	case ECONNREFUSED:
	case ECONNRESET:
		refused(connection);
		break;
	default:
		/* A guest that boots says all kinds of things: only the deadline decides. */
		connection->error = error;
		retry(connection);
		break;
	}
}

void dial_expired(struct connection *connection)
{
	connection->error = ETIMEDOUT;
	dial_abandon(connection);
	hold_decide(connection);
}
