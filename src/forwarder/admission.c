/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The share comes first, as it only reads; the limits then take the connection's place. A pause is for want of any descriptor, so
 * a flood of one sandbox's clients never causes it: these are refused long before.
 */
#include "forwarder/admission.h"

#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>

bool fwd_admission_take(struct fwd_route *route, const struct route_state *state, enum fwd_direction direction,
			int cost)
{
	return fwd_share_allows(route, cost) && fwd_tally_admit(route, direction, state->connections_for_all,
								fwd_route_state_connections(state, direction));
}

const struct log_limit fwd_admission_lines = { .burst = 20, .interval_ms = 60000 };

void fwd_admission_refuse(const struct route_side *side, const struct fwd_endpoint *endpoint, const struct addr *client)
{
	char listen[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE];

	fwd_tally_refuse(side->worker->forwarder);
	if (!log_limit_allows(&fwd_admission_lines, LOG_INFO_LEVEL, "connection ended", side->route->id))
		return;
	log_info("connection ended", F_SIDE(side), F_STR("direction", F_DIRECTION(endpoint->direction)),
		 F_STR("endpoint", fwd_endpoint_format(endpoint, listen)),
		 F_STR("client", fwd_endpoint_format_client(client, from)),
		 F_STR("reason", fwd_close_reason_name(CLOSE_LIMIT)));
}

bool fwd_admission_is_paused(const struct forwarder *forwarder)
{
	return atomic_load_explicit(&forwarder->admission.paused, memory_order_relaxed);
}

/* The message is free again: no pause ends before its delivery. */
void fwd_admission_pause(struct forwarder *forwarder, int error)
{
	if (atomic_exchange(&forwarder->admission.paused, true))
		return;
	atomic_store(&forwarder->admission.pause_error, error);
	base_mailbox_post(forwarder->mailbox, &forwarder->admission.pause);
}

bool fwd_admission_is_open(struct forwarder *forwarder)
{
	if (fwd_admission_is_paused(forwarder))
		return false;
	if (fwd_share_has_room(forwarder, SHARE_CONNECTION))
		return true;
	fwd_admission_pause(forwarder, EMFILE);
	return false;
}
