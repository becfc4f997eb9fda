/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of a worker's connections to one route, and the end of that list.
 */
#include "forwarder/route_side.h"

#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

void fwd_route_side_read(struct route_side *side)
{
	pthread_mutex_lock(&side->route->lock);
	side->state = side->route->state;
	side->update_posted = false;
	pthread_mutex_unlock(&side->route->lock);
}

struct route_side *fwd_route_side_backend(struct route_side *side)
{
	struct route_side *backend;

	pthread_mutex_lock(&side->route->lock);
	backend = side->backend;
	pthread_mutex_unlock(&side->route->lock);
	return backend;
}

bool fwd_route_side_has_no_backend(const struct route_side *side)
{
	return !side->route->id[0];
}

void fwd_route_side_know(struct route_side *side)
{
	if (!side->known)
		LIST_INSERT_HEAD(&side->worker->sides, side, of_worker);
	side->known = true;
}

void fwd_route_side_add(struct route_side *side, struct connection *connection)
{
	fwd_route_side_know(side);
	connection->side = side;
	LIST_INSERT_HEAD(&side->connections, connection, of_side);
	side->count++;
}

void fwd_route_side_remove(struct connection *connection)
{
	LIST_REMOVE(connection, of_side);
	connection->side->count--;
}

void fwd_route_side_check_empty(struct route_side *side)
{
	if (!side->state.closing || side->count || side->empty_reported || fwd_tally_is_coming(side))
		return;
	side->empty_reported = true;
	base_mailbox_post(side->route->forwarder->mailbox, &side->empty);
}
