/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_TALLY_H
#define WEFT_FORWARDER_TALLY_H

/*
 * Every counter of the forwarder that more than one thread uses. tally.c alone reads and changes them; the structs below lie
 * in the objects that they count for. One operation stands for one event of a connection's life and changes all counters
 * that it concerns.
 *
 * Operations on a route's side run on the thread of its worker, unless they say otherwise.
 */

#include "forwarder/forwarder.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_side;
struct worker;

/* The forwarder's own. Any thread changes them. */
struct tally {
	atomic_size_t connections;  /* accepted and not yet ended; UDP flows too */
	atomic_size_t flows;        /* of these, UDP: silence alone ends them, so no drain waits for them */
	atomic_size_t promised;     /* of these, those without a socket to the guest: each needs one more descriptor */
	atomic_size_t bulk_streams; /* of all workers */
};

/* A route's. Any thread changes them. */
struct route_tally {
	_Atomic uint64_t total;    /* connections ever */
	atomic_size_t connections; /* accepted and not yet ended */
};

/* A side's. Its worker alone changes them, except COMING. */
struct side_tally {
	atomic_size_t held;
	atomic_size_t coming; /* connections of another thread whose message is still under way; any thread */
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t active_ms; /* clock_now_ms() of the last byte; 0: none */
};

/* A worker's. It alone changes them, except LOAD. */
struct worker_tally {
	atomic_size_t load; /* connections; any thread */
	size_t bulk_streams;
	_Atomic uint64_t ended[CLOSE_REASONS];
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t connect_count[CONNECT_BUCKETS];
	_Atomic uint64_t connect_sum_us;
};

/* ---- Admission: any thread ---- */

/* Whether one more connection to ROUTE stays within both limits; 0: no limit. Counts nothing. */
bool fwd_tally_has_room(const struct fwd_route *route, unsigned limit_for_all, unsigned limit);

/* The same, and counts the connection in the same step, so that no other thread takes the same place. */
bool fwd_tally_admit(struct fwd_route *route, unsigned limit_for_all, unsigned limit);

/* A connection that no limit admitted. WORKER's thread. */
void fwd_tally_refuse(struct worker *worker);

/* ---- A connection's life ---- */

/* An admitted connection goes to SIDE. Any thread. */
void fwd_tally_arrive(struct route_side *side);

/* It arrived and is reset at once, for lack of memory. */
void fwd_tally_turn_away(struct route_side *side);

/* It waits for the guest's answer, or does so no longer. */
void fwd_tally_hold(struct route_side *side);
void fwd_tally_unhold(struct route_side *side);

/* The held connections of SIDE. */
size_t fwd_tally_held(const struct route_side *side);

/* A held connection moves from one side to another of the same worker. False: beyond LIMIT (0: none) of the new route. */
bool fwd_tally_move(struct route_side *from, struct route_side *to, unsigned limit);

/* A descriptor will be needed for a socket to the guest, or no longer. Any thread. */
void fwd_tally_promise(struct forwarder *forwarder);
void fwd_tally_unpromise(struct forwarder *forwarder);
size_t fwd_tally_promised(const struct forwarder *forwarder);

/* The guest answered to a connection accepted at ACCEPTED_US: for the histogram. */
void fwd_tally_connect(struct worker *worker, uint64_t accepted_us);

/* Bytes passed on; SIDE is active now. */
void fwd_tally_pass(struct route_side *side, uint64_t to_guest, uint64_t from_guest);

/* A stream begins to move bulk data: the worker's bulk streams, this one included. *ONLY: no other of any worker. */
size_t fwd_tally_bulk_begin(struct worker *worker, bool *only);
void fwd_tally_bulk_end(struct worker *worker);

/* It has ended: the last counter to change, so that a reader who sees it counted as ended finds it in no other sum. */
void fwd_tally_end(struct route_side *side, enum fwd_close_reason reason);

/* ---- A UDP flow's life ---- */

void fwd_tally_flow_begin(struct route_side *side);
void fwd_tally_flow_end(struct route_side *side, enum fwd_close_reason reason);

/* ---- Messages to SIDE that carry a connection: sent by any thread, delivered on its worker's ---- */

void fwd_tally_send(struct route_side *side);
void fwd_tally_deliver(struct route_side *side);
bool fwd_tally_is_coming(const struct route_side *side);

/* ---- Reading: any thread. Sums may be a moment old, never torn ---- */

size_t fwd_tally_load(const struct worker *worker);

/* Connections of ROUTE, those held and UDP flows too. */
size_t fwd_tally_route_connections(const struct fwd_route *route);

/* Whether nothing but UDP flows is left. */
bool fwd_tally_is_drained(const struct forwarder *forwarder);

/* Adds the counters of WORKER to STATS. */
void fwd_tally_add_worker(const struct worker *worker, struct fwd_stats *stats);

/* The forwarder's open connections, for STATS: to be read after its workers' counters. */
void fwd_tally_set_open(const struct forwarder *forwarder, struct fwd_stats *stats);

/* The counters of ROUTE, all sides together. Main thread. */
void fwd_tally_read_route(const struct fwd_route *route, struct fwd_route_stats *stats);

#endif
