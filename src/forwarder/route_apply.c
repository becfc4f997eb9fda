/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker follows a change of a route: its connections there by their states' operations, its UDP flows by the reasons that end
 * them.
 */
#include "base/container_of.h"
#include "forwarder/connection.h"
#include "forwarder/route_side.h"
#include "forwarder/udp.h"
#include "forwarder/worker.h"

static void fwd_route_apply_to_flows(struct route_side *side, const struct route_state *before)
{
	enum fwd_close_reason reason;

	if (fwd_route_state_ends_flows(&side->state, before, &reason))
		fwd_udp_side_reset(side, reason);
	fwd_udp_side_follow(side, before);
}

void fwd_route_apply_on_message(struct mail *mail)
{
	struct route_side *side = container_of(mail, struct route_side, update);
	struct route_state before = side->state;
	struct connection *connection, *next;

	fwd_route_side_read(side);
	fwd_answered_follow(side);
	if (fwd_route_state_pauses(&side->state, &before))
		side->paused_at_ms = side->state.paused_since_ms ? side->state.paused_since_ms : side->worker->now_ms;
	/* An operation may close the connection it is given, or move it to another side, and does no more to the list. */
	LIST_FOREACH_SAFE(connection, &side->connections, of_side, next)
	connection->state->route_changed(connection, &before);
	fwd_route_apply_to_flows(side, &before);
	fwd_route_side_check_empty(side);
}
