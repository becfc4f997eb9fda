/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each call of fwd_route_await_client() begins a turn, which has a number. The first client of a turn writes itself into the route, and its
 * worker posts the route's one message, so a crowd costs main no more than one client does. If main has begun another turn before the message
 * arrives, a client of that turn is written over the former one, and needs no message of its own.
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
	free(route->ask.ignored);
}

/* COUNT items of SIZE; NULL: none. 0, or -1 without memory. */
static int fwd_ask_copy(void **copy, const void *items, size_t count, size_t size)
{
	*copy = count ? malloc(count * size) : NULL;
	if (*copy)
		memcpy(*copy, items, count * size);
	return *copy || !count ? 0 : -1;
}

int fwd_ask_set(struct fwd_route *route, const struct fwd_wake *wake)
{
	static const struct fwd_wake none = { 0 };
	const struct fwd_wake *is = wake ? wake : &none;
	struct route_ask *ask = &route->ask;
	void *ports, *ignored, *former[] = { ask->ports, ask->ignored };

	if (fwd_ask_copy(&ports, is->ports, is->port_count, sizeof(*is->ports)) < 0)
		return -1;
	if (fwd_ask_copy(&ignored, is->ignored, is->ignored_count, sizeof(*is->ignored)) < 0) {
		free(ports);
		return -1;
	}
	pthread_mutex_lock(&route->lock);
	ask->any = is->any;
	ask->endpoints = is->endpoints;
	ask->ports = ports;
	ask->port_count = is->port_count;
	ask->ignored = ignored;
	ask->ignored_count = is->ignored_count;
	pthread_mutex_unlock(&route->lock);
	free(former[0]);
	free(former[1]);
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

/* Under the lock. */
static bool fwd_ask_is_meant(const struct route_ask *ask, const struct fwd_asking *asking)
{
	return (ask->endpoints && asking->proto == PROTO_TCP && !asking->door) ||
	       fwd_ask_has_port(ask, asking->proto, asking->guest_port);
}

/* Under the lock. */
static bool fwd_ask_is_ignored(const struct route_ask *ask, const struct addr *client)
{
	uint32_t ip;

	if (!ask->ignored_count || addr_to_ipv4(client, &ip) < 0)
		return false;
	for (size_t i = 0; i < ask->ignored_count; i++) {
		if (addr_cidr4_contains(&ask->ignored[i], ip))
			return true;
	}
	return false;
}

bool fwd_ask_ignores(const struct route_side *side, const struct addr *client)
{
	struct fwd_route *route = side->route;
	bool ignores;

	pthread_mutex_lock(&route->lock);
	ignores = fwd_ask_is_ignored(&route->ask, client);
	pthread_mutex_unlock(&route->lock);
	return ignores;
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
	first = turn == route->state.wake_turn && ask->told != turn && fwd_ask_is_meant(ask, asking) &&
		!fwd_ask_is_ignored(ask, &asking->client);
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
