/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLIENT_ASK_H
#define WEFT_CLIENT_ASK_H

/*
 * Calls of weftd's API with JSON in both directions; a refusal is read as a problem (RFC 9457). Nothing is printed and
 * no exit code is known, since the caller decides how to report. Calls block for as long as the request allows; any thread.
 */

#include "client/client.h"

#include <jansson.h>
#include <stdbool.h>

enum client_result {
	CLIENT_DONE,    /* 2xx */
	CLIENT_REFUSED, /* another status, see the refusal */
	/*
	 * No usable answer: see ERR. Its code is EPROTO where the other end does not speak HTTP as weftd does, EBADMSG where its answer
	 * is no JSON, ENOMEM for want of memory, and else the errno for which the daemon cannot be reached, ETIMEDOUT if it
	 * does not answer.
	 */
	CLIENT_FAILED,
};

/* An answer other than 2xx, as the daemon words it. The texts belong to PROBLEM. */
struct client_refusal {
	unsigned status;
	const char *detail;     /* the reason; never "" */
	const char *field;      /* the field or parameter at fault; "" where none is */
	bool no_sandbox;        /* the request was about a sandbox that does not exist */
	unsigned retry_after_s; /* the same request is worth another try then, as weftd said; 0: it did not */
	json_t *problem;        /* the whole body; NULL if it is no JSON */
};

/*
 * Sends REQUEST. CLIENT_DONE: *ANSWER (may be NULL: not wanted) is the body, NULL if there is none; the caller json_decref()s it.
 * CLIENT_REFUSED: REFUSAL is filled in, and client_refusal_clear() is due. CLIENT_FAILED: ERR says why.
 */
enum client_result client_ask(const struct client_request *request, json_t **answer, struct client_refusal *refusal,
			      struct err *err);

/* Reads ANSWER, whose status is not 2xx, as a refusal. ANSWER is not kept. */
void client_refusal_read(struct client_refusal *refusal, const struct client_answer *answer);
void client_refusal_clear(struct client_refusal *refusal);

/* TEXT percent-encoded for a query. The caller frees; NULL for want of memory. */
char *client_escape(const char *text);

/* The string, number or truth at KEY of OBJECT; "", 0 or false where there is none such. OBJECT may be NULL. */
const char *client_text(const json_t *object, const char *key);
json_int_t client_number(const json_t *object, const char *key);
bool client_is(const json_t *object, const char *key);

#endif
