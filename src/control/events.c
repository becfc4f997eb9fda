/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events are kept as finished lines in a ring. A reader is a position in that ring. It gets lines while few bytes wait for its
 * client, and more whenever the client has taken them. So a slow reader costs its position, not a queue of its own; a reader that
 * the ring has overtaken gets `overflow` and is closed.
 *
 * A snapshot is written at the same pace, sandbox by sandbox in the order of slots. Its lines carry the seq at which it
 * began, and the events since then follow its end.
 *
 * A line is made whole or, for lack of memory, not at all. A reader that would miss it is treated as one that was overtaken, so that
 * it comes back for a snapshot.
 */
#include "control/events.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/queue.h"
#include "control/reply.h"
#include "control/request.h"
#include "registry/problem.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	PENDING_MAX = 64 * 1024,
	BOOT_SIZE = 17,
	HEARTBEAT_AGAIN_MS = 1000, /* after one for which there was no memory */
};

struct event_line {
	char *text; /* with its newline */
	size_t length;
	char id[SANDBOX_ID_MAX + 1]; /* "": concerns the host */
};

struct event_reader {
	TAILQ_ENTRY(event_reader) next;
	struct events *events;
	struct control_reply *reply;
	struct control_holder *holder; /* of its place */
	char id[SANDBOX_ID_MAX + 1];   /* only this sandbox; "": all */
	bool read_only;                /* over TCP */
	bool in_snapshot;
	unsigned slot;     /* in a snapshot: the last one written */
	uint64_t next_seq; /* to be written next, after the snapshot */
};

struct events {
	struct registry *registry;
	events_show *show;
	void *context;
	char boot[BOOT_SIZE];
	uint64_t last_seq;   /* of the newest event; 0: none yet */
	uint64_t whole_from; /* since this event none was lost */
	uint64_t dropped;    /* events, for readers whose streams were ended */
	struct event_line ring[EVENTS_KEPT];
	TAILQ_HEAD(, event_reader) readers;
	struct control_share *places;
	struct timer heartbeat;
};

static uint64_t control_events_oldest_seq(const struct events *events)
{
	uint64_t kept = events->last_seq > EVENTS_KEPT ? events->last_seq - EVENTS_KEPT + 1 : 1;

	return kept > events->whole_from ? kept : events->whole_from;
}

static struct event_line *control_events_line_at(struct events *events, uint64_t seq)
{
	return &events->ring[seq % EVENTS_KEPT];
}

/* What each event has; NULL for lack of memory. */
static json_t *control_events_head(const struct events *events, uint64_t seq, const char *type, const char *id)
{
	const struct sandbox *sandbox = id ? registry_find(events->registry, id) : NULL;
	char now[CLOCK_TEXT_SIZE];

	clock_format_ms(clock_wall_ms(), now); /* readers measure the time between events */
	return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:s*}", "seq", (json_int_t)seq, "boot", events->boot, "time", now,
			 "type", type, "sandbox", id, "sandbox_name", sandbox ? registry_sandbox_name(sandbox) : NULL);
}

/* Adds the members of FIELDS to EVENT. json_object_update_missing() does not tell of want of memory. 0, or -1. */
static int control_events_add_fields(json_t *event, json_t *fields)
{
	const char *key;
	json_t *value;

	json_object_foreach(fields, key, value)
	{
		if (!json_object_get(event, key) && json_object_set(event, key, value) < 0)
			return -1;
	}
	return 0;
}

/* A line of its own, to be freed; NULL for lack of memory. FIELDS is taken over; NULL: there was no memory for them. */
static char *control_events_make_line(const struct events *events, uint64_t seq, const char *type, const char *id,
				      json_t *fields, size_t *length)
{
	json_t *event = fields ? control_events_head(events, seq, type, id) : NULL;
	char *text = NULL;

	if (event && control_events_add_fields(event, fields) == 0)
		text = json_dumps(event, JSON_COMPACT);
	json_decref(event);
	json_decref(fields);
	if (!text)
		return NULL;
	*length = strlen(text);
	text[(*length)++] = '\n'; /* in place of the NUL: lines have a length */
	return text;
}

/* FIELDS is taken over. 0, or -1 for lack of memory: nothing was added. */
static int control_events_add_line(const struct events *events, struct evbuffer *out, const char *type, const char *id,
				   json_t *fields, uint64_t seq)
{
	size_t length;
	char *text = control_events_make_line(events, seq, type, id, fields, &length);
	int result = text ? evbuffer_add(out, text, length) : -1;

	free(text);
	return result;
}

