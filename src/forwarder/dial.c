/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DIALING: one short attempt. A booting guest swallows the first SYNs, and TCP's own back-off would notice it half a second to a
 * second after it listens. So a silent attempt is dropped, with a reset, and a fresh one made. The socket is made inside the
 * sandbox's namespace and leads straight to the guest over its TAP.
 *
 * When one attempt is answered, the others that wait for the same port dial at once.
 */
#include "base/err.h"
#include "base/netns.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
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

static uint64_t fwd_dial_pause_ms(const struct connection *connection)
{
	return fwd_tally_held(connection->side) > CROWD ? PAUSE_CROWD_MS : PAUSE_MS;
}

static uint64_t fwd_dial_silence_ms(const struct connection *connection)
{
	uint64_t limit = fwd_dial_pause_ms(connection) + (uint64_t)connection->dials * 10;

	return limit < SILENT_MAX_MS ? limit : SILENT_MAX_MS;
}

/* ---- The end of an attempt ---- */

static void fwd_dial_drop_socket(struct connection *connection)
{
	struct peer *guest = &connection->peers[GUEST];

	fwd_socket_reset(&guest->fd);
	fwd_poller_forget(connection->worker->poller, &guest->source);
}

/* Drops the attempt, if there is one: HELD. */
static void fwd_dial_abandon(struct connection *connection)
{
	if (connection->peers[GUEST].fd >= 0)
		fwd_dial_drop_socket(connection);
	if (fwd_connection_phase(connection) == CONNECTION_DIALING)
		fwd_connection_become(connection, &hold_state);
	/* It may take long from now on, and the client may leave. If this fails, the next attempt tries it again. */
	fwd_connection_watch(connection, &connection->peers[CLIENT]);
}

/* HELD again, and another attempt after a pause; the deadline is looked at then. */
static void fwd_dial_retry(struct connection *connection)
{
	uint64_t due_ms = connection->worker->now_ms + fwd_dial_pause_ms(connection);

	fwd_dial_abandon(connection);
	fwd_connection_wait(connection, due_ms < connection->deadline_ms ? due_ms : connection->deadline_ms);
}

static void fwd_dial_refused(struct connection *connection)
{
	const struct route_state *state = &connection->side->state;
	uint64_t now_ms = connection->worker->now_ms;

	connection->error = ECONNREFUSED;
	if (!state->ready)
		connection->refused_ms = 0;
	else if (!connection->refused_ms)
		connection->refused_ms = now_ms;
	if (state->ready && now_ms - connection->refused_ms >= state->refused_grace_ms)
		fwd_connection_close(connection, CLOSE_GUEST_REFUSED, 0);
	else
		fwd_dial_retry(connection);
}

/* ERROR came back at once: from the namespace itself, not from the guest. */
static void fwd_dial_failed_here(struct connection *connection, int error)
{
	switch (error) {
	case EADDRNOTAVAIL:
	case EAGAIN: /* some kernels' connect(2), for want of a local port */
		fwd_connection_close(connection, CLOSE_NO_PORT, 0);
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
		fwd_connection_close(connection, CLOSE_NO_ROUTE, 0);
		break;
	case ECONNREFUSED:
	case ECONNRESET:
		fwd_dial_refused(connection);
		break;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* It may pass before the deadline. */
		connection->error = error;
		fwd_dial_retry(connection);
		break;
	default:
		fwd_connection_close(connection, CLOSE_ERROR, error);
		break;
	}
}

/* Not for each of a crowd that is answered at once: then the walk would cost more than it saves. */
static void fwd_dial_wake_others(struct connection *connection)
{
	struct route_side *side = connection->side;
	uint64_t now_ms = connection->worker->now_ms;
	struct connection *other;

	if (!fwd_tally_held(side) || now_ms < side->woken_ms + PAUSE_MS)
		return;
	side->woken_ms = now_ms;
	LIST_FOREACH(other, &side->connections, of_side)
	{
		if (other->state == &hold_state && other->endpoint->guest_port == connection->endpoint->guest_port)
			fwd_connection_go_on_later(other);
	}
}

