/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_GATE_H
#define WEFT_HTTP_GATE_H

/*
 * evhttp behind a gate: a request reaches it only when it is complete, within the limits and within its deadline. Connections
 * are capped, and what cannot be served is answered by us and not by evhttp. Main thread only.
 */

#include "http/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct evbuffer;
struct event_base;
struct gate;
struct http_peer; /* one connection */
struct reply;

enum {
	GATE_BODY_MAX = 64 * 1024, /* bytes of a request's body; beyond: 413 */
	GATE_REQUEST_MS = 10000,   /* for a whole request, from its connection or the previous reply */
	GATE_REPLY_MS = 60000,     /* for a client to take a reply */
	GATE_READING_MAX = 512,    /* connections without a complete request; beyond, the oldest one is closed */
	GATE_GRACE_MS = 1000,      /* how long a connection is safe from that */
	GATE_PEERS_MAX = 2048,     /* connections in all */
};

/* What a handler is given; valid until it returns. */
struct gate_request {
	enum head_method method;
	const char *target; /* not terminated */
	size_t target_length;
	bool printable;   /* of the target: see struct head */
	const char *host; /* the Host header; "" if there is none */
	const char *body;
	size_t body_length;
	int fd;         /* of the connection, the gate's */
	bool has_creds; /* false on TCP */
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

/* Owes REPLY its answer, now or later. */
typedef void gate_handler(void *context, const struct gate_request *request, struct reply *reply);

/* NULL with ERR. */
struct gate *gate_new(struct event_base *base, gate_handler *handle, void *context, struct err *err);

/* Serves what listens on FD, which it takes over in any case. 0 or -1 with ERR. Once for each socket. */
int gate_listen(struct gate *gate, int fd, struct err *err);

/* Ends all connections and stops listening. */
void gate_free(struct gate *gate);

/* Connections now, for the tests and the metrics. */
size_t gate_peers(const struct gate *gate);

/* ---- For reply.c: what can be said to a connection whose request is being served. ---- */

struct peer_answer {
	int status;
	const char *content_type; /* NULL: no body */
	const char *allow;        /* NULL, or the Allow header */
	struct evbuffer *body;    /* drained by the call; NULL: none */
	bool head_only;           /* tell the body's length and leave it out */
};

void peer_answer(struct http_peer *peer, const struct peer_answer *answer);

/* A reply without a known length: start, any number of writes, end. DRAINED is called whenever all that was written is taken. */
void peer_stream_start(struct http_peer *peer, const char *content_type);
void peer_stream_write(struct http_peer *peer, struct evbuffer *data, void (*drained)(void *context), void *context);
void peer_stream_end(struct http_peer *peer);
/* Bytes written and not taken yet. */
size_t peer_stream_pending(const struct http_peer *peer);

#endif
