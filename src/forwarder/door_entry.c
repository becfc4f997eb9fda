/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client is judged by the policy as main has it now, which may be newer than the worker's last message: once a change was answered,
 * the next client meets it. Each client has an endpoint of its own, because the port and the token are its own.
 */
#include "forwarder/door_entry.h"

#include "base/sandbox_name.h"
#include "door/judge.h"
#include "forwarder/admission.h"
#include "forwarder/arrival.h"
#include "forwarder/door_refuse.h"
#include "forwarder/door_table.h"
#include "forwarder/endpoint.h"
#include "forwarder/fair_share.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <string.h>

/* A client that is on its way in. */
struct door_entry {
	struct endpoint_share *share;
	const struct door_request *request;
	int fd;
	struct route_state state; /* of the route that it wants */
};

static bool fwd_door_turn_away(struct door_entry *entry, const struct fwd_route *route, enum door_refusal refusal,
			       enum fwd_close_reason reason)
{
	const struct door_request *request = entry->request;
	char endpoint[ADDR_TEXT_SIZE], client[ADDR_TEXT_SIZE];

	fwd_tally_drop(entry->share->worker->forwarder, reason, 1);
	log_limited(&fwd_admission_lines, LOG_INFO_LEVEL, "connection ended",
		    F_STR("sandbox", route ? route->id : NULL), F_STR("asked", request->name),
		    F_STR("endpoint", fwd_endpoint_format_door(request->port, endpoint)),
		    F_STR("client", fwd_endpoint_format_client(&request->client, client)),
		    F_STR("reason", fwd_close_reason_name(reason)));
	fwd_door_refuse(entry->share->worker, &entry->fd, request->kind, refusal, 0);
	return false;
}

/* Health checks come each second and are no client's mistake: they are neither counted nor logged. */
static bool fwd_door_find_nobody(struct door_entry *entry)
{
	const struct door_request *request = entry->request;

	if (strcmp(request->name, BASE_NAME_OF_CHECKS) != 0)
		return fwd_door_turn_away(entry, NULL, DOOR_REFUSAL_NOT_FOUND, CLOSE_NO_SANDBOX);
	fwd_door_answer(entry->share->worker, &entry->fd, request->kind, DOOR_REFUSAL_NOT_FOUND, 0);
	return false;
}

static bool fwd_door_judge(struct door_entry *entry, const struct fwd_route *route)
{
	switch (door_judge(&entry->state.door, entry->request->port, &entry->request->token)) {
	case DOOR_LET_IN:
		return true;
	case DOOR_SHUT:
		return fwd_door_turn_away(entry, route, DOOR_REFUSAL_PORT_CLOSED, CLOSE_DOOR_CLOSED);
	case DOOR_NO_TOKEN:
		return fwd_door_turn_away(entry, route, DOOR_REFUSAL_TOKEN_MISSING, CLOSE_DOOR_TOKEN);
	case DOOR_WRONG_TOKEN:
		return fwd_door_turn_away(entry, route, DOOR_REFUSAL_TOKEN_INVALID, CLOSE_DOOR_TOKEN);
	}
	return false;
}

/* The number that the client is told: the limit, or in a shortage the connections that there are. */
static unsigned fwd_door_limit(const struct door_entry *entry, const struct fwd_route *route)
{
	unsigned limit = fwd_route_state_connections(&entry->state, DIRECTION_IN);

	return limit ? limit : (unsigned)fwd_tally_route_connections(route);
}

static bool fwd_door_admit(struct door_entry *entry, struct fwd_route *route, const struct arrival *arrival)
{
	if (fwd_admission_take(route, &entry->state, DIRECTION_IN, SHARE_CONNECTION))
		return true;
	fwd_admission_refuse(arrival->side, arrival->endpoint, &arrival->client);
	fwd_door_refuse(arrival->side->worker, &entry->fd, entry->request->kind, DOOR_REFUSAL_LIMIT,
			fwd_door_limit(entry, route));
	return false;
}

/*
 * Admitted: to a worker with less to do, or counted for this one. While nobody accepts, it stays here, for the others may have written
 * down already what they hand over.
 */
static bool fwd_door_send_on(struct endpoint_share *share, const struct fwd_route *route, struct arrival *arrival)
{
	bool accepts = !fwd_admission_is_paused(share->worker->forwarder);
	const struct endpoint_share *chosen = accepts ? fwd_arrival_choose(share) : share;

	if (chosen != share && fwd_arrival_hand_over(route->sides[chosen->worker->index], *arrival))
		return false;
	fwd_arrival_count(arrival);
	return true;
}

static bool fwd_door_go_in(struct door_entry *entry, struct fwd_route *route, uint64_t accepted_us,
			   struct arrival *arrival)
{
	struct endpoint_share *share = entry->share;
	struct fwd_endpoint *endpoint =
	    fwd_endpoint_new_door(entry->request->kind, entry->request->port, &entry->request->token);
	bool here;

	if (!endpoint)
		return fwd_door_turn_away(entry, route, DOOR_REFUSAL_STARTING, CLOSE_ERROR);
	/* There are sides for all workers that may come here: fwd_route_new(). */
	*arrival = (struct arrival){ .fd = entry->fd,
				     .client = entry->request->client,
				     .endpoint = endpoint,
				     .side = route->sides[share->worker->index],
				     .accepted_us = accepted_us };
	here = fwd_door_admit(entry, route, arrival) && fwd_door_send_on(share, route, arrival);
	/* The connection has its own reference. */
	fwd_endpoint_release(endpoint);
	return here;
}

bool fwd_door_enter(struct endpoint_share *share, const struct door_request *request, int fd, uint64_t accepted_us,
		    struct arrival *arrival)
{
	struct door_entry entry = { .share = share, .request = request, .fd = fd };
	struct fwd_route *route = fwd_door_table_find(share->worker->forwarder, request->name);

	if (!route)
		return fwd_door_find_nobody(&entry);
	pthread_mutex_lock(&route->lock);
	entry.state = route->state;
	pthread_mutex_unlock(&route->lock);
	return fwd_door_judge(&entry, route) && fwd_door_go_in(&entry, route, accepted_us, arrival);
}
