/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_REPLY_H
#define WEFT_CONTROL_REPLY_H

/*
 * The part of a reply that only the control room needs: see control.h for the rest.
 */

#include "control/control.h"
#include "control/share.h"
#include "http/gate.h"

struct evbuffer;
struct http_exchange;

/* The reply to REQUEST, which owes EXCHANGE its answer. NULL for lack of memory: EXCHANGE got 503. */
struct control_reply *control_reply_new(struct http_exchange *exchange, const struct http_request *request);

/* Who asked. */
const struct control_caller *control_reply_caller(const struct control_reply *reply);

/* GONE is called when the client goes away before the answer; it may answer. One at a time; NULL ends it. */
void control_reply_on_gone(struct control_reply *reply, void (*gone)(void *context), void *context);

/* For statuses that no struct problem has (403, 431), and 405 with its Allow header (else NULL). */
void control_reply_refusal(struct control_reply *reply, int status, const char *field, const char *detail,
			   const char *allow);

/* An HTML page of our own, with scripts and styles in it that may run: 200. */
void control_reply_page(struct control_reply *reply, const char *html, size_t length);

/* The body of such a refusal, for the gate's own. NULL only for lack of memory; the caller frees it. */
char *control_reply_refusal_text(int status, const char *detail);

/* The Content-Type of a refusal's body. */
extern const char control_reply_problem_type[];

/*
 * Turns the reply into a stream of CONTENT_TYPE: control_reply_write() from now on, and control_reply_end() once, which
 * frees it.
 */
void control_reply_stream(struct control_reply *reply, const char *content_type, void (*drained)(void *context),
			  void *context);
void control_reply_write(struct control_reply *reply, struct evbuffer *data); /* drains DATA */
size_t control_reply_pending(const struct control_reply *reply); /* bytes that the client has not taken yet */
void control_reply_end(struct control_reply *reply);

#endif
