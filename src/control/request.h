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
#include <stdint.h>

struct ctl_park;
struct ctl_request;
struct problem;
struct registry;
struct ctl_reply;
struct sandbox;

/* Serves REQUEST, which it takes over. */
typedef void ctl_serve(void *context, struct ctl_request *request);

struct ctl_request {
	TAILQ_ENTRY(ctl_request) next; /* in the list of its owner, or in a struct ctl_park */
	enum http_method method;
	struct ctl_target target; /* the sandbox's id among it; the sandbox itself may come and go */
	struct spec *spec;        /* PUT: owned */
	struct spec_patch patch;  /* PATCH: owned */
	struct ctl_reply *reply;  /* owed; it knows the caller */

	/* The continuation, while it is parked: for park.c alone. */
	struct ctl_park *park; /* NULL: not parked */
	ctl_serve *run;
	void *run_context;
	uint64_t ticket;
};

TAILQ_HEAD(ctl_request_list, ctl_request);

/* Takes REPLY over. NULL for want of memory: REPLY was answered. */
struct ctl_request *ctl_request_new(struct ctl_reply *reply);

/* The answers. Each frees REQUEST, which must not be parked any more. */
void ctl_request_answer(struct ctl_request *request, int status,
			json_t *body); /* takes BODY over; NULL: out of memory, 503 */
void ctl_request_answer_empty(struct ctl_request *request, int status);
void ctl_request_refuse(struct ctl_request *request, const struct problem *problem);
void ctl_request_refuse_unavailable(struct ctl_request *request, const char *detail); /* 503 */

/* Frees REQUEST; its reply is the caller's to answer. */
struct ctl_reply *ctl_request_release(struct ctl_request *request);

/* The sandbox that REQUEST names. NULL: there is none, and REQUEST was answered so. */
struct sandbox *ctl_request_sandbox(struct ctl_request *request, struct registry *registry);

#endif
