/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection of the former run lives again, on this worker. It is proved first that its descriptors are the very objects that were
 * described. A socket is known by its cookie: addresses would not do, because a socket whose peer has gone has none any more, and may
 * still hold bytes. A pipe is known by its inode and by how much is in it.
 *
 * It begins with its route as it knew it, and then follows the change to what the route is now, as any connection does. The poller
 * reports a new descriptor's readiness anew, a pending urgent byte and an error too, so nothing that came meanwhile is missed. So no
 * socket is read before: most have nothing, and finding that out twice for each takes longer than anything else here.
 */
#include "base/container_of.h"
#include "base/slab.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/thaw.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* ---- The proof ---- */

static bool fwd_thaw_is_pipe_end(int fd, int mode, uint64_t inode)
{
	struct stat status;
	int flags = fcntl(fd, F_GETFL);

	return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_ino == inode && flags >= 0 &&
	       (flags & O_ACCMODE) == mode && flags & O_NONBLOCK;
}

static bool fwd_thaw_prove_stream(const struct frozen_stream *stream)
{
	int filled = 0;

	if (!stream->pipe_filled)
		return true;
	return fwd_thaw_is_pipe_end(stream->pipe_read, O_RDONLY, stream->pipe_inode) &&
	       fwd_thaw_is_pipe_end(stream->pipe_write, O_WRONLY, stream->pipe_inode) &&
	       ioctl(stream->pipe_read, FIONREAD, &filled) == 0 && (uint32_t)filled == stream->pipe_filled;
}

static bool fwd_thaw_prove_peer(const struct frozen_peer *peer)
{
	uint64_t cookie;

	return peer->fd < 0 || (fwd_socket_cookie(peer->fd, &cookie) == 0 && cookie == peer->cookie);
}

static bool fwd_thaw_prove(const struct frozen *frozen, uint64_t age_us)
{
	return fwd_thaw_prove_peer(&frozen->peers[CLIENT]) && fwd_thaw_prove_peer(&frozen->peers[SERVER]) &&
	       fwd_thaw_prove_stream(&frozen->streams[CLIENT]) && fwd_thaw_prove_stream(&frozen->streams[SERVER]) &&
	       age_us < clock_now_us();
}

/* ---- The parts ---- */

static struct peer fwd_thaw_peer(struct frozen_peer *frozen, enum which which)
{
	/* What there is to read, the poller reports. */
	struct peer peer = { .fd = frozen->fd,
			     .which = which,
			     .writable = true,
			     .special = frozen->special,
			     .ended = frozen->ended,
			     .resets = true,
			     .cookie = frozen->cookie };

	frozen->fd = -1;
	return peer;
}

static void fwd_thaw_stream(struct route_side *side, struct frozen_stream *frozen, struct stream *stream)
{
	stream->pipe = PIPE_NONE;
	stream->bytes = frozen->bytes;
	stream->bulk = frozen->bulk;
	stream->finished = frozen->finished;
	stream->rest = frozen->rest;
	stream->rest_size = frozen->rest_size;
	frozen->rest = NULL;
	if (frozen->bounded)
		fwd_stream_take_bounds(side->worker, stream);
	if (frozen->pipe_filled)
		fwd_stream_take_pipe(side, stream, frozen->pipe_read, frozen->pipe_write, frozen->pipe_filled);
	frozen->pipe_read = frozen->pipe_write = -1;
}

/* The moment at which the connection's clock stands. */
static uint64_t fwd_thaw_clock_ms(const struct route_side *side)
{
	return side->state.paused ? side->paused_at_ms : side->worker->now_ms;
}

static void fwd_thaw_times(struct connection *connection, const struct frozen *frozen, uint64_t age_us)
{
	uint64_t now_ms = fwd_thaw_clock_ms(connection->side);

	connection->accepted_us = clock_now_us() - age_us;
	connection->accepted_ms = connection->accepted_us / 1000;
	connection->deadline_ms = now_ms + frozen->deadline_ms;
	if (frozen->kind == FROZEN_DOOR && frozen->phase == FROZEN_HELD && !connection->side->state.wake_timeout_ms)
		connection->deadline_ms = connection->worker->now_ms + frozen->deadline_ms;
	if (frozen->refused_ms != FROZEN_NEVER)
		connection->refused_ms = now_ms - frozen->refused_ms;
	if (frozen->phase == FROZEN_HELD)
		return;
	connection->connected_ms = connection->accepted_ms + frozen->connect_ms;
	connection->active_ms = now_ms - frozen->idle_ms;
	if (frozen->half_closed_ms != FROZEN_NEVER)
		connection->half_closed_ms = now_ms - frozen->half_closed_ms;
	connection->settle_ms = frozen->settle_ms == FROZEN_NEVER ? WHEEL_NEVER : now_ms + frozen->settle_ms;
}

/* ---- By state ---- */

static void fwd_thaw_begin_held(struct connection *connection, const struct route_state *before)
{
	connection->state->route_changed(connection, before);
	if (fwd_connection_phase(connection) == CONNECTION_HELD)
		connection->state->go_on(connection);
	if (fwd_connection_phase(connection) == CONNECTION_HELD &&
	    fwd_connection_watch(connection, &connection->peers[CLIENT]) < 0)
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
}

