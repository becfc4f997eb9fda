/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LINGERING, CLOSED, and the one way to end a connection. Both sides learn of everything abnormal by a reset, as they would
 * without a forwarder in between.
 *
 * The guest's socket is never left to the kernel with bytes or a FIN unacknowledged: such an orphan would pin the sandbox's
 * namespace, and its veth, for up to 105 s when the guest is gone. After a normal end it stays ours until the guest has
 * acknowledged everything (LINGERING), and is reset if that takes too long. The socket to a guest that asked for a service lies
 * on the host, and lingers in the same way: its bytes must not be sent again to the next guest at that address.
 */
#include "base/log.h"
#include "forwarder/connection.h"
#include "forwarder/door_refuse.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINGER_MS = 10 * 1000 };

static void fwd_connection_close_peer(struct peer *peer, bool reset)
{
	if (peer->fd < 0)
		return;
	if (reset) {
		fwd_socket_reset(&peer->fd);
		return;
	}
	if (peer->resets)
		fwd_socket_end_by_reset(peer->fd, false);
	close(peer->fd);
	peer->fd = -1;
}

/* ---- The line in the log ---- */

static enum log_level fwd_connection_log_level(enum fwd_close_reason reason)
{
	return reason == CLOSE_DONE ? LOG_DEBUG_LEVEL : LOG_INFO_LEVEL;
}

static void fwd_connection_write_line(const struct connection *connection, enum fwd_close_reason reason)
{
	char listen[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE], target[TARGET_TEXT_SIZE];
	const struct fwd_endpoint *endpoint = connection->endpoint;
	bool out = connection->direction == DIRECTION_OUT;
	struct log_field fields[] = {
		F_SIDE(connection->side),
		F_STR("direction", F_DIRECTION(connection->direction)),
		F_STR("endpoint", fwd_endpoint_format(endpoint, listen)),
		F_STR("client", fwd_endpoint_format_client(&connection->client, client)),
		F_STR("target", out ? fwd_target_format(&endpoint->target, target) : NULL),
		F_STR("reason", fwd_close_reason_name(reason)),
		F_UINT("to_guest", fwd_connection_bytes_to_guest(connection)),
		F_UINT("from_guest", fwd_connection_bytes_from_guest(connection)),
		F_UINT("duration_ms", fwd_connection_age_ms(connection)),
		F_INT("connect_ms", fwd_connection_connect_ms(connection)),
		F_STR("error", connection->error ? strerror(connection->error) : NULL),
		{ 0 },
	};

	log_write(fwd_connection_log_level(reason), "connection ended", fields);
}

static void fwd_connection_log(const struct connection *connection, enum fwd_close_reason reason)
{
	enum log_level level = fwd_connection_log_level(reason);

	if (!log_enabled(level))
		return;
	if (reason != CLOSE_DONE &&
	    !log_limit_allows(&fwd_end_lines, level, "connection ended", connection->side->route->id))
		return;
	fwd_connection_write_line(connection, reason);
}

/* ---- The end ---- */

static void fwd_connection_detach(struct connection *connection)
{
	fwd_route_side_remove(connection);
	fwd_connection_dequeue(connection);
	fwd_connection_become(connection, &closed_state);
	if (connection->endpoint->door)
		fwd_tally_door_end(connection->worker->forwarder);
}

/* Only its memory is left, which goes at the end of the iteration: callers up the stack still look at its state. */
static void fwd_connection_bury(struct connection *connection)
{
	fwd_endpoint_release(connection->endpoint);
	connection->endpoint = NULL;
	TAILQ_INSERT_TAIL(&connection->worker->dead, connection, queue);
	fwd_route_side_check_empty(connection->side);
}

static void fwd_connection_drop_streams(struct connection *connection)
{
	fwd_wheel_cancel(&connection->timer);
	fwd_stream_drop(connection->side, &connection->streams[CLIENT]);
	fwd_stream_drop(connection->side, &connection->streams[SERVER]);
}

/* Whether the guest has acknowledged everything, or never will: a reset leaves the bytes before it counted as unacknowledged. */
static bool fwd_linger_is_over(struct connection *connection)
{
	int fd = fwd_connection_guest(connection)->fd, unacknowledged = 0;

	return ioctl(fd, SIOCOUTQ, &unacknowledged) < 0 || !unacknowledged || fwd_socket_is_over(fd);
}

static void fwd_linger_begin(struct connection *connection)
{
	fwd_connection_close_peer(&connection->peers[!fwd_guest_end(connection->direction)], false);
	fwd_connection_become(connection, &linger_state);
	connection->deadline_ms = connection->worker->now_ms + LINGER_MS;
	fwd_connection_wait(connection, connection->deadline_ms);
}

