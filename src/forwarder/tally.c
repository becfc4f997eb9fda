/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory orders, and why they suffice:
 *
 * - Relaxed, for nearly all. A counter is compared with a limit or shown; it hands no other memory to the thread that reads it.
 *   Connections themselves pass from thread to thread by mailboxes, whose locks order everything else.
 * - A counter with one writer is a load and a store, both relaxed: no locked instruction on the path of the bytes.
 * - `ended` is stored with release and loaded with acquire. fwd_tally_end() stores it after it has taken the connection out of
 *   all other sums, so a reader that finds an end counted never finds the same connection open as well.
 * - `coming` is relaxed. It rises before the message is posted and falls when it is delivered. A worker asks for it only once its
 *   route closes; by then main has closed the route's listeners under the lock that every accepting thread holds.
 */
#include "forwarder/tally.h"

#include "base/clock.h"
#include "forwarder/core.h"
#include "forwarder/route.h"
#include "forwarder/worker.h"

const unsigned fwd_connect_bucket_ms[CONNECT_BUCKETS - 1] = { 1,   2,    5,    10,   20,    50,    100,  200,
							      500, 1000, 2000, 5000, 10000, 20000, 30000 };

static void fwd_tally_up(atomic_size_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void fwd_tally_down(atomic_size_t *counter)
{
	atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
}

static size_t fwd_tally_size(const atomic_size_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t fwd_tally_value(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* For a counter that one thread alone changes. */
static void fwd_tally_add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, fwd_tally_value(counter) + value, memory_order_relaxed);
}

static void fwd_tally_count_end(struct worker *worker, enum fwd_close_reason reason)
{
	atomic_fetch_add_explicit(&worker->tally.ended[reason], 1, memory_order_release);
}

/* ---- Admission ---- */

/* The connections of ROUTE are one more, which may make it busy: how many there were in DIRECTION. */
static size_t fwd_tally_route_up(struct fwd_route *route, enum fwd_direction direction)
{
	if (!atomic_fetch_add_explicit(&route->tally.connections, 1, memory_order_relaxed))
		fwd_tally_up(&route->forwarder->tally.busy_routes);
	return atomic_fetch_add_explicit(&route->tally.directed[direction], 1, memory_order_relaxed);
}

static void fwd_tally_route_down(struct fwd_route *route, enum fwd_direction direction)
{
	fwd_tally_down(&route->tally.directed[direction]);
	if (atomic_fetch_sub_explicit(&route->tally.connections, 1, memory_order_relaxed) == 1)
		fwd_tally_down(&route->forwarder->tally.busy_routes);
}

bool fwd_tally_admit(struct fwd_route *route, enum fwd_direction direction, unsigned limit_for_all, unsigned limit)
{
	atomic_size_t *all = &route->forwarder->tally.connections;

	if (atomic_fetch_add_explicit(all, 1, memory_order_relaxed) >= limit_for_all && limit_for_all) {
		fwd_tally_down(all);
		return false;
	}
	if (fwd_tally_route_up(route, direction) >= limit && limit) {
		fwd_tally_route_down(route, direction);
		fwd_tally_down(all);
		return false;
	}
	return true;
}

void fwd_tally_withdraw(struct fwd_route *route, enum fwd_direction direction)
{
	fwd_tally_route_down(route, direction);
	fwd_tally_down(&route->forwarder->tally.connections);
}

void fwd_tally_refuse(struct forwarder *forwarder)
{
	atomic_fetch_add_explicit(&forwarder->tally.refused, 1, memory_order_relaxed);
}

/* The counters are read one after the other, so the sum may be wrong by what changes meanwhile. */
static int64_t fwd_tally_sum(const atomic_size_t *connections, const atomic_size_t *flows, const atomic_size_t *pipes)
{
	return 2 * (int64_t)fwd_tally_size(connections) - (int64_t)fwd_tally_size(flows) +
	       2 * (int64_t)fwd_tally_size(pipes);
}

int64_t fwd_tally_descriptors(const struct forwarder *forwarder)
{
	const struct tally *tally = &forwarder->tally;

	return fwd_tally_sum(&tally->connections, &tally->flows, &tally->pipes);
}

int64_t fwd_tally_route_descriptors(const struct fwd_route *route)
{
	return fwd_tally_sum(&route->tally.connections, &route->tally.flows, &route->tally.pipes);
}

int64_t fwd_tally_busy_routes(const struct forwarder *forwarder)
{
	return (int64_t)fwd_tally_size(&forwarder->tally.busy_routes);
}

/* ---- A connection's life ---- */

void fwd_tally_arrive(struct route_side *side)
{
	atomic_fetch_add_explicit(&side->route->tally.total, 1, memory_order_relaxed);
	fwd_tally_up(&side->worker->tally.load);
}

void fwd_tally_return(struct route_side *side)
{
	fwd_tally_up(&side->worker->tally.load);
}

void fwd_tally_miss(struct route_side *side)
{
	atomic_fetch_add_explicit(&side->route->tally.total, 1, memory_order_relaxed);
	fwd_tally_count_end(side->worker, CLOSE_CLIENT_RESET);
}

void fwd_tally_hold(struct route_side *side)
{
	fwd_tally_up(&side->tally.held);
	fwd_tally_up(&side->worker->tally.held);
}

void fwd_tally_unhold(struct route_side *side)
{
	fwd_tally_down(&side->tally.held);
	fwd_tally_down(&side->worker->tally.held);
}

size_t fwd_tally_held(const struct route_side *side)
{
	return fwd_tally_size(&side->tally.held);
}

bool fwd_tally_move(struct route_side *from, struct route_side *to, unsigned limit)
{
	fwd_tally_down(&from->tally.held);
	fwd_tally_route_down(from->route, DIRECTION_IN);
	fwd_tally_up(&to->tally.held);
	atomic_fetch_add_explicit(&to->route->tally.total, 1, memory_order_relaxed);
	return fwd_tally_route_up(to->route, DIRECTION_IN) < limit || !limit;
}

void fwd_tally_connect(struct worker *worker, uint64_t accepted_us)
{
	uint64_t took_us = clock_now_us() - accepted_us;
	size_t bucket = 0;

	while (bucket < CONNECT_BUCKETS - 1 && took_us > (uint64_t)fwd_connect_bucket_ms[bucket] * 1000)
		bucket++;
	fwd_tally_add(&worker->tally.connect_count[bucket], 1);
	fwd_tally_add(&worker->tally.connect_sum_us, took_us);
}

void fwd_tally_pass(struct route_side *side, uint64_t to_guest, uint64_t from_guest)
{
	struct worker *worker = side->worker;

	fwd_tally_add(&side->tally.bytes_to_guest, to_guest);
	fwd_tally_add(&side->tally.bytes_from_guest, from_guest);
	fwd_tally_add(&worker->tally.bytes_to_guest, to_guest);
	fwd_tally_add(&worker->tally.bytes_from_guest, from_guest);
	atomic_store_explicit(&side->tally.active_ms, worker->now_ms, memory_order_relaxed);
}

size_t fwd_tally_bulk_begin(struct worker *worker, bool *only)
{
	*only = !atomic_fetch_add_explicit(&worker->forwarder->tally.bulk_streams, 1, memory_order_relaxed);
	return ++worker->tally.bulk_streams;
}

void fwd_tally_bulk_end(struct worker *worker)
{
	worker->tally.bulk_streams--;
	fwd_tally_down(&worker->forwarder->tally.bulk_streams);
}

atomic_size_t *fwd_tally_pipes(struct forwarder *forwarder)
{
	return &forwarder->tally.pipes;
}

void fwd_tally_pipe_lent(struct route_side *side)
{
	fwd_tally_up(&side->route->tally.pipes);
}

void fwd_tally_pipe_back(struct route_side *side)
{
	fwd_tally_down(&side->route->tally.pipes);
}

void fwd_tally_leave(struct route_side *side, enum fwd_direction direction)
{
	fwd_tally_route_down(side->route, direction);
	fwd_tally_down(&side->route->forwarder->tally.connections);
	fwd_tally_down(&side->worker->tally.load);
}

void fwd_tally_end(struct route_side *side, enum fwd_direction direction, enum fwd_close_reason reason)
{
	fwd_tally_leave(side, direction);
	fwd_tally_count_end(side->worker, reason);
}

void fwd_tally_drop(struct forwarder *forwarder, enum fwd_close_reason reason, size_t count)
{
	atomic_fetch_add_explicit(&forwarder->workers[0]->tally.ended[reason], count, memory_order_release);
}

/* ---- The door ---- */

void fwd_tally_door_begin(struct forwarder *forwarder)
{
	fwd_tally_up(&forwarder->tally.door.open);
}

void fwd_tally_door_end(struct forwarder *forwarder)
{
	fwd_tally_down(&forwarder->tally.door.open);
}

void fwd_tally_door_hold(struct forwarder *forwarder)
{
	fwd_tally_up(&forwarder->tally.door.held);
}

void fwd_tally_door_unhold(struct forwarder *forwarder)
{
	fwd_tally_down(&forwarder->tally.door.held);
}

void fwd_tally_door_serve(struct forwarder *forwarder)
{
	atomic_fetch_add_explicit(&forwarder->tally.door.served, 1, memory_order_relaxed);
}

void fwd_tally_door_refuse(struct forwarder *forwarder, enum door_refusal refusal)
{
	atomic_fetch_add_explicit(&forwarder->tally.door.refused[refusal], 1, memory_order_relaxed);
}

void fwd_tally_door_break(struct forwarder *forwarder)
{
	atomic_fetch_add_explicit(&forwarder->tally.door.broken, 1, memory_order_relaxed);
}

void fwd_tally_read_door(const struct forwarder *forwarder, struct fwd_door_stats *stats)
{
	const struct door_tally *door = &forwarder->tally.door;

	*stats = (struct fwd_door_stats){
		.open = fwd_tally_size(&door->open),
		.held = fwd_tally_size(&door->held),
		.served = fwd_tally_value(&door->served),
		.broken = fwd_tally_value(&door->broken),
	};
	for (size_t i = 0; i < DOOR_REFUSALS; i++)
		stats->refused[i] = fwd_tally_value(&door->refused[i]);
}

/* ---- A UDP flow's life ---- */

void fwd_tally_flow_begin(struct route_side *side)
{
	atomic_fetch_add_explicit(&side->route->tally.total, 1, memory_order_relaxed);
	fwd_tally_up(&side->route->tally.flows);
	fwd_tally_up(&side->route->forwarder->tally.flows);
	fwd_tally_up(&side->worker->tally.load);
}

void fwd_tally_flow_end(struct route_side *side, enum fwd_close_reason reason)
{
	fwd_tally_down(&side->route->tally.flows);
	fwd_tally_down(&side->route->forwarder->tally.flows);
	fwd_tally_end(side, DIRECTION_IN, reason);
}

void fwd_tally_lose(struct route_side *side, unsigned count)
{
	fwd_tally_add(&side->tally.udp_lost, count);
	fwd_tally_add(&side->worker->tally.udp_lost, count);
}

/* ---- Messages ---- */

void fwd_tally_send(struct route_side *side)
{
	fwd_tally_up(&side->tally.coming);
}

void fwd_tally_deliver(struct route_side *side)
{
	fwd_tally_down(&side->tally.coming);
}

bool fwd_tally_is_coming(const struct route_side *side)
{
	return fwd_tally_size(&side->tally.coming);
}

/* ---- Reading ---- */

size_t fwd_tally_load(const struct worker *worker)
{
	return fwd_tally_size(&worker->tally.load);
}

size_t fwd_tally_route_connections(const struct fwd_route *route)
{
	return fwd_tally_size(&route->tally.connections);
}

bool fwd_tally_is_drained(const struct forwarder *forwarder)
{
	return fwd_tally_size(&forwarder->tally.connections) <= fwd_tally_size(&forwarder->tally.flows);
}

void fwd_tally_add_worker(const struct worker *worker, struct fwd_stats *stats)
{
	const struct worker_tally *tally = &worker->tally;

	for (size_t reason = 0; reason < CLOSE_REASONS; reason++)
		stats->ended[reason] += atomic_load_explicit(&tally->ended[reason], memory_order_acquire);
	for (size_t bucket = 0; bucket < CONNECT_BUCKETS; bucket++)
		stats->connect_count[bucket] += fwd_tally_value(&tally->connect_count[bucket]);
	stats->connect_sum_us += fwd_tally_value(&tally->connect_sum_us);
	stats->bytes_to_guest += fwd_tally_value(&tally->bytes_to_guest);
	stats->bytes_from_guest += fwd_tally_value(&tally->bytes_from_guest);
	stats->udp_lost += fwd_tally_value(&tally->udp_lost);
	stats->connections_held += fwd_tally_size(&tally->held);
}

void fwd_tally_add_own(const struct forwarder *forwarder, struct fwd_stats *stats)
{
	stats->ended[CLOSE_LIMIT] += fwd_tally_value(&forwarder->tally.refused);
	stats->connections_open = fwd_tally_size(&forwarder->tally.connections);
}

static void fwd_tally_add_side(const struct side_tally *tally, struct fwd_route_stats *stats, uint64_t *active_ms)
{
	uint64_t active = fwd_tally_value(&tally->active_ms);

	stats->connections_held += fwd_tally_size(&tally->held);
	stats->bytes_to_guest += fwd_tally_value(&tally->bytes_to_guest);
	stats->bytes_from_guest += fwd_tally_value(&tally->bytes_from_guest);
	stats->udp_lost += fwd_tally_value(&tally->udp_lost);
	if (active > *active_ms)
		*active_ms = active;
}

void fwd_tally_read_route(const struct fwd_route *route, struct fwd_route_stats *stats)
{
	uint64_t active_ms = 0;

	*stats = (struct fwd_route_stats){
		.connections_total = fwd_tally_value(&route->tally.total),
		.connections_open = fwd_tally_size(&route->tally.connections),
	};
	for (size_t i = 0; i < route->forwarder->worker_count; i++) {
		if (route->sides[i])
			fwd_tally_add_side(&route->sides[i]->tally, stats, &active_ms);
	}
	stats->active_ms = active_ms;
	if (active_ms)
		stats->last_activity_ms = clock_wall_ms() - (int64_t)(clock_now_ms() - active_ms);
	if (stats->connections_open >= stats->connections_held)
		stats->connections_open -= stats->connections_held;
}
