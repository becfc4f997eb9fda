/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics for other rooms. Counters are each worker's own, and the sums are made anew for each question.
 */
#include "forwarder/core.h"
#include "forwarder/tally.h"

const char *fwd_close_reason_name(enum fwd_close_reason reason)
{
	switch (reason) {
	case CLOSE_DONE:
		return "done";
	case CLOSE_CLIENT_RESET:
		return "client-reset";
	case CLOSE_GUEST_RESET:
		return "guest-reset";
	case CLOSE_GUEST_REFUSED:
		return "guest-refused";
	case CLOSE_CONNECT_DEADLINE:
		return "connect-deadline";
	case CLOSE_ASLEEP:
		return "asleep";
	case CLOSE_NO_SANDBOX:
		return "no-sandbox";
	case CLOSE_NO_PORT:
		return "no-port";
	case CLOSE_CARRIER_LOST:
		return "carrier-lost";
	case CLOSE_NO_ROUTE:
		return "no-route";
	case CLOSE_NO_NAMESPACE:
		return "no-namespace";
	case CLOSE_LIMIT:
		return "limit";
	case CLOSE_IDLE:
		return "idle";
	case CLOSE_HALF_CLOSED:
		return "half-closed";
	case CLOSE_PAUSED_RESET:
		return "paused-reset";
	case CLOSE_UNREGISTERED:
		return "unregistered";
	case CLOSE_SHUTDOWN:
		return "shutdown";
	case CLOSE_HANDOVER_LOST:
		return "handover-lost";
	case CLOSE_PROXY_REFUSED:
		return "proxy-refused";
	case CLOSE_DOOR_TOKEN:
		return "door-token";
	case CLOSE_DOOR_CLOSED:
		return "door-closed";
	case CLOSE_ERROR:
		return "error";
	}
	return "unknown";
}

const char *fwd_direction_name(enum fwd_direction direction)
{
	switch (direction) {
	case DIRECTION_IN:
		return "in";
	case DIRECTION_OUT:
		return "out";
	}
	return "unknown";
}

void fwd_stats(const struct forwarder *forwarder, struct fwd_stats *stats)
{
	*stats = (struct fwd_stats){
		.accept_pauses = forwarder->accept_pause.count,
		.descriptors = fwd_share_in_use(forwarder),
		.descriptor_limit = forwarder->fair_share.limit,
	};
	fwd_share_add_stats(forwarder, stats);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		fwd_tally_add_worker(forwarder->workers[i], stats);
	/* After the ends: a connection that is counted there is not open any more. */
	fwd_tally_add_own(forwarder, stats);
}

void fwd_door_stats(const struct forwarder *forwarder, struct fwd_door_stats *stats)
{
	fwd_tally_read_door(forwarder, stats);
}

void fwd_route_stats(const struct fwd_route *route, struct fwd_route_stats *stats)
{
	fwd_tally_read_route(route, stats);
}
