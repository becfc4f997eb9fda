/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ground below the states: one function changes a connection's state, and its events and its timer go to the state's
 * operations.
 *
 * A socket is watched once, edge-triggered, and only a client of the door is watched anew, once (stream.h). The peer's flags keep
 * what an edge announced until the socket has nothing more. The client's socket is watched only when the server has answered, or
 * does not answer at once. Most servers answer within less time than the client needs for its first bytes, and the client's events
 * meanwhile would wake the worker for nothing.
 */
#include "forwarder/connection.h"

#include "base/assert.h"
#include "base/container_of.h"
#include "door/judge.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

/* Beyond this a timeout waits on the coarse wheel until it is near. */
enum { COARSE_AHEAD_MS = 2 * COARSE_STEP_MS };

#define MAY_BECOME(phase) (1U << (phase))

/* By phase: the phases that may follow. */
static const unsigned moves[] = {
	[CONNECTION_BORN] =
	    MAY_BECOME(CONNECTION_HELD) | MAY_BECOME(CONNECTION_OPEN) | MAY_BECOME(CONNECTION_LINGERING),
	[CONNECTION_HELD] = MAY_BECOME(CONNECTION_DIALING) | MAY_BECOME(CONNECTION_CLOSED),
	[CONNECTION_DIALING] =
	    MAY_BECOME(CONNECTION_HELD) | MAY_BECOME(CONNECTION_OPEN) | MAY_BECOME(CONNECTION_CLOSED),
	[CONNECTION_OPEN] = MAY_BECOME(CONNECTION_LINGERING) | MAY_BECOME(CONNECTION_CLOSED),
	[CONNECTION_LINGERING] = MAY_BECOME(CONNECTION_CLOSED),
	[CONNECTION_CLOSED] = 0,
};

/* ---- The state ---- */

enum fwd_connection_phase fwd_connection_phase(const struct connection *connection)
{
	return connection->state ? connection->state->phase : CONNECTION_BORN;
}

bool fwd_connection_may_become(enum fwd_connection_phase from, enum fwd_connection_phase to)
{
	return moves[from] & MAY_BECOME(to);
}

static void fwd_connection_hold(const struct connection *connection)
{
	fwd_tally_hold(connection->side);
	if (connection->endpoint->door)
		fwd_tally_door_hold(connection->worker->forwarder);
}

static void fwd_connection_unhold(const struct connection *connection)
{
	fwd_tally_unhold(connection->side);
	if (connection->endpoint->door)
		fwd_tally_door_unhold(connection->worker->forwarder);
}

void fwd_connection_become(struct connection *connection, const struct connection_state *state)
{
	bool waited = connection->state && connection->state->waits;

	base_assert(fwd_connection_may_become(fwd_connection_phase(connection), state->phase));
	if (state->waits && !waited)
		fwd_connection_hold(connection);
	else if (waited && !state->waits)
		fwd_connection_unhold(connection);
	connection->state = state;
}

/* ---- Events and time ---- */

static struct connection *fwd_connection_of(struct peer *peer)
{
	return container_of(peer - peer->which, struct connection, peers[0]);
}

static void fwd_connection_on_event(struct poll_source *source, uint32_t events)
{
	struct peer *peer = container_of(source, struct peer, source);
	struct connection *connection = fwd_connection_of(peer);

	fwd_stream_note_events(peer, events);
	connection->state->event(connection, peer, events);
}

int fwd_connection_watch(struct connection *connection, struct peer *peer)
{
	/* A client of the door has a unix socket. */
	bool deaf = connection->endpoint->door && peer->which == CLIENT && peer->writable;
	struct poller *poller = connection->worker->poller;
	int status;

	if (peer->watched)
		return 0;
	peer->source.happened = fwd_connection_on_event;
	if (deaf)
		status = fwd_poller_add_deaf(poller, peer->fd, &peer->source);
	else
		status = fwd_poller_add_edges(poller, peer->fd, &peer->source);
	if (status < 0)
		return -1;
	peer->watched = true;
	peer->deaf = deaf;
	return 0;
}

void fwd_connection_go_on_later(struct connection *connection)
{
	if (connection->queued)
		return;
	connection->queued = true;
	connection->worker->again_count++;
	TAILQ_INSERT_TAIL(&connection->worker->again, connection, queue);
}

void fwd_connection_dequeue(struct connection *connection)
{
	if (!connection->queued)
		return;
	connection->queued = false;
	connection->worker->again_count--;
	TAILQ_REMOVE(&connection->worker->again, connection, queue);
}

