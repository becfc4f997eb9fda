/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/park.h"

#include "unit/control/fake_reply.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static struct control_park park;
static char served[128]; /* the ids, in order */

/* Serves: notes the id and answers. */
static void serve(void *context, struct control_request *request)
{
	ck_assert_ptr_eq(context, &park);
	strcat(served, request->target.id);
	control_request_answer_empty(request, 204);
}

/* Finds that it has to wait once more. */
static void serve_later(void *context, struct control_request *request)
{
	strcat(served, "-");
	control_park_add(context, request, serve, context);
}

static void setup(void)
{
	served[0] = '\0';
	control_park_init(&park, NULL);
}

static void add(struct control_reply *reply, enum http_method method, const char *id)
{
	control_park_add(&park, fake_request(reply, method, id), serve, &park);
}

START_TEST(requests_go_on_in_the_order_of_their_arrival)
{
	struct control_reply replies[3];

	add(&replies[0], HTTP_PUT, "a");
	add(&replies[1], HTTP_PATCH, "b");
	add(&replies[2], HTTP_DELETE, "c");
	ck_assert_uint_eq(park.count, 3);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "abc");
	ck_assert_uint_eq(park.count, 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(replies[i].answers, 1);
}
END_TEST

START_TEST(those_of_other_sandboxes_stay)
{
	struct control_reply replies[3];

	add(&replies[0], HTTP_PUT, "a");
	add(&replies[1], HTTP_PUT, "b");
	add(&replies[2], HTTP_DELETE, "a");
	control_park_run_sandbox(&park, "a");
	ck_assert_str_eq(served, "aa");
	ck_assert_uint_eq(replies[1].answers, 0);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "aab");
}
END_TEST

/* The sandbox goes with the first of its requests, and its id with it. */
static void serve_and_forget(void *context, struct control_request *request)
{
	char *id = context;

	strcat(served, request->target.id);
	strcpy(id, "?");
	control_request_answer_empty(request, 204);
}

START_TEST(the_id_may_go_with_the_first)
{
	struct control_reply replies[2];
	char id[] = "a";

	for (size_t i = 0; i < 2; i++)
		control_park_add(&park, fake_request(&replies[i], HTTP_DELETE, "a"), serve_and_forget, id);
	control_park_run_sandbox(&park, id);
	ck_assert_str_eq(served, "aa");
}
END_TEST

START_TEST(reads_go_on_alone)
{
	struct control_reply replies[4];

	add(&replies[0], HTTP_PUT, "a");
	add(&replies[1], HTTP_GET, "b");
	add(&replies[2], HTTP_DELETE, "c");
	add(&replies[3], HTTP_HEAD, "d");
	control_park_run_reads(&park);
	ck_assert_str_eq(served, "bd");
	control_park_run_all(&park);
	ck_assert_str_eq(served, "bdac");
}
END_TEST

START_TEST(one_that_is_parked_anew_waits_for_the_next_time)
{
	struct control_reply replies[2];

	control_park_add(&park, fake_request(&replies[0], HTTP_PUT, "a"), serve_later, &park);
	add(&replies[1], HTTP_PUT, "b");
	control_park_run_all(&park);
	ck_assert_str_eq(served, "-b");
	ck_assert_uint_eq(replies[0].answers, 0);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "-ba");
	ck_assert_uint_eq(replies[0].answers, 1);
}
END_TEST

static unsigned depth, deepest;

/* Serves at once, which brings the sandbox to rest: the others may go on. */
static void serve_and_go_on(void *context, struct control_request *request)
{
	char id[SANDBOX_ID_MAX + 1];

	if (++depth > deepest)
		deepest = depth;
	strcat(served, request->target.id);
	strcpy(id, request->target.id);
	control_request_answer_empty(request, 204);
	control_park_run_sandbox(context, id);
	depth--;
}

/* Otherwise as many requests as there are connections would lie upon the stack at once. */
START_TEST(those_that_are_served_at_once_run_one_after_the_other)
{
	struct control_reply replies[5];

	depth = deepest = 0;
	for (size_t i = 0; i < 5; i++)
		control_park_add(&park, fake_request(&replies[i], HTTP_PATCH, i == 2 ? "b" : "a"), serve_and_go_on,
				 &park);
	control_park_run_sandbox(&park, "a");
	ck_assert_str_eq(served, "aaaa");
	ck_assert_uint_eq(deepest, 1);
	ck_assert_uint_eq(replies[2].answers, 0);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "aaaab");
}
END_TEST

START_TEST(all_are_refused_with_503)
{
	struct control_reply replies[2];

	add(&replies[0], HTTP_PUT, "a");
	add(&replies[1], HTTP_GET, "b");
	control_park_refuse_all(&park, "it ends");
	ck_assert_str_eq(served, "");
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(replies[i].answers, 1);
		ck_assert_int_eq(replies[i].status, 503);
		ck_assert_str_eq(replies[i].detail, "it ends");
	}
}
END_TEST

START_TEST(one_whose_client_goes_away_is_dropped_where_it_says_so)
{
	struct control_reply replies[2];

	control_park_init(&park, "the client went away");
	add(&replies[0], HTTP_PUT, "a");
	add(&replies[1], HTTP_PUT, "b");
	ck_assert_ptr_nonnull(replies[0].gone);
	replies[0].gone(replies[0].gone_context);
	ck_assert_uint_eq(replies[0].answers, 1);
	ck_assert_str_eq(replies[0].detail, "the client went away");
	ck_assert_uint_eq(park.count, 1);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "b");
	ck_assert_ptr_null(replies[1].gone);
}
END_TEST

START_TEST(one_whose_client_goes_away_is_served_else)
{
	struct control_reply reply;

	add(&reply, HTTP_PUT, "a");
	ck_assert_ptr_null(reply.gone);
	control_park_run_all(&park);
	ck_assert_str_eq(served, "a");
}
END_TEST

START_TEST(want_of_memory_for_the_answer_is_503)
{
	struct control_reply reply;

	control_request_answer(fake_request(&reply, HTTP_GET, "a"), 200, NULL);
	ck_assert_uint_eq(reply.answers, 1);
	ck_assert_int_eq(reply.status, 503);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("park");
	TCase *parking = tcase_create("park");

	tcase_add_checked_fixture(parking, setup, NULL);
	tcase_add_test(parking, requests_go_on_in_the_order_of_their_arrival);
	tcase_add_test(parking, those_of_other_sandboxes_stay);
	tcase_add_test(parking, the_id_may_go_with_the_first);
	tcase_add_test(parking, reads_go_on_alone);
	tcase_add_test(parking, one_that_is_parked_anew_waits_for_the_next_time);
	tcase_add_test(parking, those_that_are_served_at_once_run_one_after_the_other);
	tcase_add_test(parking, all_are_refused_with_503);
	tcase_add_test(parking, one_whose_client_goes_away_is_dropped_where_it_says_so);
	tcase_add_test(parking, one_whose_client_goes_away_is_served_else);
	tcase_add_test(parking, want_of_memory_for_the_answer_is_503);
	suite_add_tcase(suite, parking);
	return run_suite(suite);
}
