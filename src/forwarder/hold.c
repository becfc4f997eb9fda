/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HELD: a client stays connected, and unanswered, while its guest boots, is paused or refuses. Clients of sandboxes retry a
 * refused connect at best and a reset never, so the forwarder waits for them. Without carrier nothing is dialed; when the carrier
 * comes every held client dials at once.
 *
 * A held client is watched: when it leaves, the hold ends. A client that has sent something and its FIN may still want the
 * answer, so only a FIN with nothing before it counts as leaving. Where the guest may be dialed even such a client has a
 * moment, for it may want the guest's greeting.
 *
 * A client may wake a paused guest, by a report to main (asking.h). It is then held for a time of its own, so that it is not held for ever
 * where nobody resumes the guest.
 *
 * A guest that asks for a service is held, too, while the service is away for a moment.
 */
#include "forwarder/asking.h"
#include "forwarder/connection.h"
#include "forwarder/endpoint.h"
#include "forwarder/fair_share.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { LEAVING_MS = 1000 };

/* From the side that holds clients without a backend to SIDE, the default endpoint's backend. False: SIDE's route is full. */
static bool fwd_hold_move(struct connection *connection, struct route_side *side)
{
	struct route_side *old = connection->side;
	bool allowed = fwd_share_allows(side->route, 0); /* the descriptors are there */

	fwd_route_side_remove(connection);
	fwd_route_side_add(side, connection);
	connection->deadline_ms = connection->accepted_ms + side->state.limits.connect_deadline_ms;
	return fwd_tally_move(old, side, fwd_route_state_connections(&side->state, DIRECTION_IN)) && allowed;
}

static void fwd_hold_give_up(struct connection *connection)
{
	if (connection->leaving)
		fwd_connection_close(connection, CLOSE_DONE, 0);
	else if (connection->direction == DIRECTION_OUT)
		fwd_connection_close(connection, CLOSE_PROXY_REFUSED, 0);
	else if (fwd_route_side_has_no_backend(connection->side))
		fwd_connection_close(connection, CLOSE_NO_SANDBOX, 0);
	else
		fwd_connection_close(connection, CLOSE_CONNECT_DEADLINE, connection->error);
}

/*
 * Whether its clock stands while its route is in STATE, which it does in a pause. Only a client of the door whose guest nothing wakes is not
 * held longer: it is told in time that the sandbox is paused.
 */
static bool fwd_hold_stands(const struct connection *connection, const struct route_state *state)
{
	return state->paused && (!connection->endpoint->door || state->wake_timeout_ms);
}

/* Since when its clock stands. */
static uint64_t fwd_hold_stands_since_ms(const struct connection *connection)
{
	uint64_t paused_at_ms = connection->side->paused_at_ms;

	return connection->accepted_ms > paused_at_ms ? connection->accepted_ms : paused_at_ms;
}

/* In a pause, while its clock stands. */
static void fwd_hold_rest(struct connection *connection)
{
	const struct route_state *state = &connection->side->state;
	uint64_t due_ms = fwd_hold_stands_since_ms(connection) + state->wake_timeout_ms;

	if (!state->wake_timeout_ms || connection->direction == DIRECTION_OUT) {
		fwd_wheel_cancel(&connection->timer);
		return;
	}
	if (connection->worker->now_ms >= due_ms) {
		fwd_connection_close(connection, CLOSE_ASLEEP, 0);
		return;
	}
	fwd_connection_wait(connection, due_ms);
	fwd_ask(connection->side, &(struct fwd_asking){ .proto = PROTO_TCP,
							.guest_port = connection->endpoint->guest_port,
							.client = connection->client,
							.door = connection->endpoint->door });
}

