/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Main gives each wait for a client a number, the turn. The first client of a turn writes itself into the route and posts the route's
 * one message, so a crowd costs main no more than one client does. Where main has begun another turn meanwhile, the message that is
 * under way serves for that one.
 */
#include "forwarder/asking.h"

#include "base/container_of.h"
#include "forwarder/core.h"
#include "forwarder/route.h"

#include <stdlib.h>
#include <string.h>

/* Main thread. */
static void fwd_ask_on_message(struct mail *mail)
{
	struct fwd_route *route = container_of(mail, struct fwd_route, ask.mail);
	struct fwd_asking asking;
	bool current;

	pthread_mutex_lock(&route->lock);
	route->ask.posted = false;
	asking = route->ask.asking;
	current = route->state.paused && route->ask.told == route->state.wake_turn;
	pthread_mutex_unlock(&route->lock);
	if (current && !route->dying && route->ask.asked)
		route->ask.asked(route->ask.context, &asking);
}

void fwd_ask_init(struct fwd_route *route)
{
	route->ask.mail.deliver = fwd_ask_on_message;
}

void fwd_ask_free(struct fwd_route *route)
{
	free(route->ask.ports);
}

int fwd_ask_set_ports(struct fwd_route *route, const struct fwd_wake *wake)
{
	size_t count = wake ? wake->port_count : 0;
	struct fwd_wake_port *ports = NULL, *former;

	if (count) {
		ports = calloc(count, sizeof(*ports));
		if (!ports)
			return -1;
		memcpy(ports, wake->ports, count * sizeof(*ports));
	}
	pthread_mutex_lock(&route->lock);
	former = route->ask.ports;
	route->ask.any = wake && wake->any;
	route->ask.ports = ports;
	route->ask.port_count = count;
	pthread_mutex_unlock(&route->lock);
	free(former);
	return 0;
}

/* Under the lock. */
static bool fwd_ask_has_port(const struct route_ask *ask, enum proto proto, uint16_t port)
{
	for (size_t i = 0; i < ask->port_count; i++) {
		if (ask->ports[i].port == port && ask->ports[i].proto == proto)
			return true;
	}
	return ask->any;
}

bool fwd_ask_counts(const struct route_side *side, enum proto proto, uint16_t port)
{
	struct fwd_route *route = side->route;
	bool counts;

	if (!side->state.paused || !side->state.wake_timeout_ms)
		return false;
	pthread_mutex_lock(&route->lock);
	counts = fwd_ask_has_port(&route->ask, proto, port);
	pthread_mutex_unlock(&route->lock);
	return counts;
}

void fwd_ask(struct route_side *side, const struct fwd_asking *asking)
{
	struct fwd_route *route = side->route;
	struct route_ask *ask = &route->ask;
	unsigned turn = side->state.wake_turn;
	bool first, post = false;

	if (!side->state.paused || !turn || side->asked_turn == turn)
		return;
	pthread_mutex_lock(&route->lock);
	first = turn == route->state.wake_turn && ask->told != turn &&
		fwd_ask_has_port(ask, asking->proto, asking->guest_port);
	if (first) {
		ask->told = turn;
		ask->asking = *asking;
		post = !ask->posted;
		ask->posted = true;
	}
	if (ask->told == turn)
		side->asked_turn = turn;
	pthread_mutex_unlock(&route->lock);
	if (post)
		base_mailbox_post(route->forwarder->mailbox, &ask->mail);
}