static void control_events_reader_free(struct event_reader *reader)
{
	TAILQ_REMOVE(&reader->events->readers, reader, next);
	control_share_give_back(reader->holder);
	control_reply_on_gone(reader->reply, NULL, NULL);
	control_reply_end(reader->reply);
	free(reader);
}

static void control_events_on_reader_gone(void *context)
{
	control_events_reader_free(context);
}

/* The next of the snapshot, or its end. False: there is no memory for it. */
static bool control_events_pass_snapshot(struct event_reader *reader, struct evbuffer *out)
{
	struct events *events = reader->events;
	struct sandbox *sandbox = registry_next(events->registry, reader->slot);

	if (*reader->id) {
		sandbox = reader->slot ? NULL : registry_find(events->registry, reader->id);
		reader->slot = 1;
	} else if (sandbox) {
		reader->slot = sandbox->slot;
	}
	if (!sandbox) {
		reader->in_snapshot = false;
		return control_events_add_line(events, out, "snapshot-end", NULL, json_object(),
					       reader->next_seq - 1) == 0;
	}
	json_t *fields =
	    json_pack("{s:s, s:i, s:o}", "state", registry_sandbox_state_name(sandbox->state), "slot",
		      (int)sandbox->slot, "object", events->show(events->context, sandbox, reader->read_only));
	return control_events_add_line(events, out, "snapshot", sandbox->id, fields, reader->next_seq - 1) == 0;
}

/* The next event. False: there is none, or *LOST, the reader cannot get it. */
static bool control_events_pass_next(struct event_reader *reader, struct evbuffer *out, bool *lost)
{
	struct events *events = reader->events;

	*lost = reader->next_seq < control_events_oldest_seq(events);
	if (*lost || reader->next_seq > events->last_seq)
		return false;
	const struct event_line *line = control_events_line_at(events, reader->next_seq++);
	if (!*reader->id || !strcmp(reader->id, line->id))
		*lost = evbuffer_add(out, line->text, line->length) < 0;
	return !*lost;
}

/* The stream ends before its reader has all events. */
static void control_events_count_dropped(const struct event_reader *reader)
{
	struct events *events = reader->events;

	events->dropped += events->last_seq >= reader->next_seq ? events->last_seq - reader->next_seq + 1 : 1;
}

/* Writes to the reader as much as it takes. May free it. */
static void control_events_reader_pump(struct event_reader *reader)
{
	size_t pending = control_reply_pending(reader->reply);
	struct evbuffer *out = evbuffer_new();
	bool lost = false;

	if (!out) {
		control_events_count_dropped(reader);
		control_events_reader_free(reader);
		return;
	}
	while (!lost && pending + evbuffer_get_length(out) < PENDING_MAX) {
		if (reader->in_snapshot)
			lost = !control_events_pass_snapshot(reader, out);
		else if (!control_events_pass_next(reader, out, &lost))
			break;
	}
	if (lost)
		(void)control_events_add_line(reader->events, out, "overflow", NULL, json_object(),
					      reader->events->last_seq);
	if (evbuffer_get_length(out))
		control_reply_write(reader->reply, out);
	evbuffer_free(out);
	if (lost) {
		control_events_count_dropped(reader);
		control_events_reader_free(reader);
	}
}

static void control_events_on_drained(void *context)
{
	control_events_reader_pump(context);
}

/* A line of the stream's own. Its seq is that of the last event that the reader was sent, so that it may go on from there. */
static int control_events_add_mark(const struct event_reader *reader, struct evbuffer *out, const char *type)
{
	return control_events_add_line(reader->events, out, type, NULL, json_object(), reader->next_seq - 1);
}

/* False: there is no memory for a heartbeat that is due. */
static bool control_events_beat(struct event_reader *reader)
{
	bool done = false;

	if (reader->in_snapshot || control_reply_pending(reader->reply) >= PENDING_MAX)
		return true;
	struct evbuffer *out = evbuffer_new();
	if (out && control_events_add_mark(reader, out, "heartbeat") == 0) {
		control_reply_write(reader->reply, out);
		done = true;
	}
	if (out)
		evbuffer_free(out);
	return done;
}

static void control_events_on_heartbeat(void *context)
{
	struct events *events = context;
	struct event_reader *reader;
	bool all = true;

	TAILQ_FOREACH(reader, &events->readers, next)
	all &= control_events_beat(reader);
	timer_start(&events->heartbeat, all ? EVENTS_HEARTBEAT_MS : HEARTBEAT_AGAIN_MS);
}

