/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_PEER_H
#define WEFT_HTTP_PEER_H

/*
 * A connection: its socket, its state and its deadline. gate.c decides what happens in each state, exchange.c writes the replies;
 * both work on this. Main thread only.
 */

#include "base/loop.h"
#include "base/queue.h"
#include "http/intake.h"

#include <event2/bufferevent.h>

struct err;
struct http_exchange;

enum {
	PEER_LOST_MS = 1
}; /* until a connection is closed for which there is no memory: its caller may still use the peer */

enum peer_state {
	PEER_READING,   /* collecting a request; then SERVING or REFUSING */
	PEER_SERVING,   /* the handler owes a reply, or a stream runs; then WRITING */
	PEER_WRITING,   /* the client takes the reply; then READING or gone */
	PEER_REFUSING,  /* the client takes the gate's own answer; then LINGERING */
	PEER_LINGERING, /* bytes that still come are thrown away; then gone */
};

TAILQ_HEAD(http_peer_list, http_peer);

/* The connections of a gate. */
struct peer_set {
	struct http_peer_list reading, others; /* reading: those in PEER_READING, the oldest first */
	size_t reading_count, count;
	const char *fields; /* of each answer's head: whole lines; NULL: none */
};

struct http_peer {
	TAILQ_ENTRY(http_peer) next;
	struct peer_set *set;
	struct bufferevent *bufferevent; /* owns the socket */
	enum peer_state state;           /* set by http_peer_set_state() alone */
	bool half_closed;                /* the client has shut down its sending side */
	bool continued;                  /* "100 Continue" was sent for this request */
	uint64_t reading_since_ms;
	struct timer deadline; /* of the state */
	struct intake intake;
	struct http_exchange *exchange; /* while SERVING; NULL once it is answered */
	uint64_t lingered;              /* bytes thrown away */
};

void http_peer_set_init(struct peer_set *set);

/* In PEER_READING, with the socket FD; EXPIRED gets the peer. NULL for lack of memory: FD is closed in any case. */
struct http_peer *http_peer_new(struct peer_set *set, struct event_base *base, int fd, void (*expired)(void *peer),
				uint64_t deadline_ms);

/* Closes the socket and frees the peer. Its exchange has been detached before. */
void http_peer_free(struct http_peer *peer);

/* DEADLINE_MS from now; 0 for none. */
void http_peer_set_state(struct http_peer *peer, enum peer_state state, uint64_t deadline_ms);

/*
 * Whether the client is known to be gone. On a unix socket a client that closed hangs up, and one that only sends no more does not;
 * on TCP both look the same until something is sent.
 */
bool http_peer_hung_up(const struct http_peer *peer);

/* Whether the client is on a unix socket. */
bool http_peer_is_local(const struct http_peer *peer);

/* Whether nothing of a request is on its way: the peer has been READING for GRACE_MS and no bytes wait in its socket. */
bool http_peer_is_idle(const struct http_peer *peer, uint64_t now_ms, uint64_t grace_ms);

/*
 * Sends the output when the socket takes it: after each write to the bufferevent. Its own callback for that may be missing, as libevent
 * does not tell that it found no memory for it. False: it cannot be sent.
 */
bool http_peer_send(struct http_peer *peer);

/* Sends the output as far as the socket takes it at once: for a connection that no loop serves any more. */
void http_peer_flush_finally(struct http_peer *peer);

#endif
