/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a connection's life begins, and where its events and its timer are led to what its state makes of them.
 *
 * A socket is watched once, edge-triggered: nothing is ever re-armed. What an edge told is kept in the peer's flags until the socket
 * has nothing more. The client's is watched only when the guest has answered, or does not answer at once: most guests do, within
 * less than the client needs for its first bytes, and what the client does meanwhile would wake us for nothing.
 */
#include "forwarder/connection.h"

#include "base/slab.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Beyond this a timeout waits on the coarse wheel until it is near. */
enum { COARSE_AHEAD_MS = 2 * COARSE_STEP_MS };

static struct connection *connection_of(struct peer *peer)
{
	struct peer *first = peer - peer->which;

	return (struct connection *)((char *)first - offsetof(struct connection, peers));
}

static void note(struct peer *peer, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
		peer->special = peer->readable = true;
	if (events & EPOLLIN)
		peer->readable = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		peer->writable = true;
}

static void on_event(struct poll_source *source, uint32_t events)
{
	struct peer *peer = (struct peer *)((char *)source - offsetof(struct peer, source));
	struct connection *connection = connection_of(peer);

	note(peer, events);
	switch (connection->state) {
	case CONNECTION_HELD:
		hold_client_event(connection, events);
		break;
	case CONNECTION_DIALING:
		if (peer->which == GUEST)
			dial_event(connection, events);
		else
			hold_client_event(connection, events);
		break;
	case CONNECTION_OPEN:
		pump_event(connection, peer, events);
		break;
	case CONNECTION_LINGERING:
		linger_event(connection);
		break;
	case CONNECTION_CLOSED:
		break;
	}
}

int connection_watch(struct connection *connection, struct peer *peer)
{
	if (peer->watched)
		return 0;
	peer->source.happened = on_event;
	if (poller_add_edges(connection->worker->poller, peer->fd, &peer->source) < 0)
		return -1;
	peer->watched = true;
	return 0;
}

int peer_error(const struct peer *peer)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return 0;
	return error;
}

void connection_go_on_later(struct connection *connection)
{
	if (connection->queued)
		return;
	connection->queued = true;
	connection->worker->again_count++;
	TAILQ_INSERT_TAIL(&connection->worker->again, connection, queue);
}

void connection_dequeue(struct connection *connection)
{
	if (!connection->queued)
		return;
	connection->queued = false;
	connection->worker->again_count--;
	TAILQ_REMOVE(&connection->worker->again, connection, queue);
}

void connection_go_on(struct connection *connection)
{
	switch (connection->state) {
	case CONNECTION_HELD:
		hold_decide(connection);
		break;
	case CONNECTION_OPEN:
		pump_run(connection);
		break;
	case CONNECTION_DIALING:
	case CONNECTION_LINGERING:
	case CONNECTION_CLOSED:
		break;
	}
}

/* Near ends are told to 10 ms; far ones cost the fine wheel nothing until they are near. */
void connection_wait(struct connection *connection, uint64_t due_ms)
{
	struct worker *worker = connection->worker;

	if (due_ms > worker->now_ms + COARSE_AHEAD_MS)
		wheel_set(&worker->coarse, &connection->timer, due_ms - COARSE_STEP_MS);
	else
		wheel_set(&worker->fine, &connection->timer, due_ms);
}

void connection_expired(struct wheel_entry *entry)
{
	struct connection *connection = (struct connection *)((char *)entry - offsetof(struct connection, timer));

	switch (connection->state) {
	case CONNECTION_HELD:
		hold_decide(connection);
		break;
	case CONNECTION_DIALING:
		dial_expired(connection);
		break;
	case CONNECTION_OPEN:
		timeouts_expired(connection);
		break;
	case CONNECTION_LINGERING:
		connection_close(connection, CLOSE_ERROR, ETIMEDOUT);
		break;
	case CONNECTION_CLOSED:
		break;
	}
}

/* No connection object for want of memory: the client is told at once. */
static void turn_away(const struct arrival *arrival)
{
	struct route_side *side = arrival->side;
	int fd = arrival->fd;

	close_with_reset(&fd);
	atomic_fetch_sub(&side->route->connections, 1);
	atomic_fetch_sub(&side->route->forwarder->connections, 1);
	atomic_fetch_sub(&side->route->forwarder->promised, 1);
	atomic_fetch_sub(&side->worker->load, 1);
	count_ended(side->worker, CLOSE_ERROR);
	endpoint_release(arrival->endpoint);
	route_side_check_empty(side);
}

uint64_t connection_next_id(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* The worker's time is that of its turn, and what was accepted in the course of the turn is younger. */
uint64_t connection_age_ms(const struct connection *connection)
{
	uint64_t now_ms = connection->worker->now_ms;

	return now_ms > connection->accepted_ms ? now_ms - connection->accepted_ms : 0;
}

void connection_begin(struct worker *worker, const struct arrival *arrival)
{
	struct connection *connection = slab_alloc(worker->slab);

	if (!connection) {
		turn_away(arrival);
		return;
	}
	connection->worker = worker;
	route_side_add(arrival->side, connection);
	connection->endpoint = arrival->endpoint;
	connection->client = arrival->client;
	connection->accepted_us = arrival->accepted_us;
	connection->accepted_ms = arrival->accepted_us / 1000;
	connection->id = connection_next_id();
	connection->state = CONNECTION_HELD;
	connection->deadline_ms = connection->accepted_ms + connection->side->state.limits.connect_deadline_ms;
	connection->peers[CLIENT] = (struct peer){ .fd = arrival->fd, .which = CLIENT, .writable = true };
	connection->peers[GUEST] = (struct peer){ .fd = -1, .which = GUEST };
	connection->streams[CLIENT].pipe = connection->streams[GUEST].pipe = PIPE_NONE;

	/* It may have been accepted before its route was closed, and come by letter after all others ended. */
	if (connection->side->state.reset_all)
		connection_close(connection, connection->side->state.reason, 0);
	else
		hold_decide(connection);
	if (connection->state == CONNECTION_HELD)
		connection_watch_client(connection);
}

void connection_watch_client(struct connection *connection)
{
	if (connection_watch(connection, &connection->peers[CLIENT]) < 0)
		connection_close(connection, CLOSE_ERROR, ENOMEM);
}

void connection_pace(struct connection *connection)
{
	uint64_t pace = connection->side->state.pace;

	/* All bits set mean no limit. Where the kernel cannot, the limit at the guest's end is left. */
	pace = pace ? pace : UINT64_MAX;
	setsockopt(connection->peers[CLIENT].fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace));
}

/* A rare thing to ask for, so no list is kept for it: all are looked at. */
void connections_reset_endpoint(struct worker *worker, const struct fwd_endpoint *endpoint)
{
	struct route_side *side;

	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		struct connection *connection, *next;

		LIST_FOREACH_SAFE(connection, &side->connections, of_side, next)
		{
			if (connection->endpoint == endpoint)
				connection_close(connection, CLOSE_UNREGISTERED, 0);
		}
	}
}