/* One who came through the door and was not served gets a reply, where there is one for REASON. */
static void fwd_connection_refuse(struct connection *connection, enum fwd_close_reason reason)
{
	struct worker *worker = connection->worker;
	struct peer *client = &connection->peers[CLIENT];
	enum door_refusal refusal;

	if (!fwd_door_refusal_of(connection, reason, &refusal))
		return;
	if (client->watched)
		fwd_poller_remove(worker->poller, client->fd);
	fwd_poller_forget(worker->poller, &client->source);
	fwd_door_refuse(worker, &client->fd, connection->endpoint->kind, refusal,
			fwd_route_state_connections(&connection->side->state, DIRECTION_IN));
}

void fwd_connection_close(struct connection *connection, enum fwd_close_reason reason, int error)
{
	bool reset = reason != CLOSE_DONE;
	bool out = connection->direction == DIRECTION_OUT;
	bool in_order = !reset && fwd_connection_phase(connection) == CONNECTION_OPEN;

	if (error)
		connection->error = error;
	fwd_connection_drop_streams(connection);
	if (in_order && !fwd_linger_is_over(connection)) {
		fwd_linger_begin(connection);
		return;
	}
	if (connection->endpoint->door && connection->state->waits)
		fwd_connection_refuse(connection, reason);
	/* A socket in the sandbox's namespace must not stay there, whatever it may still have to say. */
	fwd_connection_close_peer(&connection->peers[CLIENT], reset);
	fwd_connection_close_peer(&connection->peers[SERVER], out ? reset : !in_order);
	fwd_connection_log(connection, reason);
	fwd_connection_detach(connection);
	fwd_tally_end(connection->side, connection->direction, reason);
	fwd_connection_bury(connection);
}

/* The next run has copies of the sockets, so that they do not leave the poller by being closed here, and no option may change. */
static void fwd_connection_leave_peer(struct connection *connection, struct peer *peer)
{
	if (peer->fd < 0)
		return;
	if (peer->watched)
		fwd_poller_remove(connection->worker->poller, peer->fd);
	close(peer->fd);
	peer->fd = -1;
}

void fwd_connection_leave(struct connection *connection)
{
	/* An attempt to dial does not go along. */
	if (fwd_connection_phase(connection) == CONNECTION_DIALING)
		fwd_connection_close_peer(&connection->peers[SERVER], true);
	fwd_connection_drop_streams(connection);
	fwd_connection_leave_peer(connection, &connection->peers[CLIENT]);
	fwd_connection_leave_peer(connection, &connection->peers[SERVER]);
	fwd_connection_detach(connection);
	fwd_tally_leave(connection->side, connection->direction);
	fwd_connection_bury(connection);
}

/* ---- LINGERING ---- */

/* Every acknowledgement of a FIN, and every reset, ends the guest's socket, and that is an event. */
static void fwd_linger_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	(void)peer;
	(void)events;
	if (fwd_linger_is_over(connection))
		fwd_connection_close(connection, CLOSE_DONE, 0);
}

static void fwd_linger_expired(struct connection *connection)
{
	fwd_connection_close(connection, CLOSE_ERROR, ETIMEDOUT);
}

static void fwd_linger_go_on(struct connection *connection)
{
	(void)connection;
}

/* All bytes were passed on, so a guest that goes ends it in order. */
static void fwd_linger_on_route_changed(struct connection *connection, const struct route_state *before)
{
	const struct route_side *side = connection->side;
	const struct route_state *now = &side->state;
	enum fwd_close_reason reason;

	if (fwd_connection_is_cut(connection, before, &reason)) {
		fwd_connection_close(connection, reason == CLOSE_PAUSED_RESET ? reason : CLOSE_DONE, 0);
	} else if (fwd_route_state_pauses(now, before)) {
		fwd_wheel_cancel(&connection->timer);
		fwd_socket_freeze(fwd_connection_guest(connection)->fd);
	} else if (fwd_route_state_resumes(now, before)) {
		fwd_socket_thaw(fwd_connection_guest(connection)->fd);
		connection->deadline_ms += connection->worker->now_ms - side->paused_at_ms;
		fwd_connection_wait(connection, connection->deadline_ms);
	}
}

const struct connection_state linger_state = {
	.phase = CONNECTION_LINGERING,
	.name = "half-closed",
	.event = fwd_linger_on_event,
	.expired = fwd_linger_expired,
	.go_on = fwd_linger_go_on,
	.route_changed = fwd_linger_on_route_changed,
};

/* ---- CLOSED: an event that was found before the end may still come ---- */

static void fwd_closed_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	(void)connection;
	(void)peer;
	(void)events;
}

static void fwd_closed_stay(struct connection *connection)
{
	(void)connection;
}

static void fwd_closed_on_route_changed(struct connection *connection, const struct route_state *before)
{
	(void)connection;
	(void)before;
}

const struct connection_state closed_state = {
	.phase = CONNECTION_CLOSED,
	.name = "half-closed",
	.event = fwd_closed_on_event,
	.expired = fwd_closed_stay,
	.go_on = fwd_closed_stay,
	.route_changed = fwd_closed_on_route_changed,
};
