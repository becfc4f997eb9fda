/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "door/door_refusal.h"

#include "unit/run_suite.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

START_TEST(a_reply_of_http_says_why_and_ends_the_connection)
{
	static const char *const names[DOOR_REFUSALS] = { "not-found", "port-closed",   "starting",     "paused",
							  "limit",     "token-missing", "token-invalid" };
	char reply[DOOR_REPLY_MAX], expected[DOOR_REPLY_MAX];

	for (unsigned refusal = 0; refusal < DOOR_REFUSALS; refusal++) {
		size_t size = door_refusal_write(DOOR_HTTP, refusal, 7, reply);

		ck_assert_str_eq(door_refusal_name(refusal), names[refusal]);
		snprintf(
		    expected, sizeof(expected),
		    "HTTP/1.1 502 Bad Gateway\r\nWeft-Refused: %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n",
		    names[refusal], refusal == DOOR_REFUSAL_LIMIT ? "Weft-Limit: 7\r\n" : "");
		ck_assert_uint_eq(size, strlen(expected));
		ck_assert_mem_eq(reply, expected, size);
	}
}
END_TEST

/*
 * What h2 4.1 for Python, told of a request on stream 1, makes of these bytes: SettingsAcknowledged, ResponseReceived with the fields
 * below, StreamEnded, ConnectionTerminated. test_door.py puts those of a running daemon to it.
 */
START_TEST(a_reply_of_http2_is_as_the_specification_has_it)
{
	static const char expected[] = "\0\0\0\4\1\0\0\0\0"
				       "\0\0\41\1\5\0\0\0\1"
				       "\10\003502"
				       "\0\014weft-refused\011not-found"
				       "\17\15\1"
				       "0";
	static const char goaway[] = "\0\0\10\7\0\0\0\0\0"
				     "\0\0\0\1\0\0\0\0";
	char reply[DOOR_REPLY_MAX];
	size_t size = door_refusal_write(DOOR_GRPC, DOOR_REFUSAL_NOT_FOUND, 0, reply);
	size_t first = sizeof(expected) - 1;

	ck_assert_uint_eq(size, first + sizeof(goaway) - 1);
	ck_assert_mem_eq(reply, expected, first);
	ck_assert_mem_eq(reply + first, goaway, sizeof(goaway) - 1);
}
END_TEST

/* The length of a frame, of the type and for the stream. Returns where the next one begins. */
static const char *frame(const char *at, char type, char stream, const char *end)
{
	ck_assert(end - at >= 9);
	ck_assert_int_eq(at[3], type);
	ck_assert_int_eq(at[8], stream);
	const char *next = at + 9 + (uint8_t)at[1] * 256 + (uint8_t)at[2];
	ck_assert(next <= end);
	return next;
}

START_TEST(frames_of_http2_fill_the_reply)
{
	char reply[DOOR_REPLY_MAX];

	for (unsigned refusal = 0; refusal < DOOR_REFUSALS; refusal++) {
		size_t size = door_refusal_write(DOOR_GRPC, refusal, UINT_MAX, reply);
		const char *end = reply + size;
		const char *headers = frame(reply, 4, 0, end);
		const char *goaway = frame(headers, 1, 1, end);
		size_t length = (size_t)(goaway - headers);

		ck_assert_ptr_eq(frame(goaway, 7, 0, end), end);
		ck_assert_ptr_nonnull(
		    memmem(headers, length, door_refusal_name(refusal), strlen(door_refusal_name(refusal))));
		ck_assert_int_eq(memmem(headers, length, "\0\012weft-limit\0124294967295", 23) != NULL,
				 refusal == DOOR_REFUSAL_LIMIT);
	}
}
END_TEST

START_TEST(only_http2_is_greeted)
{
	char reply[DOOR_REPLY_MAX];

	ck_assert_uint_eq(door_refusal_greet(DOOR_HTTP, reply), 0);
	ck_assert_uint_eq(door_refusal_greet(DOOR_TCP, reply), 0);
	ck_assert_uint_eq(door_refusal_greet(DOOR_GRPC, reply), 9);
	ck_assert_mem_eq(reply, "\0\0\0\4\0\0\0\0\0", 9);
}
END_TEST

START_TEST(bytes_get_no_reply)
{
	char reply[DOOR_REPLY_MAX];

	for (unsigned refusal = 0; refusal < DOOR_REFUSALS; refusal++)
		ck_assert_uint_eq(door_refusal_write(DOOR_TCP, refusal, 7, reply), 0);
}
END_TEST

START_TEST(the_longest_replies_fit)
{
	char reply[DOOR_REPLY_MAX];

	ck_assert_uint_lt(door_refusal_write(DOOR_HTTP, DOOR_REFUSAL_LIMIT, UINT_MAX, reply), DOOR_REPLY_MAX);
	ck_assert_uint_lt(door_refusal_write(DOOR_HTTP, DOOR_REFUSAL_TOKEN_INVALID, UINT_MAX, reply), DOOR_REPLY_MAX);
	ck_assert_uint_lt(door_refusal_write(DOOR_GRPC, DOOR_REFUSAL_LIMIT, UINT_MAX, reply), DOOR_REPLY_MAX);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("door_refusal");

	tcase_add_test(cases, a_reply_of_http_says_why_and_ends_the_connection);
	tcase_add_test(cases, a_reply_of_http2_is_as_the_specification_has_it);
	tcase_add_test(cases, frames_of_http2_fill_the_reply);
	tcase_add_test(cases, only_http2_is_greeted);
	tcase_add_test(cases, bytes_get_no_reply);
	tcase_add_test(cases, the_longest_replies_fit);

	Suite *suite = suite_create("door_refusal");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
