/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The difference between two states of a route, as questions of the files that act on it. Of several reasons to end a connection
 * the widest is given.
 */
#include "forwarder/route_state.h"

unsigned fwd_route_state_connections(const struct route_state *state, enum fwd_direction direction)
{
	if (direction == DIRECTION_OUT)
		return state->connections_out;
	return state->limits.connections ? state->limits.connections : state->connections_unless_limited;
}

bool fwd_route_state_may_dial(const struct route_state *state)
{
	return state->up && !state->paused && state->netns_fd >= 0;
}

bool fwd_route_state_ends_all(const struct route_state *now, const struct route_state *before,
			      enum fwd_close_reason *reason)
{
	if (now->reset_all)
		*reason = now->reason;
	else if (now->gone && !before->gone)
		*reason = CLOSE_NO_NAMESPACE;
	else
		return false;
	return true;
}

bool fwd_route_state_ends_flows(const struct route_state *now, const struct route_state *before,
				enum fwd_close_reason *reason)
{
	if (fwd_route_state_ends_all(now, before, reason))
		return true;
	if (now->carrier_losses != before->carrier_losses)
		*reason = CLOSE_CARRIER_LOST;
	else if (now->flow_resets != before->flow_resets)
		*reason = CLOSE_PAUSED_RESET;
	else
		return false;
	return true;
}

bool fwd_route_state_ends_out(const struct route_state *now, const struct route_state *before,
			      enum fwd_close_reason *reason)
{
	if (fwd_route_state_ends_flows(now, before, reason))
		return true;
	if (!now->isolated || before->isolated)
		return false;
	*reason = CLOSE_UNREGISTERED;
	return true;
}

bool fwd_route_state_opens(const struct route_state *now, const struct route_state *before)
{
	return fwd_route_state_may_dial(now) && !fwd_route_state_may_dial(before);
}

bool fwd_route_state_limits(const struct route_state *now, const struct route_state *before)
{
	return now->limits.connect_deadline_ms != before->limits.connect_deadline_ms ||
	       now->limits.idle_ms != before->limits.idle_ms ||
	       now->limits.half_closed_ms != before->limits.half_closed_ms ||
	       now->limits.keepalive_ms != before->limits.keepalive_ms || now->door_hold_ms != before->door_hold_ms;
}

bool fwd_route_state_asks(const struct route_state *now, const struct route_state *before)
{
	return now->wake_timeout_ms != before->wake_timeout_ms || now->wake_turn != before->wake_turn;
}

bool fwd_route_state_pauses(const struct route_state *now, const struct route_state *before)
{
	return now->paused && !before->paused;
}

bool fwd_route_state_resumes(const struct route_state *now, const struct route_state *before)
{
	return !now->paused && before->paused;
}
