/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An accepted client becomes a connection here and is held first; the state's operations do the rest.
 */
#include "forwarder/life.h"

#include "base/container_of.h"
#include "base/slab.h"
#include "forwarder/connection.h"
#include "forwarder/door_refuse.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <errno.h>

/* There is no memory for a connection, and the client learns it at once; one at the door is to try again. */
static void fwd_life_turn_away(const struct arrival *arrival)
{
	int fd = arrival->fd;

	if (arrival->endpoint->door)
		fwd_door_refuse(arrival->side->worker, &fd, arrival->endpoint->kind, DOOR_REFUSAL_STARTING, 0);
	else
		fwd_socket_reset(&fd);
	fwd_tally_end(arrival->side, arrival->endpoint->direction, CLOSE_ERROR);
	fwd_endpoint_release(arrival->endpoint);
	fwd_route_side_check_empty(arrival->side);
}

/*
 * Whether it came through the door, which may have been closed to it since it was let in: the message of that may be older than the one
 * that brought it here. The side's policy in turn may be older than the one that let it in.
 */
static bool fwd_life_is_shut_out(const struct connection *connection, enum fwd_close_reason *reason)
{
	struct fwd_route *route = connection->side->route;
	bool shut_out;

	if (!connection->endpoint->door)
		return false;
	pthread_mutex_lock(&route->lock);
	shut_out = fwd_connection_is_shut_out(connection, &route->state.door, reason);
	pthread_mutex_unlock(&route->lock);
	return shut_out;
}

void fwd_life_begin(struct worker *worker, const struct arrival *arrival)
{
	struct connection *connection = base_slab_alloc(worker->slab);

	if (!connection) {
		fwd_life_turn_away(arrival);
		return;
	}
	connection->worker = worker;
	fwd_route_side_add(arrival->side, connection);
	connection->endpoint = arrival->endpoint;
	connection->direction = arrival->endpoint->direction;
	connection->client = arrival->client;
	connection->accepted_us = arrival->accepted_us;
	connection->accepted_ms = arrival->accepted_us / 1000;
	connection->id = fwd_connection_next_id();
	connection->deadline_ms =
	    connection->accepted_ms + fwd_connection_patience_ms(connection, &connection->side->state);
	if (connection->endpoint->door)
		fwd_tally_door_begin(worker->forwarder);
	connection->peers[CLIENT] = (struct peer){ .fd = arrival->fd, .which = CLIENT, .writable = true };
	connection->peers[SERVER] = (struct peer){ .fd = -1, .which = SERVER };
	connection->streams[CLIENT].pipe = connection->streams[SERVER].pipe = PIPE_NONE;
	fwd_connection_become(connection, &hold_state);

	/* Accepted late, or before its route was closed and sent here by message, it may come after all others ended. */
	const struct route_state *state = &connection->side->state;
	enum fwd_close_reason reason;

	if (state->reset_all)
		fwd_connection_close(connection, state->reason, 0);
	else if (state->isolated && connection->direction == DIRECTION_OUT)
		fwd_connection_close(connection, CLOSE_UNREGISTERED, 0);
	else if (fwd_life_is_shut_out(connection, &reason))
		fwd_connection_close(connection, reason, 0);
	else
		connection->state->go_on(connection);
	if (fwd_connection_phase(connection) == CONNECTION_HELD &&
	    fwd_connection_watch(connection, &connection->peers[CLIENT]) < 0)
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
}

/* This is asked for rarely, so no list is kept for it: all connections are looked at. */
void fwd_life_reset_endpoint(struct worker *worker, const struct fwd_endpoint *endpoint)
{
	struct route_side *side;

	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		struct connection *connection, *next;

		LIST_FOREACH_SAFE(connection, &side->connections, of_side, next)
		{
			if (fwd_endpoint_is(connection->endpoint, endpoint))
				fwd_connection_close(connection, CLOSE_UNREGISTERED, 0);
		}
	}
}

void fwd_life_on_stop(struct mail *mail)
{
	struct worker *worker = container_of(mail, struct worker, stop);
	struct route_side *side;

	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		while (!LIST_EMPTY(&side->connections))
			fwd_connection_close(LIST_FIRST(&side->connections), CLOSE_SHUTDOWN, 0);
	}
	worker->stopping = worker->leaves = true;
}
