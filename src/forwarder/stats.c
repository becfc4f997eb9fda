/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters are each worker's own; whoever asks adds them up. Sums may be a moment old, never torn.
 */
#include "forwarder/core.h"
#include "forwarder/worker.h"

const unsigned connect_bucket_ms[CONNECT_BUCKETS - 1] = { 1,   2,    5,    10,   20,    50,    100,  200,
							  500, 1000, 2000, 5000, 10000, 20000, 30000 };

const char *close_reason_name(enum close_reason reason)
{
	switch (reason) {
	case CLOSE_DONE:
		return "done";
	case CLOSE_CLIENT_RESET:
		return "client-reset";
	case CLOSE_GUEST_RESET:
		return "guest-reset";
	case CLOSE_GUEST_REFUSED:
		return "guest-refused";
	case CLOSE_CONNECT_DEADLINE:
		return "connect-deadline";
	case CLOSE_NO_SANDBOX:
		return "no-sandbox";
	case CLOSE_NO_PORT:
		return "no-port";
	case CLOSE_CARRIER_LOST:
		return "carrier-lost";
	case CLOSE_NO_ROUTE:
		return "no-route";
	case CLOSE_NO_NAMESPACE:
		return "no-namespace";
	case CLOSE_LIMIT:
		return "limit";
	case CLOSE_IDLE:
		return "idle";
	case CLOSE_HALF_CLOSED:
		return "half-closed";
	case CLOSE_PAUSED_RESET:
		return "paused-reset";
	case CLOSE_UNREGISTERED:
		return "unregistered";
	case CLOSE_SHUTDOWN:
		return "shutdown";
	case CLOSE_ERROR:
		return "error";
	}
	return "unknown";
}

static uint64_t value(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void forwarder_stats(const struct forwarder *forwarder, struct forwarder_stats *stats)
{
	*stats = (struct forwarder_stats){
		.accept_pauses = forwarder->accept_pauses,
	};
	for (size_t i = 0; i < forwarder->worker_count; i++) {
		const struct worker_stats *of_worker = &forwarder->workers[i]->stats;

		for (size_t reason = 0; reason < CLOSE_REASONS; reason++)
			stats->ended[reason] += atomic_load_explicit(&of_worker->ended[reason], memory_order_acquire);
		for (size_t bucket = 0; bucket < CONNECT_BUCKETS; bucket++)
			stats->connect_count[bucket] += value(&of_worker->connect_count[bucket]);
		stats->connect_sum_us += value(&of_worker->connect_sum_us);
		stats->bytes_to_guest += value(&of_worker->bytes_to_guest);
		stats->bytes_from_guest += value(&of_worker->bytes_from_guest);
	}
	/* After the ends: what is counted there is not open any more. */
	stats->connections_open = atomic_load_explicit(&forwarder->connections, memory_order_relaxed);
}
