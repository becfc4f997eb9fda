/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLIENT_CLIENT_H
#define WEFT_CLIENT_CLIENT_H

/*
 * One request over weftd's control socket, one answer, one connection. Every wait has an end. client/ask.h has the same in JSON.
 * Calls block; any thread.
 */

#include "client/response.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

struct client_request {
	const char *socket; /* path */
	const char *agent;  /* the program that asks, for User-Agent */
	const char *method; /* "GET", ... */
	const char *target; /* path and query, encoded */
	const char *body;   /* may be NULL */
	size_t body_length;
	unsigned timeout_ms; /* for the whole exchange, connecting included; of a stream, for its first piece */
	unsigned silence_ms; /* of a stream: between two pieces of it */
};

struct client_answer {
	unsigned status;
	char content_type[RESPONSE_TYPE_SIZE];
	unsigned retry_after_s; /* 0: not said */
	char *body;             /* owned; NUL-terminated beyond its length; NULL if there was none */
	size_t length;
};

void client_answer_clear(struct client_answer *answer);

/*
 * The whole answer, for client_answer_clear(). 0, or -1 with ERR: code EPROTO if the answer is not HTTP as weftd speaks it,
 * ENOMEM for want of memory, any other if the daemon is not reachable: nobody listens, no permission, ENOTSOCK with a text that names
 * the file in the socket's place, or ETIMEDOUT with the text "weftd (process N) does not answer".
 */
int client_call(const struct client_request *request, struct client_answer *answer, struct err *err);

/* Called with each line of a stream, without its newline and NUL-terminated. False ends it. */
typedef bool client_line(void *context, char *line, size_t length);

/*
 * A stream of lines. A 200 is passed to LINE line by line as it comes; any other answer is collected into ANSWER. 0 when the
 * stream ended properly or LINE returned false; -1 with ERR as above, EPROTO also for a stream that was cut off.
 */
int client_stream(const struct client_request *request, client_line *line, void *context, struct client_answer *answer,
		  struct err *err);

#endif
