/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/events.h"

#include "base/err.h"
#include "base/loop.h"
#include "control/reply.h"
#include "unit/control/fake_reply.h"
#include "unit/registry/registry_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

static struct event_base *base;
static struct events *events;
static char seen[8192];                /* by the one reader of the test */
static struct control_reply of_reader; /* of that reader, whose stream the teardown ends */
static bool ended;
static bool fail_once;        /* then there is no limit any more */
static int allocations_left;  /* of JSON; negative: no limit */
static int buffers_left = -1; /* allocations of libevent, likewise */

/* ---- Replies: the parts of control/reply.h that fake_reply.c lacks ---- */

const struct control_caller *control_reply_caller(const struct control_reply *reply)
{
	static const struct control_caller root = { .local = true };

	(void)reply;
	return &root;
}

void control_reply_stream(struct control_reply *reply, const char *content_type, void (*drained)(void *context),
			  void *context)
{
	(void)reply, (void)content_type, (void)drained, (void)context;
}

void control_reply_write(struct control_reply *reply, struct evbuffer *data)
{
	size_t used = strlen(seen);
	int length = evbuffer_remove(data, seen + used, sizeof(seen) - 1 - used);

	(void)reply;
	ck_assert_int_ge(length, 0);
	seen[used + (size_t)length] = '\0';
}

size_t control_reply_pending(const struct control_reply *reply)
{
	(void)reply;
	return 0;
}

void control_reply_end(struct control_reply *reply)
{
	(void)reply;
	ended = true;
}

/* ---- Memory of JSON that runs out ---- */

static void *allocate(size_t size)
{
	if (allocations_left == 0) {
		if (fail_once)
			allocations_left = -1;
		return NULL;
	}
	if (allocations_left > 0)
		allocations_left--;
	return malloc(size);
}

static bool has_buffer(void)
{
	if (buffers_left > 0)
		buffers_left--;
	else if (!buffers_left)
		return false;
	return true;
}

static void *allocate_buffer(size_t size)
{
	return has_buffer() ? malloc(size) : NULL;
}

static void *reallocate_buffer(void *memory, size_t size)
{
	return has_buffer() ? realloc(memory, size) : NULL;
}

static void setup(void)
{
	struct err err;

	registry_setup();
	json_set_alloc_funcs(allocate, free);
	allocations_left = -1;
	base = event_base_new();
	events = control_events_new(base, registry, NULL, NULL, &err);
	ck_assert_ptr_nonnull(events);
}

static void teardown(void)
{
	control_events_free(events);
	event_base_free(base);
	registry_teardown();
}

/* A reader from now on, or from SINCE of BOOT on. */
static void read_events(uint64_t since, const char *boot)
{
	struct control_request *request = fake_request(&of_reader, HTTP_GET, "");

	request->target.has_since = boot != NULL;
	request->target.since = since;
	if (boot)
		snprintf(request->target.boot, sizeof(request->target.boot), "%s", boot);
	seen[0] = '\0';
	ended = false;
	control_events_stream(events, request);
}

/* How often TEXT was seen. */
static unsigned count(const char *text)
{
	unsigned found = 0;

	for (const char *at = strstr(seen, text); at; at = strstr(at + 1, text))
		found++;
	return found;
}

START_TEST(an_event_is_one_line)
{
	read_events(0, NULL);
	control_events_add(events, "repair", "a", json_pack("{s:s}", "what", "link"));
	control_events_add(events, "unregistered", "a", json_object());
	ck_assert_uint_eq(count("\n"), 3); /* the snapshot's end, and these */
	ck_assert_uint_eq(count("\"sandbox\":\"a\""), 2);
	ck_assert_uint_eq(count("\"what\":\"link\""), 1);
	ck_assert(!ended);
}
END_TEST

/* Wherever the memory runs out, an event is whole or missing, and a reader that misses one is told so. */
START_TEST(a_reader_learns_that_it_missed_an_event)
{
	unsigned missed = 0;

	fail_once = _i;
	for (int left = 0;; left++) {
		read_events(0, NULL);
		json_t *fields = json_pack("{s:s}", "what", "link");

		allocations_left = left;
		control_events_add(events, "repair", "a", fields);
		allocations_left = -1;
		if (!ended)
			break;
		ck_assert_uint_eq(count("repair"), 0);
		/* There was no memory for this either. */
		ck_assert_uint_eq(count("overflow"), fail_once ? 1 : 0);
		missed++;
	}
	ck_assert_uint_gt(missed, 5);
	ck_assert_uint_eq(control_events_dropped(events), missed);
	ck_assert_uint_eq(count("\"type\":\"repair\",\"sandbox\":\"a\",\"what\":\"link\""), 1);
}
END_TEST

