/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/forwarder/side_lab.h"

#include "base/err.h"
#include "forwarder/pipe_pool.h"

#include <check.h>
#include <stdlib.h>

static struct fwd_route *make_route(struct side_lab *lab, char *id)
{
	struct fwd_route *route = calloc(1, sizeof(*route) + sizeof(route->sides[0]));
	struct route_side *side = calloc(1, sizeof(*side));

	ck_assert_ptr_nonnull(route);
	ck_assert_ptr_nonnull(side);
	route->forwarder = &lab->forwarder;
	route->id = id;
	route->state.netns_fd = side->state.netns_fd = -1;
	pthread_mutex_init(&route->lock, NULL);
	route->sides[0] = side;
	side->route = route;
	side->worker = &lab->worker;
	return route;
}

void side_lab_open(struct side_lab *lab)
{
	static char first[] = "sb-1", second[] = "sb-2";
	struct err err;

	*lab = (struct side_lab){ .worker = { .now_ms = 1000000 } };
	lab->workers[0] = &lab->worker;
	lab->forwarder.workers = lab->workers;
	lab->forwarder.worker_count = 1;
	lab->forwarder.fair_share.usable = 1000000;
	lab->worker.forwarder = &lab->forwarder;
	lab->worker.poller = fwd_poller_new(&err);
	lab->worker.pipes = fwd_pipe_pool_new(1, 4096, &lab->forwarder.tally.pipes);
	ck_assert_ptr_nonnull(lab->worker.poller);
	ck_assert_ptr_nonnull(lab->worker.pipes);
	TAILQ_INIT(&lab->worker.again);
	TAILQ_INIT(&lab->worker.dead);
	fwd_wheel_init(&lab->worker.fine, FINE_STEP_MS, lab->worker.now_ms, fwd_connection_expired);
	fwd_wheel_init(&lab->worker.coarse, COARSE_STEP_MS, lab->worker.now_ms, fwd_connection_expired);
	lab->routes[0] = make_route(lab, first);
	lab->routes[1] = make_route(lab, second);
	lab->side = lab->routes[0]->sides[0];
	lab->other = lab->routes[1]->sides[0];
}

void side_lab_close(struct side_lab *lab)
{
	for (size_t i = 0; i < 2; i++) {
		pthread_mutex_destroy(&lab->routes[i]->lock);
		free(lab->routes[i]->sides[0]);
		free(lab->routes[i]);
	}
	fwd_pipe_pool_free(lab->worker.pipes);
	fwd_poller_free(lab->worker.poller);
}
