/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_REQUEST_H
#define WEFT_CONTROL_REQUEST_H

/*
 * A request, from the moment that its target is read until it is answered. It is made by the API and goes, as it is, to the flow
 * that serves it; it may be parked on the way. Its owner hands it on, or answers it: the answer frees it. Main thread only.
 */

#include "base/queue.h"
#include "control/target.h"
#include "http/head.h"
#include "wire/wire.h"

#include <jansson.h>
#include <stdbool.h>

struct control_park;
struct control_request;
struct problem;
struct registry;
struct control_reply;
struct sandbox;

/* Serves REQUEST, which it takes over. */
typedef void control_serve(void *context, struct control_request *request);

struct control_request {
	TAILQ_ENTRY(control_request) next; /* in the list of its owner, or in a struct control_park */
	enum http_method method;
	bool read_only;               /* it came over TCP: nothing is started, or parked for long, for its sake */
	struct control_target target; /* the sandbox's id, or name, among it; the sandbox itself may come and go */
	struct spec *spec;            /* PUT: owned */
	struct spec_patch patch;      /* PATCH: owned */
	struct control_reply *reply;  /* owed; it knows the caller */

	/* The continuation, while it is parked: for park.c alone. */
	struct control_park *park; /* NULL: not parked */
	control_serve *run;
	void *run_context;
	bool due; /* it is to go on next */
};

TAILQ_HEAD(control_request_list, control_request);

/* Takes REPLY over. NULL for want of memory: REPLY was answered. */
struct control_request *control_request_new(struct control_reply *reply);

/* The answers. Each frees REQUEST, which must not be parked any more. BODY is taken over; NULL: out of memory, 503. */
void control_request_answer(struct control_request *request, int status, json_t *body);
void control_request_answer_empty(struct control_request *request, int status);
void control_request_refuse(struct control_request *request, const struct problem *problem);
void control_request_refuse_unavailable(struct control_request *request, const char *detail); /* 503 */

/* Frees REQUEST; its reply is the caller's to answer. */
struct control_reply *control_request_release(struct control_request *request);

/*
 * The sandbox that REQUEST names, by id or name; from now on by id, so that a request which is parked keeps its sandbox, whoever gets
 * the name meanwhile. NULL: there is none, and REQUEST was answered so.
 */
struct sandbox *control_request_sandbox(struct control_request *request, struct registry *registry);

#endif
