/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_INTAKE_H
#define WEFT_HTTP_INTAKE_H

/*
 * Collects one request after another from a connection's input and judges each as early as possible. It knows no socket and
 * answers nothing: its verdict says what the gate has to do. One thread at a time.
 */

#include "http/head.h"

struct evbuffer;

enum { INTAKE_BODY_MAX = 64 * 1024 }; /* bytes of a request's body; beyond: 413 */

/* Of one connection. Zeroed before the first call. */
struct intake {
	char *text; /* the request so far, and the beginning of the next one */
	size_t text_length, text_size;
	bool has_head;
	struct head head;
	size_t target_at; /* where head.target stands in the text, which may move */
	struct chunks chunks;
	size_t request_length; /* of a complete request, in the text */
};

enum intake_verdict {
	INTAKE_MORE,     /* the request is not complete yet, and nothing is wrong so far */
	INTAKE_COMPLETE, /* it can be served; the accessors below are valid until http_intake_drop() */
	INTAKE_REFUSED,  /* it is to be answered as struct intake_refusal says, and the connection to be closed */
};

struct intake_refusal {
	int status;
	const char *detail; /* a sentence; NULL for bytes that are not HTTP */
};

/* Moves bytes from INPUT into the request and judges it. REFUSAL is set with INTAKE_REFUSED only. */
enum intake_verdict http_intake_read(struct intake *intake, struct evbuffer *input, struct intake_refusal *refusal);

/* After INTAKE_MORE: whether the client waits for "100 Continue" before it sends the body. */
bool http_intake_expects_continue(const struct intake *intake);

const char *http_intake_target(const struct intake *intake); /* head.target_length bytes, not terminated */
const char *http_intake_body(const struct intake *intake, size_t *length);

/* Forgets the complete request; the bytes behind it remain for the next one. */
void http_intake_drop(struct intake *intake);

void http_intake_free(struct intake *intake);

#endif
