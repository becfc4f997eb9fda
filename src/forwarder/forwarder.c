/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Start, drain and end of the whole.
 */
#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "forwarder/accept_pause.h"
#include "forwarder/core.h"
#include "forwarder/freeze.h"
#include "forwarder/listener.h"
#include "forwarder/route.h"
#include "forwarder/thaw_wait.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>

enum { DRAIN_LOOK_MS = 20 }; /* between looks whether connections are left */

static void fwd_look_at_drain(void *context);

static struct limits fwd_no_backend_limits(const struct config *config)
{
	return (struct limits){ .connect_deadline_ms = config->forwarder.default_wait_ms };
}

static int fwd_start(struct forwarder *forwarder, struct err *err)
{
	const struct config *config = forwarder->config;
	struct limits limits = fwd_no_backend_limits(config);

	forwarder->mailbox = base_mailbox_new(forwarder->base, err);
	if (!forwarder->mailbox || fwd_flow_seed(&forwarder->seed, err) < 0 ||
	    fwd_accept_pause_init(forwarder, err) < 0 ||
	    timer_init(&forwarder->drain.timer, forwarder->base, fwd_look_at_drain, forwarder, err) < 0)
		return -1;
	forwarder->workers = calloc(config->daemon.workers, sizeof(struct worker *));
	if (!forwarder->workers)
		return err_set(err, ENOMEM, "workers");
	while (forwarder->worker_count < config->daemon.workers) {
		struct worker *worker = fwd_worker_new(forwarder, forwarder->worker_count, err);

		if (!worker)
			return err_wrap(err, "worker %zu", forwarder->worker_count);
		forwarder->workers[forwarder->worker_count++] = worker;
	}
	forwarder->no_backend = fwd_route_new(forwarder, "", 0, &limits);
	if (!forwarder->no_backend)
		return err_set(err, ENOMEM, "route");
	/* All sides, so that each worker learns where the default endpoint leads. */
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		if (!fwd_route_side_at(forwarder->no_backend, i))
			return err_set(err, ENOMEM, "route");
	}
	return fwd_share_init(forwarder, err);
}

struct forwarder *fwd_new(struct event_base *base, const struct config *config, struct err *err)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));

	if (!forwarder) {
		err_set(err, ENOMEM, "forwarder");
		return NULL;
	}
	forwarder->base = base;
	forwarder->config = config;
	LIST_INIT(&forwarder->listeners);
	LIST_INIT(&forwarder->routes);
	fwd_sources_init(&forwarder->sources);
	fwd_door_table_init(&forwarder->door_table);
	if (fwd_start(forwarder, err) < 0) {
		fwd_free(forwarder);
		return NULL;
	}
	return forwarder;
}

void fwd_free(struct forwarder *forwarder)
{
	if (!forwarder)
		return;
	forwarder->stopping = true;
	fwd_freeze_cancel(forwarder);
	while (!LIST_EMPTY(&forwarder->listeners))
		fwd_listener_close(LIST_FIRST(&forwarder->listeners), false);
	/* Who said at the door whom he wants is on his way to his worker already, and nobody else gets there any more. */
	fwd_wait_for_accepting(forwarder);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		fwd_worker_stop(forwarder->workers[i]);
	for (size_t i = 0; i < forwarder->worker_count; i++)
		fwd_worker_free(forwarder->workers[i]);
	/* The last messages name routes. */
	base_mailbox_free(forwarder->mailbox);
	fwd_freeze_free(forwarder);
	fwd_thaw_wait_free(forwarder);
	while (!LIST_EMPTY(&forwarder->routes))
		fwd_route_destroy(LIST_FIRST(&forwarder->routes));
	fwd_services_free(forwarder);
	fwd_sources_free(&forwarder->sources);
	fwd_door_table_free(&forwarder->door_table);
	fwd_accept_pause_free(forwarder);
	fwd_share_free(forwarder);
	timer_free(&forwarder->drain.timer);
	free(forwarder->workers);
	free(forwarder);
}

void fwd_reconfigure(struct forwarder *forwarder)
{
	struct limits limits = fwd_no_backend_limits(forwarder->config);
	struct fwd_route *route;

	fwd_share_read_limit(forwarder);
	fwd_route_set_limits(forwarder->no_backend, &limits);
	/* A route takes over the limits that all routes share (refused_grace) together with its own. */
	LIST_FOREACH(route, &forwarder->routes, link)
	{
		struct limits own = route->state.limits;

		fwd_route_set_limits(route, &own);
	}
}

/* ---- Drain ---- */

static void fwd_look_at_drain(void *context)
{
	struct forwarder *forwarder = context;

	if (!fwd_tally_is_drained(forwarder) && clock_now_ms() < forwarder->drain.until_ms) {
		timer_start(&forwarder->drain.timer, DRAIN_LOOK_MS);
		return;
	}
	forwarder->drain.done(forwarder->drain.context);
}

void fwd_drain(struct forwarder *forwarder, unsigned drain_ms, void (*done)(void *context), void *context)
{
	/* The sockets stay open. A successor that gets them from the service manager's store finds the clients that came meanwhile. */
	fwd_accept_pause_for_ever(forwarder);
	forwarder->drain.done = done;
	forwarder->drain.context = context;
	forwarder->drain.until_ms = clock_now_ms() + drain_ms;
	timer_start(&forwarder->drain.timer, 0);
}
