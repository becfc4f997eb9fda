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
	atomic_size_t busy_routes;  /* that have a connection */
	atomic_size_t pipes;        /* open, lent or idle */
	atomic_size_t bulk_streams; /* of all workers */
	_Atomic uint64_t refused;   /* connections, and runs of datagrams, that no limit admitted */
	struct door_tally {
		atomic_size_t open, held;                /* connections that came through the door */
		_Atomic uint64_t served, broken;         /* ever */
		_Atomic uint64_t refused[DOOR_REFUSALS]; /* ever */
	} door;
};

/* A route's. Any thread changes them. */
struct route_tally {
	_Atomic uint64_t total;    /* connections ever */
	atomic_size_t connections; /* accepted and not yet ended; UDP flows too */
	atomic_size_t directed[2]; /* the same by enum fwd_direction: each has a limit of its own */
	atomic_size_t flows;       /* of these, UDP */
	atomic_size_t pipes;       /* lent to its streams */
};

/* A side's. Its worker alone changes them, except COMING. */
struct side_tally {
	atomic_size_t held;
	atomic_size_t coming; /* connections of another thread whose message is still under way; any thread */
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t udp_lost;  /* datagrams that were not passed on */
	_Atomic uint64_t active_ms; /* clock_now_ms() of the last byte; 0: none */
};

/* A worker's. It alone changes them, except LOAD and ENDED. */
struct worker_tally {
	atomic_size_t load; /* connections; any thread */
	atomic_size_t held; /* of these, those that wait for their guest */
	size_t bulk_streams;
	_Atomic uint64_t ended[CLOSE_REASONS]; /* any thread */
	_Atomic uint64_t bytes_to_guest, bytes_from_guest;
	_Atomic uint64_t udp_lost; /* datagrams that were not passed on */
	_Atomic uint64_t connect_count[CONNECT_BUCKETS];
	_Atomic uint64_t connect_sum_us;
};

/* ---- Admission: any thread ---- */

/*
 * Whether one more connection of ROUTE in DIRECTION stays within both limits: LIMIT_FOR_ALL, of all routes and both directions, and
 * LIMIT, of the route in that direction; 0: no limit. It is counted in the same step, so that no other thread takes the same place.
 */
bool fwd_tally_admit(struct fwd_route *route, enum fwd_direction direction, unsigned limit_for_all, unsigned limit);

/* Takes that back: the connection, or flow, could not be made. */
void fwd_tally_withdraw(struct fwd_route *route, enum fwd_direction direction);

/* A connection, or a run of datagrams, that no limit admitted. */
void fwd_tally_refuse(struct forwarder *forwarder);

/* Descriptors of all connections, flows and pipes; those of ROUTE; the routes that have any. A connection counts two. */
int64_t fwd_tally_descriptors(const struct forwarder *forwarder);
int64_t fwd_tally_route_descriptors(const struct fwd_route *route);
int64_t fwd_tally_busy_routes(const struct forwarder *forwarder);

/* ---- A connection's life ---- */

/* An admitted connection goes to SIDE. Any thread. */
void fwd_tally_arrive(struct route_side *side);

/* The same for one of the former run, which counted it. */
void fwd_tally_return(struct route_side *side);

/* A connection of SIDE that its client had reset before it was accepted: it is begun and ended, and was never open. Any thread. */
void fwd_tally_miss(struct route_side *side);

/* It leaves, to the next run of weftd, and counts as ended by no reason. */
void fwd_tally_leave(struct route_side *side, enum fwd_direction direction);

/* COUNT connections were reset for REASON before they came to a side: the former run's, or of no sandbox. Any thread. */
void fwd_tally_drop(struct forwarder *forwarder, enum fwd_close_reason reason, size_t count);

/* It waits for the guest's answer, or does so no longer. */
void fwd_tally_hold(struct route_side *side);
void fwd_tally_unhold(struct route_side *side);

/* The held connections of SIDE. */
size_t fwd_tally_held(const struct route_side *side);

/* A held connection moves from one side to another of the same worker. False: beyond LIMIT (0: none) of the new route. */
bool fwd_tally_move(struct route_side *from, struct route_side *to, unsigned limit);

/* The guest answered to a connection accepted at ACCEPTED_US: for the histogram. */
void fwd_tally_connect(struct worker *worker, uint64_t accepted_us);

/* Bytes passed on; SIDE is active now. */
void fwd_tally_pass(struct route_side *side, uint64_t to_guest, uint64_t from_guest);

/* A stream begins to move bulk data: the worker's bulk streams, this one included. *ONLY: no other of any worker. */
size_t fwd_tally_bulk_begin(struct worker *worker, bool *only);
void fwd_tally_bulk_end(struct worker *worker);

/* Counts the open pipes, for the pools. */
atomic_size_t *fwd_tally_pipes(struct forwarder *forwarder);

/* A pipe is lent to a stream of SIDE, or given back. */
void fwd_tally_pipe_lent(struct route_side *side);
void fwd_tally_pipe_back(struct route_side *side);

/* It has ended: the last counter to change, so that a reader who sees it counted as ended finds it in no other sum. */
void fwd_tally_end(struct route_side *side, enum fwd_direction direction, enum fwd_close_reason reason);

/* ---- The door: any thread ---- */

/* A connection that came through the door begins, or has ended; waits for its guest, or does so no longer; the guest answered. */
void fwd_tally_door_begin(struct forwarder *forwarder);
void fwd_tally_door_end(struct forwarder *forwarder);
void fwd_tally_door_hold(struct forwarder *forwarder);
void fwd_tally_door_unhold(struct forwarder *forwarder);
void fwd_tally_door_serve(struct forwarder *forwarder);

/* A client was refused; or it sent no correct header. */
void fwd_tally_door_refuse(struct forwarder *forwarder, enum door_refusal refusal);
void fwd_tally_door_break(struct forwarder *forwarder);

void fwd_tally_read_door(const struct forwarder *forwarder, struct fwd_door_stats *stats);

/* ---- A UDP flow's life ---- */

/* The flow was admitted. */
void fwd_tally_flow_begin(struct route_side *side);
void fwd_tally_flow_end(struct route_side *side, enum fwd_close_reason reason);

/* COUNT datagrams of SIDE were not passed on. */
void fwd_tally_lose(struct route_side *side, unsigned count);

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

/* The forwarder's own counters, for STATS: to be read after its workers'. */
void fwd_tally_add_own(const struct forwarder *forwarder, struct fwd_stats *stats);

/* The counters of ROUTE, all sides together. Main thread. */
void fwd_tally_read_route(const struct fwd_route *route, struct fwd_route_stats *stats);

#endif
