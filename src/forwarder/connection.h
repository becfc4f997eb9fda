/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_CONNECTION_H
#define WEFT_FORWARDER_CONNECTION_H

/*
 * A forwarded connection: two sockets and a stream each way. It lives on one worker, whose thread alone touches it.
 *
 *	connection.c  made from what the listener accepted; its events and timers go to the file of its state
 *	hold.c        HELD: the client waits until the guest may be dialed
 *	dial.c        DIALING: a connect under way, inside the sandbox's namespace
 *	pump.c        OPEN: bytes both ways
 *	close.c       the one way to end it: sockets closed, counted, one log line
 */

#include "base/addr.h"
#include "base/queue.h"
#include "forwarder/forwarder.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/poller.h"
#include "forwarder/wheel.h"

struct arrival;
struct connection;
struct fwd_endpoint;
struct route_side;
struct worker;

enum which {
	CLIENT,
	GUEST,
};

enum connection_state {
	CONNECTION_HELD,      /* no socket to the guest: it may not be dialed, or not yet again. Then DIALING */
	CONNECTION_DIALING,   /* a socket to the guest, connecting. Then OPEN, or HELD again */
	CONNECTION_OPEN,      /* Then LINGERING or CLOSED */
	CONNECTION_LINGERING, /* done but for the guest's acknowledgement of the last bytes. Then CLOSED */
	CONNECTION_CLOSED,    /* ended and logged; freed at the end of the turn */
};

/* One of the two sockets. Once it is watched it stays so, edge-triggered, for both directions: nothing is ever re-armed. */
struct peer {
	struct poll_source source;
	int fd; /* -1: none */
	enum which which : 8;
	bool readable : 1; /* not known to be drained */
	bool writable : 1; /* not known to be full */
	bool ended : 1;    /* its FIN was read */
	bool watched : 1;
	bool special : 1; /* a FIN, an error or an urgent byte was announced: a short read proves nothing any more */
};

/* The bytes from one peer to the other. */
struct stream {
	struct pipe pipe; /* holds bytes only while the receiver takes none; PIPE_NONE while copying */
	char *rest;       /* read and not taken yet: owned; NULL: nothing */
	uint32_t rest_at; /* of it, sent already */
	uint32_t rest_size;
	uint64_t bytes;    /* taken by the receiver */
	bool bulk : 1;     /* the last reads were large: splice */
	bool bounded : 1;  /* the kernel's buffers are */
	bool finished : 1; /* FIN passed on: nothing will come */
};

struct connection {
	TAILQ_ENTRY(connection) queue;  /* again or dead */
	LIST_ENTRY(connection) of_side; /* of its route */
	struct worker *worker;
	struct route_side *side;
	struct fwd_endpoint *endpoint; /* with a reference */
	uint64_t id;
	struct addr client;
	enum connection_state state : 8;
	bool queued : 1;  /* on the worker's queue `again` */
	bool leaving : 1; /* HELD, DIALING: the client sent a FIN and nothing before it */
	uint16_t dials;   /* attempts so far, saturated */
	int error;        /* errno of the last failure: for the log line */

	struct peer peers[2];     /* by enum which */
	struct stream streams[2]; /* by the peer they come from */

	struct wheel_entry timer;
	uint64_t accepted_us;
	uint64_t accepted_ms;
	uint64_t deadline_ms;    /* HELD, DIALING: when to give up; LINGERING: when to reset */
	uint64_t refused_ms;     /* first refusal while the guest was ready; 0: none */
	uint64_t connected_ms;   /* 0: not yet */
	uint64_t active_ms;      /* last byte, either way */
	uint64_t half_closed_ms; /* first FIN; 0: none */
	uint64_t settle_ms;      /* when keepalive is to be set on the guest's socket; WHEEL_NEVER: it is */
};

/* ---- connection.c ---- */

/* A number for the next connection, or flow. Any thread. */
uint64_t connection_next_id(void);

/* Milliseconds since it was accepted. */
uint64_t connection_age_ms(const struct connection *connection);

/* Takes over what ARRIVAL owns, and begins. On failure the client is reset. */
void connection_begin(struct worker *worker, const struct arrival *arrival);

/* Resets what came through ENDPOINT (reason: unregistered). */
void connections_reset_endpoint(struct worker *worker, const struct fwd_endpoint *endpoint);

/* Expires at DUE_MS, for what the state makes of it; replaces what was awaited before. */
void connection_wait(struct connection *connection, uint64_t due_ms);

/* The wheels' callback. */
void connection_expired(struct wheel_entry *entry);

/* Watches PEER, whose fd is set, unless it is watched already. 0, or -1 with errno (ENOMEM, ENOSPC). */
int connection_watch(struct connection *connection, struct peer *peer);

/* The same for the client; ends the connection on failure. */
void connection_watch_client(struct connection *connection);

/* Has the kernel send to the client no faster than its route's pace. */
void connection_pace(struct connection *connection);

/* Queues it to go on at the end of this turn: a held one decides anew, an open one moves bytes. */
void connection_go_on_later(struct connection *connection);
void connection_dequeue(struct connection *connection);
void connection_go_on(struct connection *connection);

/* What the peer's socket reports as its error, and clears it there; 0: none. */
int peer_error(const struct peer *peer);

/* ---- hold.c ---- */

/* Dials, waits, or ends it, as the route's state says. The state is HELD. */
void hold_decide(struct connection *connection);

/* Something happened to the client's socket while it is held or the guest is being dialed. */
void hold_client_event(struct connection *connection, uint32_t events);

/* ---- dial.c ---- */

void dial_start(struct connection *connection);
void dial_event(struct connection *connection, uint32_t events);
void dial_expired(struct connection *connection);

/* Drops the attempt: HELD again. */
void dial_abandon(struct connection *connection);

/* ---- pump.c ---- */

/* The guest answered: from now on bytes flow. */
void pump_begin(struct connection *connection);

/* Moves what can be moved, within a budget. */
void pump_run(struct connection *connection);

/* The same on EVENTS of PEER. */
void pump_event(struct connection *connection, const struct peer *peer, uint32_t events);

/* Gives back what a stream holds. */
void stream_drop(struct connection *connection, struct stream *stream);

/* ---- timeouts.c ---- */

/* The connection is open: keepalive, idle and half-closed limits from now on. */
void timeouts_begin(struct connection *connection);
void timeouts_expired(struct connection *connection);

/* Keepalive for the socket FD: probes after KEEPALIVE_MS of silence, each KEEPALIVE_MS; 0: off. Any thread. */
void keepalive_set(int fd, unsigned keepalive_ms);

/* The guest may be frozen for long from now on, and is not to be given up for that. */
void timeouts_pause(struct connection *connection);
void timeouts_resume(struct connection *connection, uint64_t paused_ms);

/* ---- close.c ---- */

/* Ends it. ERROR: errno to be told in the log, 0 for none. Whatever is still awaited of the connection is not. */
void connection_close(struct connection *connection, enum close_reason reason, int error);

/* LINGERING: the guest's socket has news. */
void linger_event(struct connection *connection);

/* Closes *FD with a reset instead of a FIN, and sets it to -1. */
void close_with_reset(int *fd);

#endif