START_TEST(no_memory_for_the_members_is_no_event_without_them)
{
	read_events(0, NULL);
	control_events_add(events, "repair", "a", NULL);
	ck_assert(ended);
	ck_assert_uint_eq(count("repair"), 0);
	ck_assert_uint_eq(count("overflow"), 1);
	ck_assert_uint_eq(control_events_dropped(events), 1);
}
END_TEST

START_TEST(no_reader_goes_on_from_before_a_lost_event)
{
	char boot[32];

	read_events(0, NULL);
	control_events_add(events, "registered", "a", json_object());
	ck_assert_int_eq(sscanf(strstr(seen, "\"boot\":"), "\"boot\":\"%31[0-9a-f]", boot), 1);
	control_events_add(events, "repair", "a", NULL); /* seq 2 */
	control_events_add(events, "unregistered", "a", json_object());

	read_events(1, boot);
	ck_assert_uint_eq(count("snapshot-end"), 1);
	ck_assert(!ended);
	read_events(2, boot);
	ck_assert_uint_eq(count("snapshot-end"), 0);
	ck_assert_uint_eq(count("unregistered"), 1);
	ck_assert(!ended);
}
END_TEST

START_TEST(a_snapshot_without_its_end_ends_the_stream)
{
	allocations_left = 0;
	read_events(0, NULL);
	ck_assert(ended);
	ck_assert_str_eq(seen, "");
}
END_TEST

/* A reader may go on from its last line, so that has the seq of the last event that was sent to it. */
START_TEST(the_last_line_of_a_daemon_that_stops_says_so)
{
	read_events(0, NULL);
	control_events_add(events, "registered", "a", json_object());
	control_events_stop(events);
	ck_assert(ended);
	const char *last = strstr(seen, "\"type\":\"stopping\",\"sandbox\":null}\n");
	ck_assert_ptr_nonnull(last);
	ck_assert_str_eq(strchr(last, '\n'), "\n");
	ck_assert_uint_eq(count("\"seq\":1,"), 2);
	control_events_stop(events); /* there are no readers any more */
	ck_assert_uint_eq(count("stopping"), 1);

	for (int failing = 0; failing < 2; failing++) {
		read_events(0, NULL);
		*(failing ? &allocations_left : &buffers_left) = 0;
		control_events_stop(events);
		allocations_left = buffers_left = -1;
		ck_assert(ended);
		ck_assert_uint_eq(count("stopping"), 0);
	}
}
END_TEST

/* Otherwise it would be silent until the next event. */
START_TEST(a_reader_without_a_buffer_ends)
{
	int missed = 0;

	for (;; missed++) {
		buffers_left = missed;
		read_events(0, NULL);
		buffers_left = -1;
		if (!ended)
			break;
		ck_assert_str_eq(seen, "");
	}
	ck_assert_uint_eq(count("snapshot-end"), 1);
	ck_assert_int_ge(missed, 2);
	for (missed = 0;; missed++) {
		buffers_left = missed;
		control_events_add(events, "repair", "a", json_object());
		buffers_left = -1;
		if (!ended)
			break;
		ck_assert_uint_eq(count("repair"), 0);
		read_events(0, NULL);
	}
	ck_assert_uint_eq(count("repair"), 1);
	ck_assert_int_ge(missed, 2);
}
END_TEST

int main(void)
{
	event_set_mem_functions(allocate_buffer, reallocate_buffer, free);

	Suite *suite = suite_create("control/events");
	TCase *stream = tcase_create("stream");

	tcase_add_checked_fixture(stream, setup, teardown);
	tcase_add_test(stream, an_event_is_one_line);
	tcase_add_loop_test(stream, a_reader_learns_that_it_missed_an_event, 0, 2);
	tcase_add_test(stream, no_memory_for_the_members_is_no_event_without_them);
	tcase_add_test(stream, no_reader_goes_on_from_before_a_lost_event);
	tcase_add_test(stream, a_snapshot_without_its_end_ends_the_stream);
	tcase_add_test(stream, a_reader_without_a_buffer_ends);
	tcase_add_test(stream, the_last_line_of_a_daemon_that_stops_says_so);
	suite_add_tcase(suite, stream);
	return run_suite(suite);
}
