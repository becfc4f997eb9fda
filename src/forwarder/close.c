/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one way to end a connection. Everything abnormal is told to both sides by a reset, as it would be without us in between.
 *
 * The guest's socket is never left to the kernel with bytes or a FIN unacknowledged: such an orphan would pin the sandbox's
 * namespace, and its veth, for up to 105 s when the guest is gone. After a normal end it stays ours until the guest has
 * acknowledged everything (LINGERING), and is reset if that takes too long.
 */
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_MS = 10 * 1000 };

void close_with_reset(int *fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(*fd);
	*fd = -1;
}

static void close_peer(struct peer *peer, bool reset)
{
	if (peer->fd < 0)
		return;
	if (reset) {
		close_with_reset(&peer->fd);
	} else {
		close(peer->fd);
		peer->fd = -1;
	}
}

static bool is_acknowledged(const struct peer *peer)
{
	int unacknowledged = 0;

	return ioctl(peer->fd, SIOCOUTQ, &unacknowledged) < 0 || !unacknowledged;
}

static enum log_level level_of(enum close_reason reason)
{
	return reason == CLOSE_DONE ? LOG_DEBUG_LEVEL : LOG_INFO_LEVEL;
}

static void write_line(const struct connection *connection, enum close_reason reason, uint64_t suppressed)
{
	char listen[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE];
	const char *id = connection->side->route->id;
	int64_t connect_ms =
	    connection->connected_ms ? (int64_t)(connection->connected_ms - connection->accepted_ms) : -1;
	struct log_field fields[] = {
		F_STR("sandbox", id[0] ? id : NULL),
		F_STR("endpoint", addr_format(&connection->endpoint->listen, listen)),
		F_STR("client", addr_format(&connection->client, client)),
		F_STR("reason", close_reason_name(reason)),
		F_UINT("to_guest", connection->streams[CLIENT].bytes),
		F_UINT("from_guest", connection->streams[GUEST].bytes),
		F_UINT("duration_ms", connection_age_ms(connection)),
		F_INT("connect_ms", connect_ms),
		F_STR("error", connection->error ? strerror(connection->error) : NULL),
		F_SOME("suppressed", suppressed),
		{ 0 },
	};

	if (!suppressed)
		fields[sizeof(fields) / sizeof(fields[0]) - 2] = (struct log_field){ 0 };
	log_write(level_of(reason), "connection ended", fields);
}

static void log_end(const struct connection *connection, enum close_reason reason)
{
	uint64_t suppressed = 0;

	if (!log_enabled(level_of(reason)))
		return;
	if (reason != CLOSE_DONE && !log_limit_allows(&connection->worker->lines, &suppressed))
		return;
	write_line(connection, reason, suppressed);
}

/* Nothing of it is left but its memory, which goes at the end of the turn: callers on the way back still look at its state. */
static void bury(struct connection *connection, enum close_reason reason)
{
	struct worker *worker = connection->worker;
	struct route_side *side = connection->side;

	log_end(connection, reason);
	LIST_REMOVE(connection, of_side);
	side->count--;
	atomic_fetch_sub_explicit(&side->route->connections, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&worker->forwarder->connections, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&worker->load, 1, memory_order_relaxed);
	count_ended(worker, reason);
	endpoint_release(connection->endpoint);
	connection->endpoint = NULL;

	connection_dequeue(connection);
	connection->state = CONNECTION_CLOSED;
	TAILQ_INSERT_TAIL(&worker->dead, connection, queue);
	route_side_check_empty(side);
}

static void linger(struct connection *connection)
{
	struct worker *worker = connection->worker;

	close_peer(&connection->peers[CLIENT], false);
	connection->state = CONNECTION_LINGERING;
	connection->deadline_ms = worker->now_ms + LINGER_MS;
	connection_wait(connection, connection->deadline_ms);
}

void connection_close(struct connection *connection, enum close_reason reason, int error)
{
	bool reset = reason != CLOSE_DONE;
	bool in_order = !reset && connection->state == CONNECTION_OPEN;

	if (error)
		connection->error = error;
	if (connection->state == CONNECTION_HELD || connection->state == CONNECTION_DIALING)
		atomic_fetch_sub_explicit(&connection->side->held, 1, memory_order_relaxed);
	wheel_cancel(&connection->timer);
	stream_drop(connection, &connection->streams[CLIENT]);
	stream_drop(connection, &connection->streams[GUEST]);
	if (in_order && !is_acknowledged(&connection->peers[GUEST])) {
		linger(connection);
		return;
	}
	if (connection->peers[GUEST].fd < 0)
		atomic_fetch_sub_explicit(&connection->worker->forwarder->promised, 1, memory_order_relaxed);
	close_peer(&connection->peers[CLIENT], reset);
	close_peer(&connection->peers[GUEST], !in_order);
	bury(connection, reason);
}

/* Every acknowledgement of a FIN, and every reset, ends the guest's socket, and that is an event. */
void linger_event(struct connection *connection)
{
	if (is_acknowledged(&connection->peers[GUEST]))
		connection_close(connection, CLOSE_DONE, 0);
}
