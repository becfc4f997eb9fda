/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection in words that the next run understands. Times become durations: the connection's clock stands still from now on, or has
 * done so since its route was paused. Most sockets are prepared already (freeze_prepare.c).
 */
#include "forwarder/connection.h"
#include "forwarder/endpoint.h"
#include "forwarder/freeze.h"
#include "forwarder/frozen.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How long ago THEN_MS was at NOW_MS. */
static uint64_t fwd_freeze_since(uint64_t then_ms, uint64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void fwd_freeze_describe_peer(const struct peer *peer, struct frozen_peer *frozen)
{
	if (peer->fd < 0)
		return;
	frozen->fd = peer->fd;
	frozen->special = peer->special;
	frozen->ended = peer->ended;
	frozen->cookie = peer->cookie;
}

static void fwd_freeze_describe_stream(const struct stream *stream, struct frozen_stream *frozen)
{
	struct stat status;

	frozen->bytes = stream->bytes;
	frozen->bulk = stream->bulk;
	frozen->bounded = stream->bounded;
	frozen->finished = stream->finished;
	if (stream->rest) {
		frozen->rest = stream->rest + stream->rest_at;
		frozen->rest_size = stream->rest_size - stream->rest_at;
	}
	if (stream->pipe.filled && fstat(stream->pipe.read_fd, &status) == 0) {
		frozen->pipe_read = stream->pipe.read_fd;
		frozen->pipe_write = stream->pipe.write_fd;
		frozen->pipe_filled = (uint32_t)stream->pipe.filled;
		frozen->pipe_inode = status.st_ino;
	}
}

static enum frozen_phase fwd_freeze_phase(const struct connection *connection)
{
	switch (fwd_connection_phase(connection)) {
	case CONNECTION_OPEN:
		return FROZEN_OPEN;
	case CONNECTION_LINGERING:
		return FROZEN_LINGERING;
	case CONNECTION_BORN:
	case CONNECTION_HELD:
	case CONNECTION_DIALING:
	case CONNECTION_CLOSED:
		break;
	}
	return FROZEN_HELD;
}

static void fwd_freeze_describe_times(const struct connection *connection, struct frozen *frozen)
{
	const struct route_side *side = connection->side;
	bool hurried = frozen->kind == FROZEN_DOOR && frozen->phase == FROZEN_HELD && !side->state.wake_timeout_ms;
	bool stands = side->state.paused && !hurried;
	uint64_t now_ms = stands ? side->paused_at_ms : connection->worker->now_ms;
	uint64_t now_us = clock_now_us();

	frozen->age_us = now_us > connection->accepted_us ? now_us - connection->accepted_us : 0;
	if (frozen->phase == FROZEN_HELD) {
		if (connection->refused_ms)
			frozen->refused_ms = fwd_freeze_since(connection->refused_ms, now_ms);
	} else {
		frozen->connect_ms = fwd_freeze_since(connection->accepted_ms, connection->connected_ms);
	}
	if (frozen->phase != FROZEN_OPEN) {
		frozen->deadline_ms = fwd_freeze_since(now_ms, connection->deadline_ms);
		return;
	}
	frozen->idle_ms = fwd_freeze_since(connection->active_ms, now_ms);
	if (connection->half_closed_ms)
		frozen->half_closed_ms = fwd_freeze_since(connection->half_closed_ms, now_ms);
	if (connection->settle_ms != WHEEL_NEVER)
		frozen->settle_ms = fwd_freeze_since(now_ms, connection->settle_ms);
}

static void fwd_freeze_describe_connection(struct connection *connection, struct frozen *frozen)
{
	bool held;

	fwd_freeze_prepare_connection(connection);
	fwd_frozen_init(frozen);
	if (connection->direction == DIRECTION_OUT) {
		frozen->kind = FROZEN_SERVICE;
		frozen->target = connection->endpoint->target;
	}
	if (connection->endpoint->door) {
		frozen->kind = FROZEN_DOOR;
		frozen->door_kind = connection->endpoint->kind;
		frozen->door_token = connection->endpoint->token;
	}
	frozen->phase = fwd_freeze_phase(connection);
	held = frozen->phase == FROZEN_HELD;
	frozen->id = connection->id;
	frozen->client = connection->client;
	frozen->listen = connection->endpoint->listen;
	frozen->guest_port = connection->endpoint->guest_port;
	frozen->proxy_protocol = connection->endpoint->proxy_protocol;
	frozen->leaving = held && connection->leaving;
	frozen->dials = connection->dials;
	frozen->error = connection->error;
	fwd_freeze_describe_times(connection, frozen);
	fwd_freeze_describe_peer(&connection->peers[CLIENT], &frozen->peers[CLIENT]);
	if (!held)
		fwd_freeze_describe_peer(&connection->peers[SERVER], &frozen->peers[SERVER]);
	fwd_freeze_describe_stream(&connection->streams[CLIENT], &frozen->streams[CLIENT]);
	fwd_freeze_describe_stream(&connection->streams[SERVER], &frozen->streams[SERVER]);
}

static void fwd_freeze_describe_route(const struct route_side *side, struct frozen_route *route)
{
	const struct route_state *state = &side->state;
	struct stat status;

	strncpy(route->id, side->route->id, sizeof(route->id) - 1);
	route->slot = side->route->slot;
	route->carrier_downs = state->carrier_downs;
	route->paused = state->paused;
	route->limits = state->limits;
	route->pace = state->pace;
	if (state->netns_fd >= 0 && fstat(state->netns_fd, &status) == 0) {
		route->netns_device = status.st_dev;
		route->netns_inode = status.st_ino;
	}
}

static int fwd_freeze_describe_side(const struct route_side *side, struct frozen_list *routes)
{
	struct frozen_route *route = fwd_frozen_route_new();
	struct connection *connection;

	if (!route)
		return -1;
	STAILQ_INSERT_TAIL(routes, route, next);
	fwd_freeze_describe_route(side, route);
	if (vec_reserve(route, side->count) < 0)
		return -1;
	LIST_FOREACH(connection, &side->connections, of_side)
	{
		struct frozen *frozen = vec_push(route);

		if (!frozen)
			return -1;
		fwd_freeze_describe_connection(connection, frozen);
	}
	return 0;
}

int fwd_freeze_describe(struct worker *worker, struct frozen_list *routes)
{
	const struct route_side *side;

	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		if (!LIST_EMPTY(&side->connections) && fwd_freeze_describe_side(side, routes) < 0)
			return -1;
	}
	return 0;
}

void fwd_freeze_forget(struct frozen_list *routes)
{
	struct frozen_route *route;

	while ((route = STAILQ_FIRST(routes))) {
		STAILQ_REMOVE_HEAD(routes, next);
		vec_free(route);
		free(route);
	}
}
