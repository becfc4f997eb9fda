/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/ask.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct client_refusal refusal;

/* The refusal of STATUS with BODY; NULL: none came. */
static void refuse(unsigned status, const char *body)
{
	struct client_answer answer = { .status = status, .body = (char *)body, .length = body ? strlen(body) : 0 };

	client_refusal_clear(&refusal);
	client_refusal_read(&refusal, &answer);
	ck_assert_uint_eq(refusal.status, status);
}

static void teardown(void)
{
	client_refusal_clear(&refusal);
}

START_TEST(a_problem_gives_its_detail_and_field)
{
	refuse(422, "{\"title\": \"Unprocessable\", \"detail\": \"not a port\", \"field\": \"/ports/0\"}");
	ck_assert_str_eq(refusal.detail, "not a port");
	ck_assert_str_eq(refusal.field, "/ports/0");
	ck_assert(!refusal.no_sandbox);
	ck_assert(json_is_object(refusal.problem));
}
END_TEST

START_TEST(a_refusal_always_has_a_reason)
{
	refuse(503, "{\"title\": \"Service Unavailable\"}");
	ck_assert_str_eq(refusal.detail, "Service Unavailable");
	ck_assert_str_eq(refusal.field, "");
	refuse(500, NULL);
	ck_assert_str_eq(refusal.detail, "the daemon gave no reason");
	ck_assert_ptr_null(refusal.problem);
	refuse(500, "<html>");
	ck_assert_str_eq(refusal.detail, "the daemon gave no reason");
	refuse(500, "\"text\"");
	ck_assert_str_eq(refusal.detail, "the daemon gave no reason");
}
END_TEST

START_TEST(a_sandbox_that_does_not_exist_is_told_from_a_missing_field)
{
	refuse(404, "{\"detail\": \"no such sandbox\", \"field\": \"id\"}");
	ck_assert(refusal.no_sandbox);
	refuse(404, NULL);
	ck_assert(refusal.no_sandbox);
	refuse(404, "{\"detail\": \"no such port\", \"field\": \"/unpublish/0\"}");
	ck_assert(!refusal.no_sandbox);
	refuse(409, "{\"detail\": \"it is draining\", \"field\": \"id\"}");
	ck_assert(!refusal.no_sandbox);
}
END_TEST

START_TEST(a_query_is_escaped)
{
	char *escaped = client_escape("team=a b/\xc3\xa9~");

	ck_assert_str_eq(escaped, "team%3Da%20b%2F%C3%A9~");
	free(escaped);
}
END_TEST

START_TEST(members_that_are_not_there_read_as_nothing)
{
	json_t *object = json_pack("{s:s, s:i, s:b}", "text", "x", "number", 7, "is", 1);

	ck_assert_str_eq(client_text(object, "text"), "x");
	ck_assert_int_eq(client_number(object, "number"), 7);
	ck_assert(client_is(object, "is"));
	ck_assert_str_eq(client_text(object, "number"), "");
	ck_assert_int_eq(client_number(object, "text"), 0);
	ck_assert(!client_is(object, "text"));
	ck_assert_str_eq(client_text(NULL, "text"), "");
	ck_assert_int_eq(client_number(NULL, "number"), 0);
	ck_assert(!client_is(NULL, "is"));
	json_decref(object);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_ask");
	TCase *refusals = tcase_create("refusals");
	TCase *json = tcase_create("json");

	tcase_add_checked_fixture(refusals, NULL, teardown);
	tcase_add_test(refusals, a_problem_gives_its_detail_and_field);
	tcase_add_test(refusals, a_refusal_always_has_a_reason);
	tcase_add_test(refusals, a_sandbox_that_does_not_exist_is_told_from_a_missing_field);
	suite_add_tcase(suite, refusals);
	tcase_add_test(json, a_query_is_escaped);
	tcase_add_test(json, members_that_are_not_there_read_as_nothing);
	suite_add_tcase(suite, json);
	return run_suite(suite);
}
