/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Main has the route, and each worker with connections to it has a side of the route. Main writes the state under a lock and
 * posts one message to each side. A side that has not read the last message yet needs no second one, so notifying never fails.
 *
 * The end of a route takes two rounds of messages. First each side reports that its last connection is gone. Then main posts a
 * barrier to each, and frees when all are back. Messages stay in order, so no other that names a side is under way then. Only now
 * does the caller learn that the namespace's descriptor is free.
 */
#include "forwarder/route.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "config/config.h"
#include "forwarder/core.h"
#include "forwarder/fair_share.h"
#include "forwarder/handover.h"
#include "forwarder/listener.h"
#include "forwarder/probe.h"
#include "forwarder/thaw_wait.h"
#include "forwarder/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fwd_route_on_drained(void *context);
static void fwd_route_on_empty(struct mail *mail);

/* The limits that the configuration sets for all routes alike. */
static void fwd_route_take_common_limits(struct fwd_route *route, struct route_state *state)
{
	const struct config *config = route->forwarder->config;

	state->connections_out = config->egress.connections;
	state->refused_grace_ms = config->forwarder.refused_grace_ms;
	state->door_hold_ms = config->door.hold_ms;
	state->connections_for_all = config->forwarder.connections;
	/* Clients that wait for a default sandbox are no sandbox's. */
	state->connections_unless_limited = route->id[0] ? config->forwarder.sandbox_connections : 0;
	state->udp_flows = config->forwarder.udp_flows;
	state->udp_flows_per_client = config->forwarder.udp_flows_per_client;
}

/* All that a worker may need which accepts before it is known for whom: it must not lack memory for it then. 0 or -1. */
static int fwd_route_make_sides(struct fwd_route *route)
{
	const struct forwarder *forwarder = route->forwarder;
	bool wanted = forwarder->services.count || forwarder->config->door.socket;
	size_t count = wanted ? fwd_accepting_workers(forwarder) : 0;

	for (size_t i = 0; i < count; i++) {
		if (!fwd_route_side_at(route, i))
			return -1;
	}
	return 0;
}

struct fwd_route *fwd_route_new(struct forwarder *forwarder, const char *id, unsigned slot, const struct limits *limits)
{
	struct fwd_route *route = calloc(1, sizeof(*route) + forwarder->worker_count * sizeof(route->sides[0]));
	struct err err;

	if (!route)
		return NULL;
	route->id = strdup(id);
	if (!route->id || timer_init(&route->drain, forwarder->base, fwd_route_on_drained, route, &err) < 0) {
		free(route->id);
		free(route);
		return NULL;
	}
	route->forwarder = forwarder;
	route->slot = slot;
	route->guest_ip = forwarder->config->layout.guest.ip;
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is at least one worker */
	route->first_worker = forwarder->next_first++ % forwarder->worker_count;
	route->state =
	    (struct route_state){ .netns_fd = -1, .limits = *limits, .carrier_downs = -1, .door.is_public = true };
	fwd_route_take_common_limits(route, &route->state);
	pthread_mutex_init(&route->lock, NULL);
	fwd_ask_init(route);
	LIST_INIT(&route->probes);
	LIST_INIT(&route->listeners);
	LIST_INSERT_HEAD(&forwarder->routes, route, link);
	if (fwd_route_make_sides(route) < 0) {
		fwd_route_destroy(route);
		return NULL;
	}
	if (route->id[0])
		fwd_door_table_add(route);
	return route;
}

void fwd_route_set_guest(struct fwd_route *route, uint32_t ip)
{
	route->guest_ip = ip;
}

void fwd_route_set_source(struct fwd_route *route, uint32_t ip)
{
	fwd_sources_set(route, ip);
}

/* A listener may outlive its route, and accepts for nobody then. */
static void fwd_route_leave_listeners(struct fwd_route *route)
{
	struct fwd_listener *listener;

	while ((listener = LIST_FIRST(&route->listeners))) {
		LIST_REMOVE(listener, of_route);
		LIST_INSERT_HEAD(&route->forwarder->no_backend->listeners, listener, of_route);
	}
}

void fwd_route_destroy(struct fwd_route *route)
{
	fwd_route_leave_listeners(route);
	fwd_sources_set(route, 0);
	fwd_door_table_remove(route);
	fwd_probe_detach_all(route);
	if (route->holds_namespace)
		fwd_share_hold(route->forwarder, -1);
	for (size_t i = 0; i < route->forwarder->worker_count; i++) {
		if (route->sides[i])
			fwd_answered_free(route->sides[i]);
		free(route->sides[i]);
	}
	LIST_REMOVE(route, link);
	timer_free(&route->drain);
	fwd_ask_free(route);
	pthread_mutex_destroy(&route->lock);
	free(route->id);
	free(route);
}

/* ---- Notifying the workers ---- */