/* Dials, waits, or ends it, as the route's state says. */
static void fwd_hold_decide(struct connection *connection)
{
	struct route_side *backend =
	    fwd_route_side_has_no_backend(connection->side) ? fwd_route_side_backend(connection->side) : NULL;

	/* A closing backend is passed over: the next message says where to go instead. */
	if (backend && !backend->state.closing && !fwd_hold_move(connection, backend)) {
		fwd_connection_close(connection, CLOSE_LIMIT, 0);
		return;
	}

	const struct route_state *state = &connection->side->state;
	bool may_dial = fwd_connection_may_dial(connection);

	if (state->gone)
		fwd_connection_close(connection, CLOSE_NO_NAMESPACE, 0);
	else if (fwd_hold_stands(connection, state))
		fwd_hold_rest(connection);
	else if (connection->worker->now_ms >= connection->deadline_ms && (connection->dials || !may_dial))
		fwd_hold_give_up(connection);
	else if (may_dial)
		fwd_dial_start(connection);
	else
		fwd_connection_wait(connection, connection->deadline_ms);
}

/* Events of the client, who is the only peer. */
static void fwd_hold_on_event(struct connection *connection, struct peer *peer, uint32_t events)
{
	const struct peer *client = &connection->peers[CLIENT];
	int error = events & EPOLLERR ? fwd_socket_error(client->fd) : 0;
	char byte;

	(void)peer;
	if (error) {
		fwd_connection_close(connection,
				     connection->direction == DIRECTION_OUT ? CLOSE_GUEST_RESET : CLOSE_CLIENT_RESET,
				     error == ECONNRESET ? 0 : error);
		return;
	}
	/* The other end of a unix socket is closed: nobody reads an answer. */
	if (events & EPOLLHUP) {
		fwd_connection_close(connection, CLOSE_CLIENT_RESET, 0);
		return;
	}
	if (!(events & EPOLLRDHUP) || recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return;
	connection->leaving = true;
	if (!fwd_connection_may_dial(connection))
		fwd_connection_close(connection, CLOSE_DONE, 0);
	else if (connection->deadline_ms > connection->worker->now_ms + LEAVING_MS)
		connection->deadline_ms = connection->worker->now_ms + LEAVING_MS;
}

/* Whether it is to be decided anew what becomes of it, after its route was as BEFORE. */
static bool fwd_hold_is_concerned(const struct connection *connection, const struct route_state *before)
{
	const struct route_side *side = connection->side;
	const struct route_state *now = &side->state;

	return fwd_route_state_pauses(now, before) || fwd_route_state_resumes(now, before) ||
	       fwd_route_state_opens(now, before) || fwd_route_state_limits(now, before) ||
	       fwd_route_state_asks(now, before) || (now->ready && !before->ready) ||
	       fwd_route_side_has_no_backend(side);
}

/* A pause stops the connection's clock, and the end of the pause shifts its deadline. */
static void fwd_hold_on_route_changed(struct connection *connection, const struct route_state *before)
{
	const struct route_state *now = &connection->side->state;
	enum fwd_close_reason reason;

	if (fwd_connection_is_ended(connection, before, &reason)) {
		fwd_connection_close(connection, reason, 0);
		return;
	}
	if (now->pace != before->pace)
		fwd_connection_pace(connection);
	/* What the guest refused before the pause it may accept after it, and it has the whole grace again. */
	if (fwd_route_state_pauses(now, before))
		connection->refused_ms = 0;
	fwd_connection_follow_deadline(connection, before);
	if (fwd_hold_stands(connection, before) && !fwd_hold_stands(connection, now))
		connection->deadline_ms += connection->worker->now_ms - fwd_hold_stands_since_ms(connection);
	if (fwd_hold_is_concerned(connection, before))
		fwd_hold_decide(connection);
}

const struct connection_state hold_state = {
	.phase = CONNECTION_HELD,
	.name = "held",
	.waits = true,
	.event = fwd_hold_on_event,
	.expired = fwd_hold_decide,
	.go_on = fwd_hold_decide,
	.route_changed = fwd_hold_on_route_changed,
};
