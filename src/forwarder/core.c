/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few questions to the forwarder as a whole that files of this room ask.
 */
#include "forwarder/core.h"

#include "config/config.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

/* Workers that hear one socket: beyond that each costs memory and gains nothing for one guest. */
enum { ACCEPTING_MAX = 4 };

struct worker *fwd_pick_worker(struct forwarder *forwarder)
{
	struct worker *best = forwarder->workers[0];
	size_t best_load = SIZE_MAX;

	for (size_t i = 0; i < forwarder->worker_count; i++) {
		size_t index = (forwarder->next_worker + i) % forwarder->worker_count;
		struct worker *worker = forwarder->workers[index];
		size_t load = fwd_tally_load(worker);

		if (load < best_load) {
			best = worker;
			best_load = load;
		}
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): there is at least one worker */
	forwarder->next_worker = (best->index + 1) % forwarder->worker_count;
	return best;
}

size_t fwd_accepting_workers(const struct forwarder *forwarder)
{
	return forwarder->worker_count < ACCEPTING_MAX ? forwarder->worker_count : ACCEPTING_MAX;
}

void fwd_wait_for_accepting(struct forwarder *forwarder)
{
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		pthread_mutex_lock(&forwarder->workers[i]->accepting);
		pthread_mutex_unlock(&forwarder->workers[i]->accepting);
	}
}

struct addr fwd_guest(const struct fwd_route *route, uint16_t port)
{
	return addr_from_ipv4(route->guest_ip, port);
}