static void fwd_route_post_update(struct route_side *side)
{
	bool posted;

	pthread_mutex_lock(&side->route->lock);
	posted = side->update_posted;
	side->update_posted = true;
	pthread_mutex_unlock(&side->route->lock);

	if (!posted)
		base_mailbox_post(side->worker->mailbox, &side->update);
}

static void fwd_route_notify(struct fwd_route *route, const struct route_state *state)
{
	pthread_mutex_lock(&route->lock);
	route->state = *state;
	pthread_mutex_unlock(&route->lock);

	/* After the barriers no message may be under way. */
	if (route->barriers_out)
		return;
	for (size_t i = 0; i < route->forwarder->worker_count; i++) {
		if (route->sides[i])
			fwd_route_post_update(route->sides[i]);
	}
}

struct route_side *fwd_route_side_at(struct fwd_route *route, size_t worker)
{
	struct route_side *side = route->sides[worker];

	if (side)
		return side;
	side = calloc(1, sizeof(*side));
	if (!side)
		return NULL;
	side->route = route;
	side->worker = route->forwarder->workers[worker];
	side->state = route->state;
	side->paused_at_ms = route->state.paused_since_ms ? route->state.paused_since_ms : clock_now_ms();
	side->update.deliver = fwd_route_apply_on_message;
	side->empty.deliver = fwd_route_on_empty;
	fwd_answered_init(side);
	LIST_INIT(&side->connections);
	LIST_INIT(&side->udp_ports);
	route->sides[worker] = side;
	return side;
}

void fwd_set_default(struct forwarder *forwarder, struct fwd_route *route)
{
	struct fwd_route *holding = forwarder->no_backend;

	if (forwarder->default_route == route)
		return;
	forwarder->default_route = route;
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		struct route_side *side = holding->sides[i];

		if (!side)
			continue;
		pthread_mutex_lock(&holding->lock);
		side->backend = route ? fwd_route_side_at(route, i) : NULL;
		pthread_mutex_unlock(&holding->lock);
		fwd_route_post_update(side);
	}
}

/* ---- Changes of the state ---- */

void fwd_route_set_namespace(struct fwd_route *route, int netns_fd)
{
	struct route_state state = route->state;

	if (netns_fd >= 0 && !route->holds_namespace) {
		route->holds_namespace = true;
		fwd_share_hold(route->forwarder, 1);
	}
	state.netns_fd = netns_fd;
	state.gone = netns_fd < 0;
	fwd_route_notify(route, &state);
	fwd_probe_route_changed(route);
}

void fwd_route_set_up(struct fwd_route *route, bool up)
{
	struct route_state state = route->state;

	if (state.up == up)
		return;
	state.up = up;
	if (!up)
		state.losses++;
	if (!up && !state.paused)
		state.carrier_losses++;
	fwd_route_notify(route, &state);
	fwd_probe_route_changed(route);
}

void fwd_route_set_carrier_downs(struct fwd_route *route, int64_t downs)
{
	struct route_state state = route->state;

	if (state.carrier_downs == downs)
		return;
	state.carrier_downs = downs;
	fwd_route_notify(route, &state);
}

void fwd_route_set_ready(struct fwd_route *route, bool ready)
{
	struct route_state state = route->state;

	if (state.ready == ready)
		return;
	state.ready = ready;
	fwd_route_notify(route, &state);
}

void fwd_route_pause(struct fwd_route *route)
{
	fwd_route_pause_since(route, 0);
}

void fwd_route_pause_since(struct fwd_route *route, uint64_t since_ms)
{
	struct route_state state = route->state;

	if (state.paused)
		return;
	state.paused = true;
	state.paused_since_ms = since_ms;
	fwd_route_notify(route, &state);
	fwd_probe_route_changed(route);
}

void fwd_route_resume(struct fwd_route *route, bool keep)
{
	struct route_state state = route->state;

	if (!state.paused)
		return;
	state.paused = false;
	state.paused_since_ms = 0;
	state.wake_turn = 0;
	route->resumed = true;
	if (!keep) {
		state.flow_resets++;
		state.losses++;
	}
	fwd_route_notify(route, &state);
	fwd_probe_route_changed(route);
}

int fwd_route_set_wake(struct fwd_route *route, const struct fwd_wake *wake)
{
	struct route_state state = route->state;

	if (fwd_ask_set(route, wake) < 0)
		return -1;
	state.wake_timeout_ms = wake ? wake->timeout_ms : 0;
	if (!wake)
		state.wake_turn = 0;
	fwd_route_notify(route, &state);
	return 0;
}

void fwd_route_on_asked(struct fwd_route *route, void (*asked)(void *context, const struct fwd_asking *asking),
			void *context)
{
	route->ask.asked = asked;
	route->ask.context = context;
}

void fwd_route_await_client(struct fwd_route *route)
{
	struct route_state state = route->state;

	if (!state.paused || !state.wake_timeout_ms)
		return;
	/* 0 is no turn. */
	state.wake_turn = ++route->wake_turns ? route->wake_turns : ++route->wake_turns;
	fwd_route_notify(route, &state);
}

