/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timeouts of an open connection: settled, idle for too long, half closed for too long. One entry on the coarse wheel serves
 * all. When it expires the due times are computed anew, so that passing bytes touch no timer.
 *
 * Keepalive is set on the server's socket only once a connection is settled, because most live for milliseconds and it takes four
 * system calls. (A guest's client's socket inherits it from the listener.)
 */
#include "forwarder/connection.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

enum { SETTLE_MS = 2500 };

static uint64_t fwd_timeouts_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t fwd_timeouts_idle_due(const struct connection *connection)
{
	unsigned idle_ms = connection->side->state.limits.idle_ms;

	return idle_ms ? connection->active_ms + idle_ms : WHEEL_NEVER;
}

static uint64_t fwd_timeouts_half_closed_due(const struct connection *connection)
{
	unsigned half_closed_ms = connection->side->state.limits.half_closed_ms;

	return half_closed_ms && connection->half_closed_ms ? connection->half_closed_ms + half_closed_ms : WHEEL_NEVER;
}

/* On those of its sockets that have none from their listener. */
static void fwd_timeouts_set_keepalive(const struct connection *connection)
{
	unsigned keepalive_ms = connection->side->state.limits.keepalive_ms;

	fwd_socket_set_keepalive(connection->peers[SERVER].fd, keepalive_ms);
	if (connection->direction == DIRECTION_OUT)
		fwd_socket_set_keepalive(connection->peers[CLIENT].fd, keepalive_ms);
}

void fwd_timeouts_begin(struct connection *connection)
{
	uint64_t due_ms =
	    fwd_timeouts_earlier(fwd_timeouts_idle_due(connection), fwd_timeouts_half_closed_due(connection));

	if (!connection->settle_ms)
		connection->settle_ms = connection->worker->now_ms + SETTLE_MS;
	due_ms = fwd_timeouts_earlier(due_ms, connection->settle_ms);
	if (due_ms == WHEEL_NEVER)
		fwd_wheel_cancel(&connection->timer);
	else
		fwd_connection_wait(connection, due_ms);
}

void fwd_timeouts_expired(struct connection *connection)
{
	uint64_t now_ms = connection->worker->now_ms;

	if (now_ms >= connection->settle_ms) {
		connection->settle_ms = WHEEL_NEVER;
		fwd_timeouts_set_keepalive(connection);
	}
	if (now_ms >= fwd_timeouts_idle_due(connection))
		fwd_connection_close(connection, CLOSE_IDLE, 0);
	else if (now_ms >= fwd_timeouts_half_closed_due(connection))
		fwd_connection_close(connection, CLOSE_HALF_CLOSED, 0);
	else
		fwd_timeouts_begin(connection);
}

void fwd_timeouts_follow(struct connection *connection, const struct limits *before)
{
	const struct route_state *now = &connection->side->state;
	bool settled = connection->settle_ms == WHEEL_NEVER;

	if (now->limits.keepalive_ms != before->keepalive_ms) {
		if (connection->direction == DIRECTION_IN)
			fwd_socket_set_keepalive(connection->peers[CLIENT].fd, now->limits.keepalive_ms);
		if (settled && !now->paused)
			fwd_timeouts_set_keepalive(connection);
	}
	/* A timer may not have been set before, or be due too late. In a pause none is. */
	if (!now->paused)
		fwd_timeouts_begin(connection);
}

void fwd_timeouts_pause(struct connection *connection)
{
	fwd_wheel_cancel(&connection->timer);
	fwd_socket_freeze(fwd_connection_guest(connection)->fd);
}

/* A connection does not age in a pause. */
void fwd_timeouts_resume(struct connection *connection, uint64_t paused_ms)
{
	fwd_socket_thaw(fwd_connection_guest(connection)->fd);
	connection->active_ms += paused_ms;
	if (connection->half_closed_ms)
		connection->half_closed_ms += paused_ms;
	/* Keepalive comes back with the next expiry. */
	connection->settle_ms = connection->worker->now_ms + SETTLE_MS;
	fwd_timeouts_begin(connection);
}
