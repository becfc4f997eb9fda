/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_REPLY_H
#define WEFT_CONTROL_REPLY_H

/*
 * The part of a reply that only the control room needs: see control.h for the rest.
 */

#include "control/control.h"
#include "http/gate.h"

struct evbuffer;
struct http_exchange;

/* The reply to REQUEST, which owes EXCHANGE its answer. NULL for lack of memory: EXCHANGE got 503. */
struct ctl_reply *ctl_reply_new(struct http_exchange *exchange, const struct http_request *request);

/* GONE is called when the client goes away before the answer; it may answer. One at a time; NULL ends it. */
void ctl_reply_on_gone(struct ctl_reply *reply, void (*gone)(void *context), void *context);

/* For statuses that no struct problem has (403, 431), and 405 with its Allow header (else NULL). */
void ctl_reply_refusal(struct ctl_reply *reply, int status, const char *field, const char *detail, const char *allow);

/* The body of such a refusal, for the gate's own. NULL only for lack of memory; the caller frees it. */
char *ctl_reply_refusal_text(int status, const char *detail);

/* The Content-Type of a refusal's body. */
extern const char ctl_reply_problem_type[];

/* Turns the reply into a stream of CONTENT_TYPE: ctl_reply_write() from now on, and ctl_reply_end() once, which frees it. */
void ctl_reply_stream(struct ctl_reply *reply, const char *content_type, void (*drained)(void *context), void *context);
void ctl_reply_write(struct ctl_reply *reply, struct evbuffer *data); /* drains DATA */
size_t ctl_reply_pending(const struct ctl_reply *reply);              /* bytes that the client has not taken yet */
void ctl_reply_end(struct ctl_reply *reply);

#endif