void fwd_route_set_limits(struct fwd_route *route, const struct limits *limits)
{
	struct route_state state = route->state;

	state.limits = *limits;
	fwd_route_take_common_limits(route, &state);
	fwd_route_notify(route, &state);
}

void fwd_route_on_answered(struct fwd_route *route, void (*answered)(void *context, uint16_t port, enum proto proto),
			   void *context)
{
	route->answered = answered;
	route->answered_context = context;
}

void fwd_route_set_name(struct fwd_route *route, const char *name)
{
	struct route_state state = route->state;

	if (strcmp(state.name, name ? name : "") == 0)
		return;
	snprintf(state.name, sizeof(state.name), "%s", name ? name : "");
	fwd_door_table_rename(route, state.name);
	fwd_route_notify(route, &state);
}

void fwd_route_set_pace(struct fwd_route *route, uint64_t bytes_per_second)
{
	struct route_state state = route->state;

	if (state.pace == bytes_per_second)
		return;
	state.pace = bytes_per_second;
	fwd_route_notify(route, &state);
}

void fwd_route_set_isolated(struct fwd_route *route, bool isolated)
{
	struct route_state state = route->state;

	if (state.isolated == isolated)
		return;
	state.isolated = isolated;
	fwd_route_notify(route, &state);
}

void fwd_route_set_door(struct fwd_route *route, const struct door_policy *policy)
{
	struct route_state state = route->state;

	state.door = *policy;
	fwd_route_notify(route, &state);
}

/* ---- The end ---- */

/* No worker begins a connection that comes by the guest's address or by the sandbox's name any more. */
static void fwd_route_leave_tables(struct fwd_route *route)
{
	bool found = route->source_ip || route->at_door;

	fwd_sources_set(route, 0);
	fwd_door_table_remove(route);
	if (found)
		fwd_wait_for_accepting(route->forwarder);
}

static void fwd_route_finish(struct fwd_route *route)
{
	void (*done)(void *) = route->done;
	void *context = route->done_context;

	fwd_route_destroy(route);
	if (done)
		done(context);
}

static void fwd_route_on_barrier_back(struct mail *mail)
{
	struct route_side *side = container_of(mail, struct route_side, barrier);
	struct fwd_route *route = side->route;

	if (--route->barriers_out == 0)
		fwd_route_finish(route);
}

static void fwd_route_on_barrier(struct mail *mail)
{
	struct route_side *side = container_of(mail, struct route_side, barrier);

	if (side->known)
		LIST_REMOVE(side, of_worker);
	side->known = false;
	mail->deliver = fwd_route_on_barrier_back;
	base_mailbox_post(side->route->forwarder->mailbox, mail);
}

static void fwd_route_post_barriers(struct fwd_route *route)
{
	timer_stop(&route->drain);
	for (size_t i = 0; i < route->forwarder->worker_count; i++) {
		struct route_side *side = route->sides[i];

		if (!side)
			continue;
		route->barriers_out++;
		side->barrier.deliver = fwd_route_on_barrier;
		base_mailbox_post(side->worker->mailbox, &side->barrier);
	}
}

static void fwd_route_on_empty(struct mail *mail)
{
	struct route_side *side = container_of(mail, struct route_side, empty);
	struct fwd_route *route = side->route;

	if (--route->sides_busy == 0 && !route->forwarder->stopping)
		fwd_route_post_barriers(route);
}

static void fwd_route_on_drained(void *context)
{
	struct fwd_route *route = context;
	struct route_state state = route->state;

	state.reset_all = true;
	fwd_route_notify(route, &state);
}

static void fwd_route_on_closed(struct mail *mail)
{
	fwd_route_finish(container_of(mail, struct fwd_route, closed));
}

void fwd_route_close(struct fwd_route *route, enum fwd_close_reason reason, unsigned drain_ms,
		     void (*done)(void *context), void *context)
{
	struct forwarder *forwarder = route->forwarder;
	struct route_state state = route->state;

	if (route->dying) {
		if (!drain_ms && route->sides_busy)
			fwd_route_on_drained(route);
		return;
	}
	if (forwarder->default_route == route)
		fwd_set_default(forwarder, NULL);
	fwd_route_leave_tables(route);
	fwd_probe_detach_all(route);
	fwd_thaw_wait_drop(forwarder, route->id, reason);
	route->dying = true;
	route->done = done;
	route->done_context = context;
	for (size_t i = 0; i < forwarder->worker_count; i++)
		route->sides_busy += route->sides[i] != NULL;
	if (!route->sides_busy) {
		route->closed.deliver = fwd_route_on_closed;
		base_mailbox_post(forwarder->mailbox, &route->closed);
		return;
	}
	state.closing = true;
	state.reason = reason;
	state.reset_all = !drain_ms;
	if (drain_ms)
		timer_start(&route->drain, drain_ms);
	fwd_route_notify(route, &state);
}
