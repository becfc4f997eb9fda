/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_HANDOVER_H
#define WEFT_FORWARDER_HANDOVER_H

/*
 * Live connections leave this run of weftd and come into the next one: as a record, which is bytes, and the descriptors that it
 * refers to by their number. How both get from one process to the next is the caller's; a descriptor may come as any copy of it.
 *
 * The end of a run: fwd_freeze(), then fwd_freeze_leave() once both are in safe hands, or fwd_freeze_undo() where that failed.
 * The start of a run: fwd_thaw_begin() right after fwd_new(), fwd_thaw_route() for each sandbox as soon as its slot is taken over
 * and its endpoints are open, fwd_thaw_default() when the default endpoint is open, fwd_thaw_drop_unknown() when all sandboxes are
 * known. What is still waiting when the run ends is part of the next fwd_freeze(). UDP flows are not handed over; they form anew.
 *
 * All functions and callbacks: main thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct forwarder;
struct fwd_route;

/* ---- The end of a run ---- */

/* What is to be handed over. Valid until fwd_freeze_leave() or fwd_freeze_undo(); the forwarder's. */
struct fwd_handover {
	const uint8_t *record;
	size_t record_size;
	const int *fds; /* in the order in which the record counts them */
	size_t fd_count;
	const int *
	    burden; /* what the next run does not need, but may close at leisure: here, each client would wait for it */
	size_t burden_count;
	size_t connections;
	uint64_t bytes; /* that were read of one side and are not taken by the other yet: in the record and in pipes */
};

/*
 * Prepares the sockets while they are served, then stops accepting for good, has every worker stand still, and describes the
 * connections. Clients that come from then on wait in the queues of the listening sockets. 0, or -1 with ERR (ENOMEM) and nothing has
 * changed. DONE is called once, never from within: with the handover; or with NULL and ERR (ENOMEM), and then all goes on as after
 * fwd_freeze_undo(). Each socket of HANDOVER sends a reset when its last copy is closed, so that a connection that nobody takes over
 * ends as what it is. May be called once, and not after fwd_drain(). fwd_free() before DONE resets the connections, and DONE is not
 * called any more.
 */
int fwd_freeze(struct forwarder *forwarder,
	       void (*done)(void *context, const struct fwd_handover *handover, const struct err *err), void *context,
	       struct err *err);

/* The connections go on here, as before. Accepting does not: fwd_drain() or fwd_free() follows. */
void fwd_freeze_undo(struct forwarder *forwarder);

/*
 * They are handed over: forgets them and closes this process's copies of their descriptors, of which no client and no guest sees
 * anything. They count as ended by no reason, and have no line in the log. fwd_free() follows.
 */
void fwd_freeze_leave(struct forwarder *forwarder);

/* ---- The start of a run ---- */

struct fwd_thaw_result {
	size_t taken;    /* connections that go on here */
	size_t lost;     /* those that were reset instead */
	uint64_t gap_ms; /* from the standstill of the former run until the last of them went on; 0: none went on */
};

/*
 * Reads RECORD, of SIZE bytes, which stays the caller's and may go when this returns. The COUNT descriptors FDS become the
 * forwarder's, in any case, and are -1 afterwards; -1 before: one that was lost on the way.
 * RECORD may be NULL with SIZE 0: nothing is known, all FDS are reset.
 *
 * Whatever cannot be right (a foreign version, bytes cut off or in excess, values out of range, descriptors that are not those
 * described) has its line in the log and costs the connections concerned, which are reset at once (reason: handover-lost). The others
 * wait for the functions below. New connections get ids above those of the record.
 *
 * DONE, which may be NULL, is called once none waits any more, in a later iteration of the loop. It is not called where there was no
 * memory to begin, which resets all. May be called once.
 */
void fwd_thaw_begin(struct forwarder *forwarder, const uint8_t *record, size_t size, int *fds, size_t count,
		    void (*done)(void *context, const struct fwd_thaw_result *result), void *context);

/*
 * Has the connections of ROUTE's sandbox go on, those that wait for it. To be called once the route's state is as it is now:
 * namespace, carrier (fwd_route_set_carrier_downs(), fwd_route_set_up()), pause, limits, pace, name; and after its listeners are
 * open. Each is taken over only when it is proved that
 *
 * - its descriptors are those of the former run, by the kernel's cookies, and a pipe holds what it should (else: handover-lost),
 * - the slot is the same, and the namespace too (else: no-namespace),
 * - unless it is held, dialing, or the route is paused: the carrier is up and was not lost meanwhile (else: carrier-lost).
 *
 * May be called again, and where none waits: then it does nothing.
 */
void fwd_thaw_route(struct fwd_route *route);

/* Has the clients of the default endpoint go on that found no backend there. After fwd_set_default(). */
void fwd_thaw_default(struct forwarder *forwarder);

/* Resets those that wait for a sandbox of which IS_KNOWN says false (reason: unregistered). fwd_route_close() does so for its own. */
void fwd_thaw_drop_unknown(struct forwarder *forwarder, bool (*is_known)(void *context, const char *id), void *context);

/* How many connections wait. */
size_t fwd_thaw_waiting(const struct forwarder *forwarder);

/* ---- Between the two: a proof ---- */

/*
 * How often the carrier of the sandbox's TAP was lost in the TAP's life (IFLA_CARRIER_DOWN_COUNT), as of the last
 * fwd_route_set_up(); -1: unknown. Kept in the record, and compared by fwd_thaw_route(). Unknown on either side proves nothing.
 */
void fwd_route_set_carrier_downs(struct fwd_route *route, int64_t downs);

#endif