static void fwd_dial_answered(struct connection *connection)
{
	struct peer *client = &connection->peers[CLIENT];

	/* If it is watched only now, it has most likely sent something, and no event needs to announce that. */
	client->readable |= !client->watched;
	fwd_wheel_cancel(&connection->timer);
	fwd_connection_become(connection, &pump_state);
	connection->error = 0;
	if (fwd_connection_watch(connection, client) < 0) {
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	if (connection->dials > 1)
		fwd_dial_wake_others(connection);
	if (connection->side->state.pace)
		fwd_connection_pace(connection);
	fwd_pump_begin(connection);
}

/* ---- An attempt ---- */

static int fwd_dial_make_socket(struct connection *connection, int *error)
{
	struct err err;
	int one = 1;
	int fd = base_netns_socket(connection->side->state.netns_fd, AF_INET,
				   SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, &err);

	*error = err.code;
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

void fwd_dial_start(struct connection *connection)
{
	struct peer *guest = &connection->peers[GUEST];
	struct addr address = fwd_guest(connection->side->route, connection->endpoint->guest_port);
	int error;

	if (connection->dials < UINT16_MAX)
		connection->dials++;
	*guest = (struct peer){ .fd = fwd_dial_make_socket(connection, &error), .which = GUEST };
	if (guest->fd < 0) {
		if (error == EINVAL || error == EBADF)
			fwd_connection_close(connection, CLOSE_NO_NAMESPACE, error);
		else
			fwd_dial_failed_here(connection, error);
		return;
	}
	int result = connect(guest->fd, &address.any, addr_length(&address));

	error = result < 0 ? errno : 0;
	if (error && error != EINPROGRESS) {
		fwd_dial_drop_socket(connection);
		fwd_dial_failed_here(connection, error);
		return;
	}
	if (fwd_connection_watch(connection, guest) < 0) {
		fwd_dial_drop_socket(connection);
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	fwd_connection_become(connection, &dial_state);
	if (!error) {
		guest->writable = true;
		fwd_dial_answered(connection);
		return;
	}
	fwd_connection_wait(connection, connection->worker->now_ms + fwd_dial_silence_ms(connection));
}

/* ---- The state ---- */

/* The client's events are a held client's. */
static void fwd_dial_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	if (peer->which == CLIENT) {
		hold_state.event(connection, peer, events);
		return;
	}
	int error = events & (EPOLLERR | EPOLLHUP) ? fwd_socket_error(peer->fd) : 0;

	switch (error) {
	case 0:
		if (events & EPOLLOUT)
			fwd_dial_answered(connection);
		break;
	case ECONNREFUSED:
	case ECONNRESET:
		fwd_dial_refused(connection);
		break;
	default:
		/* A booting guest answers all kinds of errors: only the deadline decides. */
		connection->error = error;
		fwd_dial_retry(connection);
		break;
	}
}

static void fwd_dial_expired(struct connection *connection)
{
	connection->error = ETIMEDOUT;
	fwd_dial_abandon(connection);
	connection->state->go_on(connection);
}

static void fwd_dial_go_on(struct connection *connection)
{
	(void)connection;
}

/* A guest that went or pauses does not answer: HELD again, which then follows the change itself. */
static void fwd_dial_on_route_changed(struct connection *connection, const struct route_state *before)
{
	const struct route_state *now = &connection->side->state;
	enum fwd_close_reason reason;

	if (fwd_route_state_ends_all(now, before, &reason)) {
		fwd_connection_close(connection, reason, 0);
		return;
	}
	if (now->carrier_losses != before->carrier_losses || fwd_route_state_pauses(now, before)) {
		fwd_dial_abandon(connection);
		connection->state->route_changed(connection, before);
		return;
	}
	/* The attempt goes on; the deadline is looked at when it has ended. */
	fwd_connection_follow_deadline(connection, before);
	if (now->pace != before->pace)
		fwd_connection_pace(connection);
}

const struct connection_state dial_state = {
	.phase = CONNECTION_DIALING,
	.name = "dialing",
	.waits = true,
	.event = fwd_dial_on_event,
	.expired = fwd_dial_expired,
	.go_on = fwd_dial_go_on,
	.route_changed = fwd_dial_on_route_changed,
};