/* Near times are kept to 10 ms; far ones cost the fine wheel nothing until they are near. */
void fwd_connection_wait(struct connection *connection, uint64_t due_ms)
{
	struct worker *worker = connection->worker;

	if (due_ms > worker->now_ms + COARSE_AHEAD_MS)
		fwd_wheel_set(&worker->coarse, &connection->timer, due_ms - COARSE_STEP_MS);
	else
		fwd_wheel_set(&worker->fine, &connection->timer, due_ms);
}

void fwd_connection_follow_deadline(struct connection *connection, const struct route_state *before)
{
	/* That of a client who has left is soon, whatever the route says. */
	if (!connection->leaving)
		connection->deadline_ms += (uint64_t)fwd_connection_patience_ms(connection, &connection->side->state) -
					   fwd_connection_patience_ms(connection, before);
}

void fwd_connection_expired(struct wheel_entry *entry)
{
	struct connection *connection = container_of(entry, struct connection, timer);

	connection->state->expired(connection);
}

/* ---- Facts ---- */

unsigned fwd_connection_patience_ms(const struct connection *connection, const struct route_state *state)
{
	return connection->endpoint->door ? state->door_hold_ms : state->limits.connect_deadline_ms;
}

bool fwd_connection_is_shut_out(const struct connection *connection, const struct door_policy *policy,
				enum fwd_close_reason *reason)
{
	const struct fwd_endpoint *endpoint = connection->endpoint;

	if (!endpoint->door)
		return false;
	switch (door_judge(policy, endpoint->guest_port, &endpoint->token)) {
	case DOOR_LET_IN:
		return false;
	case DOOR_SHUT:
		*reason = CLOSE_DOOR_CLOSED;
		return true;
	case DOOR_NO_TOKEN:
	case DOOR_WRONG_TOKEN:
		*reason = CLOSE_DOOR_TOKEN;
		return true;
	}
	return false;
}

static _Atomic uint64_t last_id;

uint64_t fwd_connection_next_id(void)
{
	return atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

uint64_t fwd_connection_last_id(void)
{
	return atomic_load_explicit(&last_id, memory_order_relaxed);
}

void fwd_connection_skip_ids(uint64_t last)
{
	uint64_t now = fwd_connection_last_id();

	while (now < last &&
	       !atomic_compare_exchange_weak_explicit(&last_id, &now, last, memory_order_relaxed, memory_order_relaxed))
		;
}

/* The worker's time is that of its iteration, and a connection accepted in the course of it is younger. */
uint64_t fwd_connection_age_ms(const struct connection *connection)
{
	uint64_t now_ms = connection->worker->now_ms;

	return now_ms > connection->accepted_ms ? now_ms - connection->accepted_ms : 0;
}

int64_t fwd_connection_connect_ms(const struct connection *connection)
{
	return connection->connected_ms ? (int64_t)(connection->connected_ms - connection->accepted_ms) : -1;
}

bool fwd_connection_is_ended(const struct connection *connection, const struct route_state *before,
			     enum fwd_close_reason *reason)
{
	const struct route_state *now = &connection->side->state;

	if (connection->direction == DIRECTION_OUT)
		return fwd_route_state_ends_out(now, before, reason);
	return fwd_route_state_ends_all(now, before, reason) ||
	       fwd_connection_is_shut_out(connection, &now->door, reason);
}

bool fwd_connection_is_cut(const struct connection *connection, const struct route_state *before,
			   enum fwd_close_reason *reason)
{
	const struct route_state *now = &connection->side->state;

	if (connection->direction == DIRECTION_OUT)
		return fwd_route_state_ends_out(now, before, reason);
	return fwd_route_state_ends_flows(now, before, reason) ||
	       fwd_connection_is_shut_out(connection, &now->door, reason);
}

bool fwd_connection_may_dial(const struct connection *connection)
{
	const struct route_state *state = &connection->side->state;

	if (connection->direction == DIRECTION_IN)
		return fwd_route_state_may_dial(state);
	/* The guest is there: it asks. */
	return !state->paused && (connection->endpoint->target.place == PLACE_HOST || state->netns_fd >= 0);
}

struct fwd_target fwd_connection_target(const struct connection *connection)
{
	const struct fwd_endpoint *endpoint = connection->endpoint;

	if (connection->direction == DIRECTION_OUT)
		return endpoint->target;
	return (struct fwd_target){ .place = PLACE_SANDBOX,
				    .to.addr = fwd_guest(connection->side->route, endpoint->guest_port),
				    .proxy_protocol = endpoint->proxy_protocol };
}

void fwd_connection_pace(struct connection *connection)
{
	if (connection->direction == DIRECTION_IN)
		fwd_socket_set_pace(connection->peers[CLIENT].fd, connection->side->state.pace);
}
