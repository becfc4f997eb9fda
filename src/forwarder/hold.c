/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holding: a client stays connected, and unanswered, while its guest boots, is paused or refuses. Clients of sandboxes retry a
 * refused connect at best and a reset never, so the wait is ours. Without carrier nothing is dialed; when the carrier comes every
 * held client dials at once.
 *
 * A held client is watched: when it goes, the hold ends. One that has sent something and its FIN may still want the answer, so
 * only a FIN with nothing before it counts as going; and where the guest may be dialed even such a client has a moment, for it
 * may want what the guest says of itself.
 */
#include "forwarder/admission.h"
#include "forwarder/connection.h"
#include "forwarder/route.h"
#include "forwarder/udp.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { LEAVING_MS = 1000 };

static bool leads_nowhere(const struct route_side *side)
{
	return !side->route->id[0];
}

/* As main has it now, not as it was when the last letter came: who connects after a change goes where it says. */
static struct route_side *lead_of(struct route_side *side)
{
	struct route_side *lead;

	pthread_mutex_lock(&side->route->lock);
	lead = side->lead;
	pthread_mutex_unlock(&side->route->lock);
	return lead;
}

/* From the side of the route to nowhere to the one that the default endpoint leads to now. False if that has too many now. */
static bool move_to(struct connection *connection, struct route_side *side)
{
	struct route_side *old = connection->side;
	unsigned limit = side->state.limits.connections;

	LIST_REMOVE(connection, of_side);
	old->count--;
	atomic_fetch_sub_explicit(&old->held, 1, memory_order_relaxed);
	atomic_fetch_sub(&old->route->connections, 1);

	route_side_add(side, connection);
	atomic_fetch_add_explicit(&side->route->total, 1, memory_order_relaxed);
	connection->deadline_ms = connection->accepted_ms + side->state.limits.connect_deadline_ms;
	return atomic_fetch_add(&side->route->connections, 1) < limit || !limit;
}

static void give_up(struct connection *connection)
{
	if (connection->leaving)
		connection_close(connection, CLOSE_DONE, 0);
	else if (leads_nowhere(connection->side))
		connection_close(connection, CLOSE_NO_SANDBOX, 0);
	else
		connection_close(connection, CLOSE_CONNECT_DEADLINE, connection->error);
}

void hold_decide(struct connection *connection)
{
	struct route_side *lead = leads_nowhere(connection->side) ? lead_of(connection->side) : NULL;

	/* One that closes is left: the next letter tells where to go instead. */
	if (lead && !lead->state.closing && !move_to(connection, lead)) {
		connection_close(connection, CLOSE_LIMIT, 0);
		return;
	}

	const struct route_side *side = connection->side;
	const struct route_state *state = &side->state;

	if (state->gone)
		connection_close(connection, CLOSE_NO_NAMESPACE, 0);
	else if (state->paused)
		wheel_cancel(&connection->timer);
	else if (connection->worker->now_ms >= connection->deadline_ms && (connection->dials || !route_may_dial(state)))
		give_up(connection);
	else if (route_may_dial(state))
		dial_start(connection);
	else
		connection_wait(connection, connection->deadline_ms);
}

