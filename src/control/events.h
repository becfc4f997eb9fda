/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONTROL_EVENTS_H
#define WEFT_CONTROL_EVENTS_H

/*
 * The event stream, GET /v1/events: a snapshot, then the changes, one JSON object a line. Main thread only.
 */

#include "registry/registry.h"

#include <jansson.h>

struct control_request;
struct err;
struct event_base;
struct events;

enum {
	EVENTS_KEPT = 4096,       /* events that a reader may be behind, or go back to */
	EVENTS_READERS_MAX = 128, /* streams at once over the unix socket; beyond: 503 */
	EVENTS_READERS_ROOT_ONLY = 16,
	EVENTS_READERS_REMOTE = 16, /* over TCP; beyond: 429 */
	EVENTS_READERS_EACH = 4,    /* of these, for one address */
	EVENTS_HEARTBEAT_MS = 15000,
};

typedef json_t *events_show(void *context, struct sandbox *sandbox, bool read_only);

/* SHOW: the sandbox as a snapshot shows it, to a reader over TCP with READ_ONLY. NULL with ERR. */
struct events *control_events_new(struct event_base *base, struct registry *registry, events_show *show, void *context,
				  struct err *err);

/* weftd stops: the event `stopping` becomes each reader's last line, and the streams end. Without memory a stream ends without it. */
void control_events_stop(struct events *events);

/* Ends the streams. */
void control_events_free(struct events *events);

/*
 * Adds an event. ID may be NULL. FIELDS, json_object() for none, is taken over; NULL: there was no memory for them, and the readers learn
 * that they missed an event.
 */
void control_events_add(struct events *events, const char *type, const char *id, json_t *fields);

/* Events that readers did not get, because they were too slow or memory was lacking: their streams were ended. */
uint64_t control_events_dropped(const struct events *events);

/* The streams over the unix socket. Those over TCP are of people, and change nothing. */
size_t control_events_readers(const struct events *events);

/* Turns the reply of REQUEST into a stream, as its since, boot and sandbox say. */
void control_events_stream(struct events *events, struct control_request *request);

#endif
