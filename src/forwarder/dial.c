/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DIALING: one attempt. The socket is made where the target says: for a guest inside the sandbox's namespace, from where it leads
 * straight to the guest over its TAP.
 *
 * A booting guest swallows the first SYNs, and TCP's own back-off would notice it half a second to a second after it listens. So a
 * silent attempt is dropped, with a reset, and a fresh one made. When one attempt is answered, the others that wait for the same port
 * dial at once.
 *
 * A service of the host does not boot. It may be away for a moment, when it is started anew, and is given refused_grace for that; an
 * attempt that nobody answers stands until the deadline. Nothing else is dialed in its place.
 */
#include "base/err.h"
#include "base/netns.h"
#include "forwarder/connection.h"
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
	struct peer *server = &connection->peers[SERVER];

	fwd_socket_reset(&server->fd);
	fwd_poller_forget(connection->worker->poller, &server->source);
}

/* Drops the attempt, if there is one: HELD. */
static void fwd_dial_abandon(struct connection *connection)
{
	if (connection->peers[SERVER].fd >= 0)
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

/* Whether a server that refuses has been given its time; each refusal is to be told. */
static bool fwd_dial_grace_is_over(struct connection *connection)
{
	uint64_t now_ms = connection->worker->now_ms;

	if (!connection->refused_ms)
		connection->refused_ms = now_ms;
	return now_ms - connection->refused_ms >= connection->side->state.refused_grace_ms;
}

static void fwd_dial_refused(struct connection *connection)
{
	bool ready = connection->side->state.ready;

	connection->error = ECONNREFUSED;
	if (!ready)
		connection->refused_ms = 0;
	if (ready && fwd_dial_grace_is_over(connection))
		fwd_connection_close(connection, CLOSE_GUEST_REFUSED, 0);
	else
		fwd_dial_retry(connection);
}

/* A service answers ERROR, or it cannot be asked. */
static void fwd_dial_service_failed(struct connection *connection, int error)
{
	bool over;

	switch (error) {
	case EAGAIN: /* the queue of a unix socket is full, or what is said below */
	case EADDRNOTAVAIL:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* It may pass before the deadline. */
		over = false;
		break;
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOENT: /* its socket is about to be made */
		over = fwd_dial_grace_is_over(connection);
		break;
	default:
		over = true;
		break;
	}
	connection->error = error;
	if (over)
		fwd_connection_close(connection, CLOSE_PROXY_REFUSED, 0);
	else
		fwd_dial_retry(connection);
}

/* ERROR came back at once: from the namespace itself, not from the guest. */
static void fwd_dial_guest_failed(struct connection *connection, int error)
{
	switch (error) {
	case EINVAL:
	case EBADF:
		fwd_connection_close(connection, CLOSE_NO_NAMESPACE, error);
		break;
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

static void fwd_dial_failed_here(struct connection *connection, int error)
{
	if (connection->direction == DIRECTION_OUT)
		fwd_dial_service_failed(connection, error);
	else
		fwd_dial_guest_failed(connection, error);
}

static bool fwd_dial_same_server(const struct connection *a, const struct connection *b)
{
	if (a->direction != b->direction)
		return false;
	return a->direction == DIRECTION_OUT ? a->endpoint == b->endpoint
					     : a->endpoint->guest_port == b->endpoint->guest_port;
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
		if (other->state == &hold_state && fwd_dial_same_server(other, connection))
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
	fwd_answered_note(connection->side, connection->endpoint, PROTO_TCP);
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

/* 0, or an errno. */
static int fwd_dial_set_up(int fd, const struct fwd_target *target)
{
	int one = 1;

	if (target->to.any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!target->source.any.sa_family)
		return 0;
	/* The port is chosen by connect(2), which knows more of them than bind(2). */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, &target->source.any, addr_length(&target->source)) < 0 ? errno : 0;
}

/* A socket that connects to TARGET. *ERROR: an errno, EINPROGRESS too; 0: it is connected. -1: there is none, for *ERROR. */
static int fwd_dial_connect(const struct connection *connection, const struct fwd_target *target, int *error)
{
	struct err err;
	int fd = base_netns_socket(target->place == PLACE_SANDBOX ? connection->side->state.netns_fd : -1,
				   target->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, &err);

	if (fd < 0) {
		*error = err.code;
		return -1;
	}
	*error = fwd_dial_set_up(fd, target);
	if (!*error && connect(fd, &target->to.any, fwd_target_length(target)) < 0)
		*error = errno;
	if (*error && *error != EINPROGRESS)
		fwd_socket_reset(&fd);
	return fd;
}

/* How long the attempt may stay unanswered. */
static uint64_t fwd_dial_due_ms(const struct connection *connection)
{
	if (connection->direction == DIRECTION_OUT)
		return connection->deadline_ms;
	return connection->worker->now_ms + fwd_dial_silence_ms(connection);
}

void fwd_dial_start(struct connection *connection)
{
	struct peer *server = &connection->peers[SERVER];
	struct fwd_target target = fwd_connection_target(connection);
	int error;

	if (connection->dials < UINT16_MAX)
		connection->dials++;
	*server = (struct peer){ .fd = fwd_dial_connect(connection, &target, &error), .which = SERVER };
	if (server->fd < 0) {
		fwd_dial_failed_here(connection, error);
		return;
	}
	if (fwd_connection_watch(connection, server) < 0) {
		fwd_dial_drop_socket(connection);
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	fwd_connection_become(connection, &dial_state);
	if (!error) {
		server->writable = true;
		fwd_dial_answered(connection);
		return;
	}
	/* The attempt may stand for long, and the guest may leave. */
	if (connection->direction == DIRECTION_OUT &&
	    fwd_connection_watch(connection, &connection->peers[CLIENT]) < 0) {
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	fwd_connection_wait(connection, fwd_dial_due_ms(connection));
}

/* ---- The state ---- */

/* An attempt that stands until the deadline follows a change of that. */
static void fwd_dial_follow_deadline(struct connection *connection)
{
	if (connection->direction == DIRECTION_OUT && fwd_connection_phase(connection) == CONNECTION_DIALING)
		fwd_connection_wait(connection, connection->deadline_ms);
}

/* The client's events are a held client's. */
static void fwd_dial_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	if (peer->which == CLIENT) {
		hold_state.event(connection, peer, events);
		fwd_dial_follow_deadline(connection);
		return;
	}
	int error = events & (EPOLLERR | EPOLLHUP) ? fwd_socket_error(peer->fd) : 0;

	if (error && connection->direction == DIRECTION_OUT) {
		fwd_dial_service_failed(connection, error);
		return;
	}
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

	if (fwd_connection_is_ended(connection, before, &reason)) {
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
	fwd_dial_follow_deadline(connection);
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
