/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_CONTROL_H
#define WEFT_CONTROL_CONTROL_H

/*
 * The control socket: HTTP/1.1 and JSON over a unix socket. It reads requests strictly, answers reads from the registry by
 * itself, and hands changes to the daemon, which answers when they are done. Main thread only.
 */

#include "control/request.h"
#include "registry/registry.h"
#include "wire/wire.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct config;
struct ctl;
struct err;
struct event_base;

/*
 * An answer that is owed. Its owner gives exactly one answer, now or later, which frees it. If the client went away meanwhile, the
 * answer is dropped.
 */
struct ctl_reply;

void ctl_reply_json(struct ctl_reply *reply, int status, json_t *body); /* takes BODY over */
void ctl_reply_empty(struct ctl_reply *reply, int status);
void ctl_reply_problem(struct ctl_reply *reply, const struct problem *problem);
void ctl_reply_text(struct ctl_reply *reply, const char *content_type, const char *text, size_t length); /* 200 */

/*
 * The daemon's services for the control socket. Each ctl_serve takes its request over and owes the answer, also where there is no
 * such sandbox.
 */
struct ctl_ops {
	ctl_serve *register_sandbox;
	ctl_serve *unregister_sandbox;
	ctl_serve *patch_sandbox;
	ctl_serve *connections;
	ctl_serve *diagnose;
	ctl_serve *reach;
	ctl_serve *status;
	ctl_serve *metrics;
	/* Before a GET shows a sandbox: brings those counters up to date that are cheap to read. NULL: none. */
	void (*refresh)(void *context, struct sandbox *sandbox);
	/* Whether changes are to be parked because a former run is still being taken over. ctl_adopted() ends it. */
	bool (*adopting)(void *context);
	/*
	 * Whether the registry lacks sandboxes of a former run, and only STATUS can be called: reads that concern sandboxes
	 * are held as well. ctl_loaded() ends it. NULL: never.
	 */
	bool (*loading)(void *context);
	void *context;
};

/*
 * Binds PATH (mode 0660, the configured group): a stale socket file is replaced, one with a live server is not. Starts to
 * serve at once. NULL with ERR.
 */
struct ctl *ctl_new(struct event_base *base, const char *path, const struct config *config, struct registry *registry,
		    const struct ctl_ops *ops, struct err *err);

/* Ends all connections, removes the socket file. Replies still owed may be answered afterwards: they are dropped. */
void ctl_free(struct ctl *control);

/* The registry has all sandboxes: held reads are answered. */
void ctl_loaded(struct ctl *control);

/* The adoption is over: parked changes go on. */
void ctl_adopted(struct ctl *control);

/* To be called from the registry's watcher: waiting requests are answered, the event `state` is added. */
void ctl_state_changed(struct ctl *control, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
		       uint64_t previous_ms);

/* To be called when a sandbox was deleted, or could not be made: waiting requests are answered. No event is added. */
void ctl_sandbox_gone(struct ctl *control, const char *id);

/* Adds any other event to the stream (`registered`, `published`, ...). FIELDS (may be NULL) is taken over; ID: NULL for the host's. */
void ctl_event(struct ctl *control, const char *type, const char *id, json_t *fields);

/*
 * The same API over TCP, for reading only, with the status page at "/": on each address of [http] listen. A request whose Host is
 * none of these addresses is refused (DNS rebinding). NULL with ERR: an address cannot be bound. Free it before CONTROL.
 */
struct ctl_http;
struct ctl_http *ctl_http_new(struct ctl *control, struct event_base *base, const struct config *config,
			      struct err *err);
void ctl_http_free(struct ctl_http *http);

#endif
