/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port is noted on a list of its side, and a message to main says that the list has grown; while one is under way, no second one is
 * sent. A worker that has not heard of a lost carrier yet may still note a port of the former guest. Main tells by the number of losses that
 * the list is older than the present guest, and the worker empties it when it hears of the loss.
 */
#include "forwarder/answered.h"

#include "base/container_of.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/route.h"

enum { ANSWERED_UDP = 1 << 16 }; /* beside the port */

static bool fwd_answered_has(const struct answered *answered, uint32_t port)
{
	for (size_t i = 0; i < answered->ports.count; i++)
		if (answered->ports.items[i] == port)
			return true;
	return false;
}

/* A port that main was not told of yet; false: there is none. Main thread. */
static bool fwd_answered_next(struct route_side *side, uint32_t *port)
{
	struct answered *answered = &side->answered;
	bool more;

	pthread_mutex_lock(&side->route->lock);
	if (answered->losses != side->route->state.losses)
		answered->told = answered->ports.count;
	more = answered->told < answered->ports.count;
	if (more)
		*port = answered->ports.items[answered->told++];
	else
		answered->posted = false;
	pthread_mutex_unlock(&side->route->lock);
	return more;
}

static void fwd_answered_on_news(struct mail *mail)
{
	struct route_side *side = container_of(mail, struct route_side, answered.news);
	const struct fwd_route *route = side->route;
	uint32_t port;

	while (fwd_answered_next(side, &port))
		if (route->answered && !route->dying)
			route->answered(route->answered_context, (uint16_t)port,
					port & ANSWERED_UDP ? PROTO_UDP : PROTO_TCP);
}

void fwd_answered_init(struct route_side *side)
{
	side->answered.news.deliver = fwd_answered_on_news;
	side->answered.losses = side->state.losses;
}

void fwd_answered_free(struct route_side *side)
{
	vec_free(&side->answered.ports);
}

void fwd_answered_note(struct route_side *side, const struct fwd_endpoint *endpoint, enum proto proto)
{
	struct answered *answered = &side->answered;
	uint32_t port = endpoint->guest_port | (proto == PROTO_UDP ? ANSWERED_UDP : 0), *item;
	bool posted;

	if (!side->route->answered || endpoint->door || endpoint->direction == DIRECTION_OUT ||
	    !addr_is_loopback(&endpoint->listen) || fwd_answered_has(answered, port))
		return;
	pthread_mutex_lock(&side->route->lock);
	item = vec_push(&answered->ports);
	if (item)
		*item = port;
	/* Without memory it is noted with the next connection. */
	posted = answered->posted || !item;
	answered->posted |= item != NULL;
	pthread_mutex_unlock(&side->route->lock);
	if (!posted)
		base_mailbox_post(side->route->forwarder->mailbox, &answered->news);
}

void fwd_answered_follow(struct route_side *side)
{
	struct answered *answered = &side->answered;

	if (answered->losses == side->state.losses)
		return;
	pthread_mutex_lock(&side->route->lock);
	answered->ports.count = answered->told = 0;
	answered->losses = side->state.losses;
	pthread_mutex_unlock(&side->route->lock);
}
