/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_CONNECTION_H
#define WEFT_FORWARDER_CONNECTION_H

/*
 * A forwarded connection: two sockets and a stream each way. It lives on one worker, whose thread alone touches it. Of its two peers
 * one is the guest: the server, which is dialed; or, with DIRECTION_OUT, the client, who asked for a service (services.h). From
 * accept to close:
 *
 *	accept.c  a worker accepts a client, or gets one from another thread (arrival.c); life.c makes the connection
 *	hold.c    HELD: the client waits until the server may be dialed
 *	dial.c    DIALING: a connect to the target under way
 *	pump.c    OPEN: bytes both ways
 *	close.c   LINGERING and CLOSED, and the one way to end it: sockets closed, counted, one log line
 *
 * Each state is a table of operations, defined in its file. connection.c is the ground below them: it changes the state and leads
 * events and timers to the operations.
 */

#include "base/addr.h"
#include "base/queue.h"
#include "forwarder/dial_target.h"
#include "forwarder/forwarder.h"
#include "forwarder/stream.h"
#include "forwarder/wheel.h"

struct connection;
struct door_policy;
struct fwd_endpoint;
struct route_side;
struct route_state;
struct worker;

enum fwd_connection_phase {
	CONNECTION_BORN, /* no state yet. Then HELD; from the former run, OPEN or LINGERING too */
	CONNECTION_HELD, /* no socket to the server: it may not be dialed, or not yet again. Then DIALING or CLOSED */
	CONNECTION_DIALING,   /* a socket to the server, connecting. Then OPEN, HELD again, or CLOSED */
	CONNECTION_OPEN,      /* the server has answered. Then LINGERING or CLOSED */
	CONNECTION_LINGERING, /* done except for the guest's acknowledgement of the last bytes. Then CLOSED */
	CONNECTION_CLOSED,    /* ended and logged; freed at the end of the iteration. Final */
};

/* The operations of one state. Each may change the state, and may close the connection. */
struct connection_state {
	enum fwd_connection_phase phase;
	const char *name; /* as listed */
	bool waits;       /* for the server's answer: counts as held */

	/* EVENTS (EPOLLIN, ...) of the socket of PEER, whose flags know them already. */
	void (*event)(struct connection *connection, struct peer *peer, uint32_t events);

	/* The time of fwd_connection_wait() has come. */
	void (*expired)(struct connection *connection);

	/* The end of an iteration, after fwd_connection_go_on_later(). */
	void (*go_on)(struct connection *connection);

	/* The state of its route has changed from BEFORE. */
	void (*route_changed)(struct connection *connection, const struct route_state *before);
};

extern const struct connection_state hold_state, dial_state, pump_state, linger_state, closed_state;

struct connection {
	TAILQ_ENTRY(connection) queue;  /* again or dead */
	LIST_ENTRY(connection) of_side; /* of its route */
	struct worker *worker;
	struct route_side *side;
	struct fwd_endpoint *endpoint; /* with a reference */
	uint64_t id;
	struct addr client;
	const struct connection_state *state; /* NULL: BORN. fwd_connection_become() alone sets it */
	enum fwd_direction direction : 8;     /* of its endpoint */
	bool queued : 1;                      /* on the worker's queue `again` */
	bool leaving : 1;                     /* HELD, DIALING: the client sent a FIN and nothing before it */
	uint16_t dials;                       /* attempts so far, saturated */
	int error;                            /* errno of the last failure: for the log line */

	struct peer peers[2];     /* by enum which */
	struct stream streams[2]; /* by the peer they come from */

	struct wheel_entry timer;
	uint64_t accepted_us;
	uint64_t accepted_ms;
	uint64_t deadline_ms;    /* HELD, DIALING: when to give up; LINGERING: when to reset */
	uint64_t refused_ms;     /* first refusal while the guest was ready, or of a service; 0: none */
	uint64_t connected_ms;   /* 0: not yet */
	uint64_t active_ms;      /* last byte, either way */
	uint64_t half_closed_ms; /* first FIN; 0: none */
	uint64_t settle_ms;      /* when keepalive is to be set on the server's socket; WHEEL_NEVER: it is */
};

/* The guest of the two peers. */
static inline struct peer *fwd_connection_guest(struct connection *connection)
{
	return &connection->peers[fwd_guest_end(connection->direction)];
}

/* Bytes that the guest has taken, or that were taken of it. */
static inline uint64_t fwd_connection_bytes_to_guest(const struct connection *connection)
{
	return connection->streams[!fwd_guest_end(connection->direction)].bytes;
}