static void fwd_thaw_begin_open(struct connection *connection, const struct route_state *before)
{
	if (fwd_connection_watch(connection, &connection->peers[CLIENT]) < 0 ||
	    fwd_connection_watch(connection, &connection->peers[SERVER]) < 0) {
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	if (!connection->side->state.paused)
		fwd_timeouts_begin(connection);
	connection->state->route_changed(connection, before);
}

static void fwd_thaw_begin_lingering(struct connection *connection, const struct route_state *before)
{
	if (fwd_connection_watch(connection, fwd_connection_guest(connection)) < 0) {
		fwd_connection_close(connection, CLOSE_ERROR, ENOMEM);
		return;
	}
	if (!connection->side->state.paused)
		fwd_connection_wait(connection, connection->deadline_ms);
	connection->state->route_changed(connection, before);
}

struct thaw_phase {
	const struct connection_state *state;
	void (*begin)(struct connection *connection, const struct route_state *before);
};

static const struct thaw_phase thaw_phases[] = {
	[FROZEN_HELD] = { &hold_state, fwd_thaw_begin_held },
	[FROZEN_OPEN] = { &pump_state, fwd_thaw_begin_open },
	[FROZEN_LINGERING] = { &linger_state, fwd_thaw_begin_lingering },
};

/* ---- The whole ---- */

static struct connection *fwd_thaw_make(struct route_side *side, struct thaw_item *item, uint64_t age_us)
{
	struct connection *connection = base_slab_alloc(side->worker->slab);
	struct frozen *frozen = item->frozen;

	if (!connection)
		return NULL;
	connection->worker = side->worker;
	fwd_route_side_add(side, connection);
	connection->endpoint = item->endpoint;
	connection->direction = item->endpoint->direction;
	connection->id = frozen->id;
	connection->client = frozen->client;
	if (connection->endpoint->door)
		fwd_tally_door_begin(side->worker->forwarder);
	connection->leaving = frozen->leaving;
	connection->dials = frozen->dials;
	connection->error = frozen->error;
	connection->peers[CLIENT] = fwd_thaw_peer(&frozen->peers[CLIENT], CLIENT);
	connection->peers[SERVER] = fwd_thaw_peer(&frozen->peers[SERVER], SERVER);
	fwd_thaw_stream(side, &frozen->streams[CLIENT], &connection->streams[CLIENT]);
	fwd_thaw_stream(side, &frozen->streams[SERVER], &connection->streams[SERVER]);
	fwd_thaw_times(connection, frozen, age_us);
	fwd_connection_become(connection, thaw_phases[frozen->phase].state);
	return connection;
}

static void fwd_thaw_turn_away(struct route_side *side, struct thaw_item *item)
{
	fwd_frozen_reset(item->frozen);
	fwd_tally_end(side, item->endpoint->direction, CLOSE_HANDOVER_LOST);
	fwd_endpoint_release(item->endpoint);
}

/* As fwd_connection_is_ended() has it, a client that is held takes no part in the guest's flows. */
static bool fwd_thaw_ends(const struct thaw_verdict *verdict, const struct connection *connection)
{
	bool flow = connection->direction == DIRECTION_OUT || fwd_connection_phase(connection) != CONNECTION_HELD;

	return verdict->all_end || (verdict->flows_end && flow);
}

/* Whether it lives. */
static bool fwd_thaw_revive(struct thaw_letter *letter, struct thaw_item *item)
{
	enum frozen_phase phase = item->frozen->phase;
	uint64_t age_us = item->frozen->age_us + letter->gap_us;
	bool proved = fwd_thaw_prove(item->frozen, age_us);
	struct connection *connection = fwd_thaw_make(letter->side, item, proved ? age_us : 0);

	if (!connection) {
		fwd_thaw_turn_away(letter->side, item);
		return false;
	}
	if (!proved) {
		fwd_connection_close(connection, CLOSE_HANDOVER_LOST, 0);
		return false;
	}
	if (fwd_thaw_ends(&letter->verdict, connection)) {
		fwd_connection_close(connection, letter->verdict.reason, 0);
		return false;
	}
	thaw_phases[phase].begin(connection, &letter->before);
	return true;
}

void fwd_thaw_on_letter(struct mail *mail)
{
	struct thaw_letter *letter = container_of(mail, struct thaw_letter, mail);
	struct route_side *side = letter->side;

	fwd_tally_deliver(side);
	fwd_worker_tick(side->worker);
	/* A pause that ended between the freeze and now moves no time. One that began has its beginning, by which others here go too. */
	if (letter->before.paused && !side->state.paused)
		side->paused_at_ms = side->worker->now_ms;
	for (size_t i = 0; i < letter->count; i++) {
		if (fwd_thaw_revive(letter, &letter->items[i]))
			letter->taken++;
		else
			letter->lost++;
	}
	fwd_route_side_check_empty(side);
	/* The poller reports the mailbox before those that are revived now, so they are served behind the next letter, and no later. */
	base_mailbox_rest(side->worker->mailbox);
	mail->deliver = letter->answer;
	base_mailbox_post(side->worker->forwarder->mailbox, mail);
}
