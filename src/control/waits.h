/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_WAITS_H
#define WEFT_CONTROL_WAITS_H

/*
 * Requests that wait for a state (?wait=): parked until the sandbox is in it or can no longer be, or until their timeout.
 * Main thread only.
 */

#include "registry/registry.h"

#include <jansson.h>

struct err;
struct event_base;
struct control_reply;
struct waits;

enum {
	WAITS_MAX = 1000, /* over the unix socket; beyond: 503. None over TCP */
	WAITS_ROOT_ONLY = 64,
};

/* The sandbox as an answer shows it. NULL for want of memory. */
typedef json_t *waits_show(void *context, struct sandbox *sandbox);

/* NULL for want of memory. */
struct waits *control_waits_new(struct event_base *base, waits_show *show, void *context);

/* Answers all waiters with 503, before the connections go. */
void control_waits_stop(struct waits *waits);
void control_waits_free(struct waits *waits);

/*
 * Owes REPLY its answer: at once if SANDBOX is in the state WANTED (READY meets ATTACHED) or can no longer be. UNSURE: it is in the
 * state that a former run stored, and may not be; so it waits for a change of it, or control_waits_adopted().
 */
void control_waits_add(struct waits *waits, struct sandbox *sandbox, enum sandbox_state wanted, unsigned timeout_s,
		       bool unsure, struct control_reply *reply);

/* Every sandbox of REGISTRY is in the state that it is shown in: answers the waiters that this concerns. */
void control_waits_adopted(struct waits *waits, struct registry *registry);

/* The state of SANDBOX changed: answers the waiters that this concerns. */
void control_waits_state_changed(struct waits *waits, struct sandbox *sandbox);

/* The sandbox ID was deleted: 410. */
void control_waits_gone(struct waits *waits, const char *id);

#endif