static inline uint64_t fwd_connection_bytes_from_guest(const struct connection *connection)
{
	return connection->streams[fwd_guest_end(connection->direction)].bytes;
}

/* ---- connection.c ---- */

/* A number for the next connection, or flow. Any thread. */
uint64_t fwd_connection_next_id(void);

/* The last of these, and: those that come are above LAST. Any thread. */
uint64_t fwd_connection_last_id(void);
void fwd_connection_skip_ids(uint64_t last);

/* Milliseconds since it was accepted. */
uint64_t fwd_connection_age_ms(const struct connection *connection);

/* Milliseconds from accept to the server's answer; -1: not yet. */
int64_t fwd_connection_connect_ms(const struct connection *connection);

/* Its phase; CONNECTION_BORN before the first fwd_connection_become(). */
enum fwd_connection_phase fwd_connection_phase(const struct connection *connection);

/* Whether TO may follow FROM. */
bool fwd_connection_may_become(enum fwd_connection_phase from, enum fwd_connection_phase to);

/* Changes the state, and the count of held connections with it. A move that is not allowed is a bug, and aborts. */
void fwd_connection_become(struct connection *connection, const struct connection_state *state);

/* Whether it came through the door, and POLICY does not let it in, or no longer; then *REASON. */
bool fwd_connection_is_shut_out(const struct connection *connection, const struct door_policy *policy,
				enum fwd_close_reason *reason);

/* How long it may wait for its server from accept on, by STATE of its route. */
unsigned fwd_connection_patience_ms(const struct connection *connection, const struct route_state *state);

/* Expires at DUE_MS; replaces the time that was set before. */
void fwd_connection_wait(struct connection *connection, uint64_t due_ms);

/* Of one that waits for its guest: the deadline moves as its route's, which was that of BEFORE. */
void fwd_connection_follow_deadline(struct connection *connection, const struct route_state *before);

/* The wheels' callback. */
void fwd_connection_expired(struct wheel_entry *entry);

/* Watches PEER, whose fd is set, unless it is watched already. 0, or -1 with errno (ENOMEM, ENOSPC). */
int fwd_connection_watch(struct connection *connection, struct peer *peer);

/*
 * Whether the change of its route from BEFORE ends it, while it waits for its server; then *REASON. A client waits for a guest that went,
 * but a guest that went waits for nothing.
 */
bool fwd_connection_is_ended(const struct connection *connection, const struct route_state *before,
			     enum fwd_close_reason *reason);

/* Whether it ends it now that its server has answered; then *REASON. */
bool fwd_connection_is_cut(const struct connection *connection, const struct route_state *before,
			   enum fwd_close_reason *reason);

/* Whether its server may be dialed now, by the state of its route. */
bool fwd_connection_may_dial(const struct connection *connection);

/* What is dialed for it. */
struct fwd_target fwd_connection_target(const struct connection *connection);

/* Has the kernel send to the guest's client no faster than its route's pace. What a guest sends itself was limited before. */
void fwd_connection_pace(struct connection *connection);

/* Queues it for the operation `go_on` at the end of this iteration, and takes it off that queue. */
void fwd_connection_go_on_later(struct connection *connection);
void fwd_connection_dequeue(struct connection *connection);

/* ---- dial.c ---- */

/* Begins an attempt. From HELD. */
void fwd_dial_start(struct connection *connection);

/* ---- pump.c ---- */

/* The server answered, and bytes flow from now on. From OPEN. */
void fwd_pump_begin(struct connection *connection);

/* ---- timeouts.c ---- */

/* Sets the timer of an open connection by its limits: idle, half closed, and the settling that sets keepalive. */
void fwd_timeouts_begin(struct connection *connection);
void fwd_timeouts_expired(struct connection *connection);

/* The limits of its route, which were BEFORE, have changed. */
void fwd_timeouts_follow(struct connection *connection, const struct limits *before);

/* The guest may be frozen for long from now on, which does not end the connection. PAUSED_MS: how long it was. */
void fwd_timeouts_pause(struct connection *connection);
void fwd_timeouts_resume(struct connection *connection, uint64_t paused_ms);

/* ---- close.c ---- */

/* It goes on in the next run of weftd: forgets it without a word to its peers. */
void fwd_connection_leave(struct connection *connection);

/* Ends it. ERROR: errno for the log line, 0 for none. Nothing is awaited of the connection any more. */
void fwd_connection_close(struct connection *connection, enum fwd_close_reason reason, int error);

#endif