void hold_client_event(struct connection *connection, uint32_t events)
{
	struct peer *client = &connection->peers[CLIENT];
	int error = events & EPOLLERR ? peer_error(client) : 0;
	char byte;

	if (error) {
		connection_close(connection, CLOSE_CLIENT_RESET, error == ECONNRESET ? 0 : error);
		return;
	}
	if (!(events & EPOLLRDHUP) || recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return;
	connection->leaving = true;
	if (!route_may_dial(&connection->side->state))
		connection_close(connection, CLOSE_DONE, 0);
	else if (connection->deadline_ms > connection->worker->now_ms + LEAVING_MS)
		connection->deadline_ms = connection->worker->now_ms + LEAVING_MS;
}

/* ---- A new state of the route ---- */

/* Does VISIT to each connection; it may close the one it is given. */
static void for_each(struct route_side *side, void (*visit)(struct connection *connection))
{
	struct connection *connection, *next;

	LIST_FOREACH_SAFE(connection, &side->connections, of_side, next)
	{
		if (connection->state != CONNECTION_CLOSED)
			visit(connection);
	}
}

static void end_for_carrier(struct connection *connection)
{
	switch (connection->state) {
	case CONNECTION_HELD:
		break;
	case CONNECTION_DIALING:
		dial_abandon(connection);
		break;
	case CONNECTION_OPEN:
		connection_close(connection, CLOSE_CARRIER_LOST, 0);
		break;
	case CONNECTION_LINGERING:
		connection_close(connection, CLOSE_DONE, 0);
		break;
	case CONNECTION_CLOSED:
		break;
	}
}

static void end_for_closing(struct connection *connection)
{
	if (connection->state == CONNECTION_LINGERING)
		connection_close(connection, CLOSE_DONE, 0);
	else
		connection_close(connection, connection->side->state.reason, 0);
}

static void end_for_namespace(struct connection *connection)
{
	connection_close(connection, connection->state == CONNECTION_LINGERING ? CLOSE_DONE : CLOSE_NO_NAMESPACE, 0);
}

static void end_flow(struct connection *connection)
{
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_LINGERING)
		connection_close(connection, CLOSE_PAUSED_RESET, 0);
}

static void decide_if_held(struct connection *connection)
{
	if (connection->state == CONNECTION_HELD)
		hold_decide(connection);
}

static void pause(struct connection *connection)
{
	if (connection->state == CONNECTION_DIALING)
		dial_abandon(connection);
	if (connection->state == CONNECTION_HELD)
		wheel_cancel(&connection->timer);
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_LINGERING)
		timeouts_pause(connection);
}

/* What was paused has not aged. */
static void resume(struct connection *connection)
{
	uint64_t paused_ms = connection->worker->now_ms - connection->side->paused_at_ms;

	connection->deadline_ms += paused_ms;
	if (connection->state == CONNECTION_HELD) {
		hold_decide(connection);
	} else {
		timeouts_resume(connection, paused_ms);
		connection_go_on_later(connection);
	}
}

/* What cannot live on under the new state. */
static void end_what_must(struct route_side *side, const struct route_state *old)
{
	const struct route_state *new = &side->state;

	if (new->reset_all) {
		for_each(side, end_for_closing);
		udp_side_reset(side, new->reason);
	}
	if (new->gone && !old->gone) {
		for_each(side, end_for_namespace);
		udp_side_reset(side, CLOSE_NO_NAMESPACE);
	}
	if (new->carrier_losses != old->carrier_losses) {
		for_each(side, end_for_carrier);
		udp_side_reset(side, CLOSE_CARRIER_LOST);
	}
	if (new->flow_resets != old->flow_resets) {
		for_each(side, end_flow);
		udp_side_reset(side, CLOSE_PAUSED_RESET);
	}
}

void route_side_update(struct route_side *side)
{
	struct route_state old = side->state;
	struct route_state *new = &side->state;
	bool leads_on;

	pthread_mutex_lock(&side->route->lock);
	*new = side->route->state;
	leads_on = side->lead != NULL;
	side->update_posted = false;
	pthread_mutex_unlock(&side->route->lock);

	end_what_must(side, &old);
	if (new->pace != old.pace)
		for_each(side, connection_pace);
	if (new->paused && !old.paused) {
		side->paused_at_ms = side->worker->now_ms;
		for_each(side, pause);
	}
	if (!new->paused && old.paused)
		for_each(side, resume);
	if (leads_on || (route_may_dial(new) && !route_may_dial(&old)))
		for_each(side, decide_if_held);
	if (new->up && !old.up)
		for_each(side, connection_go_on_later);
	route_side_check_empty(side);
}
