/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Start, drain and end of the whole; and where the default endpoint leads.
 */
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "forwarder/admission.h"
#include "forwarder/core.h"
#include "forwarder/listener.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>

enum {
	DRAIN_LOOK_MS = 20, /* between looks at what is left */
	PAUSE_LINES = 1,    /* a minute */
	MINUTE_MS = 60 * 1000,
};

static void look_at_drain(void *context);

static struct limits nowhere_limits(const struct config *config)
{
	return (struct limits){ .connect_deadline_ms = config->forwarder.default_wait_ms };
}

static int start(struct forwarder *forwarder, struct err *err)
{
	const struct config *config = forwarder->config;
	struct limits limits = nowhere_limits(config);

	forwarder->mailbox = mailbox_new(forwarder->base, err);
	if (!forwarder->mailbox ||
	    timer_init(&forwarder->accept_pause, forwarder->base, limits_try_again, forwarder, err) < 0 ||
	    timer_init(&forwarder->drain_timer, forwarder->base, look_at_drain, forwarder, err) < 0)
		return -1;
	forwarder->workers = calloc(config->daemon.workers, sizeof(struct worker *));
	if (!forwarder->workers)
		return err_set(err, ENOMEM, "workers");
	while (forwarder->worker_count < config->daemon.workers) {
		struct worker *worker = worker_new(forwarder, forwarder->worker_count, err);

		if (!worker)
			return err_wrap(err, "worker %zu", forwarder->worker_count);
		forwarder->workers[forwarder->worker_count++] = worker;
	}
	forwarder->nowhere = route_new(forwarder, "", 0, &limits);
	if (!forwarder->nowhere)
		return err_set(err, ENOMEM, "route");
	/* All of them, so that each worker is told where the default endpoint leads. */
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		if (!route_side_at(forwarder->nowhere, i))
			return err_set(err, ENOMEM, "route");
	}
	return 0;
}

struct forwarder *forwarder_new(struct event_base *base, const struct config *config, struct err *err)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));

	if (!forwarder) {
		err_set(err, ENOMEM, "forwarder");
		return NULL;
	}
	forwarder->base = base;
	forwarder->config = config;
	forwarder->pause_lines = (struct log_limit){ .burst = PAUSE_LINES, .interval_ms = MINUTE_MS };
	LIST_INIT(&forwarder->listeners);
	LIST_INIT(&forwarder->routes);
	limits_init(forwarder);
	if (start(forwarder, err) < 0) {
		forwarder_free(forwarder);
		return NULL;
	}
	return forwarder;
}

void forwarder_free(struct forwarder *forwarder)
{
	if (!forwarder)
		return;
	forwarder->stopping = true;
	while (!LIST_EMPTY(&forwarder->listeners))
		listener_close(LIST_FIRST(&forwarder->listeners), false);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		worker_stop(forwarder->workers[i]);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		worker_free(forwarder->workers[i]);
	/* The last letters name routes. */
	mailbox_free(forwarder->mailbox);
	while (!LIST_EMPTY(&forwarder->routes))
		route_destroy(LIST_FIRST(&forwarder->routes));
	timer_free(&forwarder->accept_pause);
	timer_free(&forwarder->drain_timer);
	free(forwarder->workers);
	free(forwarder);
}

void forwarder_reconfigure(struct forwarder *forwarder)
{
	struct limits limits = nowhere_limits(forwarder->config);
	struct fwd_route *route;

	limits_read(forwarder);
	route_set_limits(forwarder->nowhere, &limits);
	/* What a route does not own itself (refused_grace) is told with its limits. */
	LIST_FOREACH(route, &forwarder->routes, link)
	{
		struct limits own = route->state.limits;

		route_set_limits(route, &own);
	}
}

struct worker *forwarder_pick_worker(struct forwarder *forwarder)
{
	struct worker *best = forwarder->workers[0];
	size_t best_load = SIZE_MAX;

	for (size_t i = 0; i < forwarder->worker_count; i++) {
		size_t index = (forwarder->next_worker + i) % forwarder->worker_count;
		struct worker *worker = forwarder->workers[index];
		size_t load = atomic_load_explicit(&worker->load, memory_order_relaxed);

		if (load < best_load) {
			best = worker;
			best_load = load;
		}
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is at least one worker */
	forwarder->next_worker = (best->index + 1) % forwarder->worker_count;
	return best;
}

struct addr forwarder_guest(const struct forwarder *forwarder, uint16_t port)
{
	return addr_from_ipv4(forwarder->config->addresses.guest.ip, port);
}

void forwarder_set_default(struct forwarder *forwarder, struct fwd_route *route)
{
	if (forwarder->default_route == route)
		return;
	forwarder->default_route = route;
	route_lead_on(forwarder->nowhere, route);
}

/* ---- Drain ---- */

static void look_at_drain(void *context)
{
	struct forwarder *forwarder = context;

	if (atomic_load(&forwarder->connections) > atomic_load(&forwarder->flows) &&
	    clock_now_ms() < forwarder->drain_until_ms) {
		timer_start(&forwarder->drain_timer, DRAIN_LOOK_MS);
		return;
	}
	forwarder->drained(forwarder->drained_context);
}

void forwarder_drain(struct forwarder *forwarder, unsigned drain_ms, void (*done)(void *context), void *context)
{
	/* The sockets stay: whoever takes them over, from the service manager's store, finds the clients that came meanwhile. */
	atomic_store(&forwarder->accept_paused, true);
	listeners_pause(forwarder);
	timer_stop(&forwarder->accept_pause);
	forwarder->drained = done;
	forwarder->drained_context = context;
	forwarder->drain_until_ms = clock_now_ms() + drain_ms;
	timer_start(&forwarder->drain_timer, 0);
}
