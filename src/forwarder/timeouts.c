/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an open connection waits for: to be settled, to be idle for too long, to be half closed for too long. One entry on the coarse
 * wheel serves all; when it expires the due times are computed anew, so that bytes that flow touch no timer.
 *
 * Keepalive is set on the guest's socket only once a connection is settled: most live for milliseconds, and it takes four system
 * calls. (The client's socket inherits it from the listener.)
 *
 * A paused guest answers nothing, for as long as its manager likes: neither keepalive nor TCP's own patience may end its
 * connections. What was under way when it froze is sent again each second, where the kernel can be told so (6.15 and newer): else
 * TCP's back-off would have grown to minutes by the time the guest goes on.
 */
#include "forwarder/connection.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* linux/tcp.h */
#endif

enum {
	SETTLE_MS = 2500,
	KEEPALIVE_PROBES = 4,
	RTO_MAX_PAUSED_MS = 1000,    /* the least that the kernel takes */
	RTO_MAX_DEFAULT_MS = 120000, /* the kernel's own */
};

/* Not checked: a kernel that lacks an option leaves the connection as good as it was. */
static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

void keepalive_set(int fd, unsigned keepalive_ms)
{
	int seconds = (int)((keepalive_ms + 999) / 1000);

	if (!keepalive_ms) {
		set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
		return;
	}
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t idle_due(const struct connection *connection)
{
	unsigned idle_ms = connection->side->state.limits.idle_ms;

	return idle_ms ? connection->active_ms + idle_ms : WHEEL_NEVER;
}

static uint64_t half_closed_due(const struct connection *connection)
{
	unsigned half_closed_ms = connection->side->state.limits.half_closed_ms;

	return half_closed_ms && connection->half_closed_ms ? connection->half_closed_ms + half_closed_ms : WHEEL_NEVER;
}

void timeouts_begin(struct connection *connection)
{
	uint64_t due_ms = earlier(idle_due(connection), half_closed_due(connection));

	if (!connection->settle_ms)
		connection->settle_ms = connection->worker->now_ms + SETTLE_MS;
	due_ms = earlier(due_ms, connection->settle_ms);
	if (due_ms == WHEEL_NEVER)
		wheel_cancel(&connection->timer);
	else
		connection_wait(connection, due_ms);
}

void timeouts_expired(struct connection *connection)
{
	uint64_t now_ms = connection->worker->now_ms;

	if (now_ms >= connection->settle_ms) {
		connection->settle_ms = WHEEL_NEVER;
		keepalive_set(connection->peers[GUEST].fd, connection->side->state.limits.keepalive_ms);
	}
	if (now_ms >= idle_due(connection))
		connection_close(connection, CLOSE_IDLE, 0);
	else if (now_ms >= half_closed_due(connection))
		connection_close(connection, CLOSE_HALF_CLOSED, 0);
	else
		timeouts_begin(connection);
}

void timeouts_pause(struct connection *connection)
{
	int fd = connection->peers[GUEST].fd;

	wheel_cancel(&connection->timer);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, INT_MAX);
	set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_PAUSED_MS);
}

void timeouts_resume(struct connection *connection, uint64_t paused_ms)
{
	int fd = connection->peers[GUEST].fd;

	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_DEFAULT_MS);
	connection->active_ms += paused_ms;
	if (connection->half_closed_ms)
		connection->half_closed_ms += paused_ms;
	if (connection->state == CONNECTION_LINGERING) {
		connection_wait(connection, connection->deadline_ms);
		return;
	}
	/* Keepalive comes back with the next expiry. */
	connection->settle_ms = connection->worker->now_ms + SETTLE_MS;
	timeouts_begin(connection);
}
