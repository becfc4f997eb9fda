/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_REPLY_H
#define WEFT_CONTROL_REPLY_H

/*
 * What only the control room needs to know of a reply: see control.h for the rest.
 */

#include "control/control.h"
#include "http/gate.h"

struct evbuffer;

/* The reply to REQUEST that PEER waits for. NULL only for lack of memory. */
struct reply *reply_new(struct http_peer *peer, const struct gate_request *request);

/* The connection is gone: the answer will be dropped. Calls what reply_on_gone() set. For the gate alone. */
void reply_detach(struct reply *reply);

/* Who wants to know when the client goes away before the answer: one at a time; NULL ends it. It may answer, or not. */
void reply_on_gone(struct reply *reply, void (*gone)(void *context), void *context);

/* For statuses that no struct problem has (403, 431), and 405 with its Allow header (else NULL). */
void reply_refusal(struct reply *reply, int status, const char *field, const char *detail, const char *allow);

/* "Not Found" for 404. */
const char *reply_reason(int status);

/* The body of such a refusal, for the gate's own. NULL only for lack of memory; the caller frees it. */
char *reply_refusal_text(int status, const char *field, const char *detail);

/* Turns the reply into a stream of CONTENT_TYPE: reply_write() from now on, and reply_end() once, which frees it. */
void reply_stream(struct reply *reply, const char *content_type, void (*drained)(void *context), void *context);
void reply_write(struct reply *reply, struct evbuffer *data); /* drains DATA */
size_t reply_pending(const struct reply *reply);              /* bytes that the client has not taken yet */
void reply_end(struct reply *reply);

#endif
