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

/*
 * The version of the API, MAJOR.MINOR, as each answer and /v1/status tell it; docs/openapi.yaml says what it means. MINOR counts up with the
 * first release that adds something to the API, MAJOR with one that changes or removes something. The lint `openapi' holds the document and
 * the clients to it.
 */
#define CONTROL_API_VERSION "1.1"

struct addr;
struct config;
struct control;
struct err;
struct event_base;

/*
 * An answer that is owed. Its owner gives exactly one answer, now or later, which frees it. If the client went away
 * meanwhile, the answer is dropped.
 */
struct control_reply;

/* Its line in the log is about sandbox ID. */
void control_reply_concern(struct control_reply *reply, const char *id);

void control_reply_json(struct control_reply *reply, int status, json_t *body); /* takes BODY over */
void control_reply_empty(struct control_reply *reply, int status);
void control_reply_problem(struct control_reply *reply, const struct problem *problem);
void control_reply_text(struct control_reply *reply, const char *content_type, const char *text,
			size_t length); /* 200 */

/* Who keeps listening sockets for the next run, and has those of the former one. */
struct control_keeper {
	/* The socket that listened on PATH, or on ADDR; now the caller's. -1: none. */
	int (*take_unix)(void *context, const char *path);
	int (*take)(void *context, const struct addr *addr);
	void (*opened)(void *context, int fd);  /* FD listens now */
	void (*closing)(void *context, int fd); /* FD is closed next, and does not listen any more */
	bool (*keeps)(void *context, int fd);   /* whether FD outlives this run */
	void *context;
};

/*
 * The daemon's services for the control socket. Each control_serve takes its request over and owes the answer, also where
 * there is no such sandbox.
 */
struct control_ops {
	control_serve *register_sandbox;
	control_serve *unregister_sandbox;
	control_serve *patch_sandbox;
	control_serve *wake; /* 202 with the sandbox, or 409 */
	control_serve *connections;
	control_serve *diagnose;
	control_serve *last_diagnosis; /* the result of the last one; starts none */
	control_serve *reach;
	control_serve *status;
	control_serve *metrics;
	control_serve *rates;
	control_serve *examine;       /* the findings of doctor */
	control_serve *last_findings; /* of the last time; starts nothing */
	/* Before a GET shows a sandbox: brings those counters up to date that are cheap to read. NULL: none. */
	void (*refresh)(void *context, struct sandbox *sandbox);
	/* Whether changes are to be parked because a former run is still being taken over. control_adopted() ends it. */
	bool (*adopting)(void *context);
	/*
	 * Whether the registry lacks sandboxes of a former run, and only STATUS can be called: reads that concern sandboxes
	 * are held as well. control_loaded() ends it. NULL: never.
	 */
	bool (*loading)(void *context);
	void *context;
	const struct control_keeper *keeper; /* NULL: no socket is kept. Copied */
};

/*
 * Binds PATH (mode 0660, the configured group), unless its socket was kept: a stale socket file is replaced, one with a live server
 * is not. Starts to serve at once. NULL with ERR.
 */
struct control *control_new(struct event_base *base, const char *path, const struct config *config,
			    struct registry *registry, const struct control_ops *ops, struct err *err);

/*
 * weftd stops: streams of events, over TCP too, get their last line, and requests that are still owed an answer are told to ask the next
 * run. Before control_http_free(), which ends its connections. CONTROL may be NULL.
 */
void control_stop(struct control *control);

/*
 * Ends all connections, and removes the socket file unless the socket is kept. Replies still owed may be answered afterwards: they
 * are dropped.
 */
void control_free(struct control *control);

/* Connections of clients now. */
size_t control_clients(const struct control *control);

/*
 * Looks whether clients still find the socket. 0: they do. 1: its file was gone or its permissions were changed, and it is put
 * back; clients that are connected go on. -1 with ERR: it cannot be put back, such as for somebody who answers on its path.
 */
int control_follow_file(struct control *control, struct err *err);

/* The registry has all sandboxes: held reads are answered. */
void control_loaded(struct control *control);

/* The adoption is over: parked changes go on. */
void control_adopted(struct control *control);

/* To be called from the registry's watcher: waiting requests are answered, the event `state` is added. */
void control_state_changed(struct control *control, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			   uint64_t previous_ms);

/* To be called when a sandbox was deleted, or could not be made: waiting requests are answered. No event is added. */
void control_sandbox_gone(struct control *control, const char *id);

/*
 * Adds any other event to the stream (`registered`, `published`, ...). FIELDS is taken over: json_object() for none, NULL if there was
 * no memory for them. ID: NULL for the host's. The sandbox's name is added, unless the sandbox is gone already.
 */
void control_event(struct control *control, const char *type, const char *id, json_t *fields);

/* Adds the event `host`: CHECK, a word such as "ports", has STATUS, "ok" or "fail", because of DETAIL. */
void control_event_host(struct control *control, const char *check, const char *status, const char *detail);

/* The readers of /v1/events over the socket. */
size_t control_event_readers(const struct control *control);

/* Events that readers of /v1/events did not get, because they were too slow or memory was lacking. */
uint64_t control_events_lost(const struct control *control);

/*
 * The same API over TCP, for reading only, with the status page at "/". It listens nowhere at first. Its readers hold nothing of
 * what the callers of the socket need: no wait is theirs, no diagnosis is made for them, and event streams are counted apart. A
 * request whose Host is no address of [http] listen is refused (DNS rebinding). NULL with ERR (ENOMEM). Free it before CONTROL.
 */
struct control_http;
struct control_http *control_http_new(struct control *control, struct event_base *base, const struct config *config,
				      struct err *err);
void control_http_free(struct control_http *http);
size_t control_http_clients(const struct control_http *http); /* HTTP may be NULL */

/* Listens on the address INDEX of [http] listen, which is not open. 0, or -1 with ERR (EADDRINUSE, EACCES, EMFILE, ...). */
int control_http_open(struct control_http *http, size_t index, struct err *err);
bool control_http_is_open(const struct control_http *http, size_t index);

#endif