static const struct control_share_limits control_events_limits = {
	.what = "streams of events",
	.local = EVENTS_READERS_MAX,
	.root_only = EVENTS_READERS_ROOT_ONLY,
	.remote = EVENTS_READERS_REMOTE,
	.remote_each = EVENTS_READERS_EACH,
};

struct events *control_events_new(struct event_base *base, struct registry *registry, events_show *show, void *context,
				  struct err *err)
{
	struct events *events = calloc(1, sizeof(*events));
	uint64_t boot;

	if (events)
		events->places = control_share_new(&control_events_limits);
	if (!events || !events->places) {
		free(events);
		err_set(err, ENOMEM, "events");
		return NULL;
	}
	if (getrandom(&boot, sizeof(boot), 0) != sizeof(boot))
		boot = (uint64_t)clock_wall_ms();
	snprintf(events->boot, sizeof(events->boot), "%016llx", (unsigned long long)boot);
	events->registry = registry;
	events->show = show;
	events->context = context;
	TAILQ_INIT(&events->readers);
	if (timer_init(&events->heartbeat, base, control_events_on_heartbeat, events, err) < 0) {
		control_share_free(events->places);
		free(events);
		return NULL;
	}
	timer_start(&events->heartbeat, EVENTS_HEARTBEAT_MS);
	return events;
}

void control_events_stop(struct events *events)
{
	while (!TAILQ_EMPTY(&events->readers)) {
		struct event_reader *reader = TAILQ_FIRST(&events->readers);
		struct evbuffer *out = evbuffer_new();

		if (out && control_events_add_mark(reader, out, "stopping") == 0)
			control_reply_write(reader->reply, out);
		if (out)
			evbuffer_free(out);
		control_events_reader_free(reader);
	}
}

void control_events_free(struct events *events)
{
	if (!events)
		return;
	while (!TAILQ_EMPTY(&events->readers))
		control_events_reader_free(TAILQ_FIRST(&events->readers));
	control_share_free(events->places);
	timer_free(&events->heartbeat);
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		free(events->ring[i].text);
	free(events);
}

void control_events_add(struct events *events, const char *type, const char *id, json_t *fields)
{
	struct event_line *line = control_events_line_at(events, ++events->last_seq);
	struct event_reader *reader, *next;

	free(line->text);
	line->text = control_events_make_line(events, events->last_seq, type, id, fields, &line->length);
	snprintf(line->id, sizeof(line->id), "%s", id ? id : "");
	if (!line->text)
		events->whole_from = events->last_seq + 1;
	TAILQ_FOREACH_SAFE(reader, &events->readers, next, next)
	if (control_reply_pending(reader->reply) < PENDING_MAX)
		control_events_reader_pump(reader);
}

size_t control_events_readers(const struct events *events)
{
	const struct event_reader *reader;
	size_t count = 0;

	TAILQ_FOREACH(reader, &events->readers, next)
	count += !reader->read_only;
	return count;
}

uint64_t control_events_dropped(const struct events *events)
{
	return events->dropped;
}

void control_events_stream(struct events *events, struct control_request *request)
{
	const struct control_target *target = &request->target;
	const struct control_caller *caller = control_reply_caller(request->reply);
	struct problem problem;
	const struct sandbox *only = registry_lookup(events->registry, target->sandbox);
	struct control_holder *holder = control_share_take(events->places, caller, &problem);
	struct event_reader *reader = holder ? calloc(1, sizeof(*reader)) : NULL;

	if (holder && !reader) {
		control_share_give_back(holder);
		registry_problem_no_memory(&problem);
	}
	if (!reader) {
		control_request_refuse(request, &problem);
		return;
	}
	bool resume = target->has_since && !strcmp(target->boot, events->boot) && target->since <= events->last_seq &&
		      target->since + 1 >= control_events_oldest_seq(events);
	reader->events = events;
	reader->holder = holder;
	/* One that is to come is known by its id. */
	snprintf(reader->id, sizeof(reader->id), "%s", only ? only->id : target->sandbox);
	reader->read_only = request->read_only;
	reader->in_snapshot = !resume;
	reader->next_seq = (resume ? target->since : events->last_seq) + 1;
	reader->reply = control_request_release(request);
	TAILQ_INSERT_TAIL(&events->readers, reader, next);
	control_reply_stream(reader->reply, "application/x-ndjson", control_events_on_drained, reader);
	control_reply_on_gone(reader->reply, control_events_on_reader_gone, reader);
	control_events_reader_pump(reader);
}
