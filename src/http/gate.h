/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_GATE_H
#define WEFT_HTTP_GATE_H

/*
 * An HTTP/1.x server that nobody can stall. A handler gets a request only when it is complete, within the limits and within its
 * deadline; the gate answers everything else by itself. Connections are capped. Main thread only.
 */

#include "http/head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct event_base;
struct http_gate;
struct http_exchange;

enum {
	GATE_REQUEST_MS = 10000, /* for a whole request, from its connection or the previous reply */
	GATE_REPLY_MS = 60000,   /* for a client to take a reply */
	GATE_READING_MAX =
	    512, /* connections without a complete request; beyond, the oldest one is closed. The default */
	GATE_GRACE_MS = 1000,  /* a connection is safe from that for so long */
	GATE_PEERS_MAX = 2048, /* connections in all. The default */
};

/* The request as a handler gets it; valid until the handler returns. */
struct http_request {
	enum http_method method;
	const char *target; /* not terminated */
	size_t target_length;
	bool printable;   /* of the target: see struct head */
	bool has_host;    /* only HTTP/1.0 goes without */
	const char *host; /* the Host header; "" if there is none */
	enum http_sender sender;
	const char *body;
	size_t body_length;
	int fd;         /* of the connection; it belongs to the gate */
	bool has_creds; /* false on TCP */
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

struct http_gate_ops {
	/* Owes EXCHANGE its answer, now or later. */
	void (*handle)(void *context, const struct http_request *request, struct http_exchange *exchange);
	/* The body of the gate's own answer STATUS, malloc()ed; NULL for lack of memory: the answer goes without. */
	char *(*describe)(int status, const char *detail);
	const char *description_type; /* the Content-Type of such a body */
	const char *fields; /* of each answer's head, the gate's own too: whole lines; NULL: none. At most 64 bytes */
};

/* OPS must outlive the gate; CONTEXT is the handler's. NULL with ERR. */
struct http_gate *http_gate_new(struct event_base *base, const struct http_gate_ops *ops, void *context,
				struct err *err);

/* Caps the connections at PEERS in all and READING without a complete request, before the first one comes. */
void http_gate_set_caps(struct http_gate *gate, size_t peers, size_t reading);

/* Accepts from FD, which listens and is taken over in any case. 0 or -1 with ERR. Once for each socket. */
int http_gate_listen(struct http_gate *gate, int fd, struct err *err);

/*
 * Accepts from FD in the place of the first socket, which is closed; those who are connected, and those in its queue, are served.
 * FD is taken over in any case. 0, or -1 with ERR and the first socket is still heard.
 */
int http_gate_replace(struct http_gate *gate, int fd, struct err *err);

/* Serves the connection FD, which does not block and is taken over in any case: lack of memory, or of room, closes it. */
void http_gate_serve(struct http_gate *gate, int fd);

/* Ends all connections and stops listening. */
void http_gate_free(struct http_gate *gate);

/* Connections now. */
size_t http_gate_peers(const struct http_gate *gate);

#endif
