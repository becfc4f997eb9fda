/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_GATE_INTERNAL_H
#define WEFT_HTTP_GATE_INTERNAL_H

/*
 * A connection as gate.c (its life) and gate_read.c (its requests) know it.
 */

#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "http/gate.h"

#include <event2/bufferevent.h>

struct evhttp;
struct evhttp_connection;
struct evhttp_request;
struct gate_accept;

enum { ACCEPTORS_MAX = 16 };

enum peer_state {
	PEER_NEW,       /* evhttp is still setting it up; then READING */
	PEER_READING,   /* collecting a request; then SERVING or REFUSING */
	PEER_SERVING,   /* the handler owes a reply, or a stream runs; then WRITING */
	PEER_WRITING,   /* the client takes the reply; then READING or gone */
	PEER_REFUSING,  /* the client takes our own answer; then LINGERING */
	PEER_LINGERING, /* what it still sends is thrown away; then gone */
};

struct http_peer {
	TAILQ_ENTRY(http_peer) next; /* in gate->reading while READING, else in gate->others */
	struct gate *gate;
	struct bufferevent *bufferevent; /* evhttp's, freed with its connection */
	struct evhttp_connection *connection;
	bufferevent_data_cb evhttp_read, evhttp_write;
	enum peer_state state;
	bool half_closed; /* the client has shut down its sending side */
	uint64_t reading_since_ms;
	struct timer deadline; /* of the state */
	struct event *kick;    /* goes on in this turn of the loop, when evhttp has returned */
	struct evbuffer *inbox;
	char *text; /* the request so far */
	size_t text_length, text_size;
	bool has_head, continued;
	struct head head;
	size_t target_at; /* where head.target stands in text, which may move */
	struct chunks chunks;
	size_t request_length;          /* of a complete request, in text */
	struct evhttp_request *request; /* while SERVING and WRITING */
	struct reply *reply;            /* owed; NULL when answered */
	bool streaming;
	void (*drained)(void *context);
	void *drained_context;
	uint64_t lingered;
};

TAILQ_HEAD(peer_list, http_peer);

struct gate {
	struct event_base *base;
	struct evhttp *http;
	gate_handler *handle;
	void *context;
	struct peer_list reading, others; /* reading: the oldest first */
	size_t reading_count, count;
	struct http_peer *current; /* whose request evhttp is reading right now; NULL again if it went away */
	struct gate_accept *acceptors[ACCEPTORS_MAX];
	size_t acceptor_count;
	struct log_limit refused, evicted;
};

/* ---- gate.c ---- */

/* DEADLINE_MS: 0 for none. */
void peer_set_state(struct http_peer *peer, enum peer_state state, uint64_t deadline_ms);

/* Ends the connection and frees the peer. */
void peer_close(struct http_peer *peer);

/* Puts our callbacks on the bufferevent, in place of evhttp's. */
void peer_install(struct http_peer *peer);

/* Lets evhttp have the request that is complete, so that it is served. May free the peer. */
void peer_hand_over(struct http_peer *peer);

/* ---- gate_read.c ---- */

/* Goes on reading a request with what is in the inbox, and serves or refuses it when it can be judged. May free the peer. */
void peer_advance(struct http_peer *peer);

#endif
