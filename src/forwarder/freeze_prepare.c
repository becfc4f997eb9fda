/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some of what a handover needs of a socket can be had before the connections stand still, and is had then, because each of these
 * calls takes the socket's lock: a microsecond and more where its memory is cold, for thousands of sockets.
 *
 * All sockets are set to end by reset. If nobody takes them over, their last copy is closed by the service manager. With a FIN a
 * download that was cut short would look whole, and the guest's socket would pin the sandbox's namespace. Whoever closes a socket
 * in order sets that right (close.c).
 */
#include "forwarder/connection.h"
#include "forwarder/freeze.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

enum {
	PREPARE_LEAST = 256, /* connections in one iteration, about a millisecond */
	PREPARE_SHARE = 16,  /* or this part of all, because each iteration passes by those that are prepared */
};

static void fwd_freeze_prepare_peer(struct peer *peer)
{
	if (peer->fd < 0)
		return;
	if (!peer->cookie)
		fwd_socket_cookie(peer->fd, &peer->cookie);
	if (!peer->resets)
		fwd_socket_end_by_reset(peer->fd, true);
	peer->resets = true;
}

void fwd_freeze_prepare_connection(struct connection *connection)
{
	fwd_freeze_prepare_peer(&connection->peers[CLIENT]);
	fwd_freeze_prepare_peer(&connection->peers[SERVER]);
}

static bool fwd_freeze_is_prepared(const struct connection *connection)
{
	for (size_t i = 0; i < 2; i++)
		if (connection->peers[i].fd >= 0 && !connection->peers[i].resets)
			return false;
	return true;
}

bool fwd_freeze_prepare(struct worker *worker)
{
	size_t left = PREPARE_LEAST + fwd_tally_load(worker) / PREPARE_SHARE;
	const struct route_side *side;
	struct connection *connection;

	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		LIST_FOREACH(connection, &side->connections, of_side)
		{
			if (fwd_freeze_is_prepared(connection))
				continue;
			if (!left--)
				return true;
			fwd_freeze_prepare_connection(connection);
		}
	}
	return false;
}

void fwd_freeze_unwatch(struct worker *worker)
{
	struct route_side *side;
	struct connection *connection;

	/* Otherwise each is taken out by itself. */
	if (fwd_poller_reduce(worker->poller, base_mailbox_fd(worker->mailbox), &worker->messages) < 0)
		return;
	LIST_FOREACH(side, &worker->sides, of_worker)
	{
		LIST_FOREACH(connection, &side->connections, of_side)
		{
			connection->peers[CLIENT].watched = false;
			connection->peers[SERVER].watched = false;
		}
	}
}
