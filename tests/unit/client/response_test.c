/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "client/response.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct client_response response;
static struct err err;
static char body[4096];
static size_t body_length;
static bool refuse_body;

static bool take(void *context, const char *data, size_t length)
{
	(void)context;
	memcpy(body + body_length, data, length);
	body_length += length;
	return !refuse_body;
}

static void setup(void)
{
	refuse_body = false;
	body_length = 0;
	memset(body, 0, sizeof(body));
	client_response_init(&response, take, NULL);
}

/* Feeds TEXT in pieces of STEP bytes. */
static int feed(const char *text, size_t step)
{
	size_t left = strlen(text);

	while (left) {
		size_t piece = left < step ? left : step;
		if (client_response_feed(&response, text, piece, &err) < 0)
			return -1;
		text += piece;
		left -= piece;
	}
	return 0;
}

static void refused(const char *text, const char *reason)
{
	setup();
	ck_assert_msg(feed(text, 1000) < 0, "taken: %s", text);
	ck_assert_str_eq(err.text, reason);
	ck_assert_int_eq(err.code, EPROTO);
}

START_TEST(a_body_of_a_length_is_read_whole)
{
	for (size_t step = 1; step < 100; step++) {
		setup();
		ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
				      "Content-Length: 5\r\n\r\nhello",
				      step),
				 0);
		ck_assert_int_eq(response.state, RESPONSE_DONE);
		ck_assert_uint_eq(response.status, 200);
		ck_assert_str_eq(response.content_type, "application/json");
		ck_assert_str_eq(body, "hello");
	}
}
END_TEST

START_TEST(chunks_are_put_together)
{
	for (size_t step = 1; step < 100; step++) {
		setup();
		ck_assert_int_eq(feed("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"
				      "5\r\nhello\r\nA;x=y\r\n, you all!\r\n0\r\nTrailer: x\r\n\r\n",
				      step),
				 0);
		ck_assert_int_eq(response.state, RESPONSE_DONE);
		ck_assert_str_eq(body, "hello, you all!");
	}
}
END_TEST

START_TEST(a_body_without_a_length_ends_with_the_connection)
{
	ck_assert_int_eq(feed("HTTP/1.0 400 Bad\r\n\r\nno", 7), 0);
	ck_assert_int_eq(response.state, RESPONSE_REST_BODY);
	ck_assert_int_eq(client_response_end(&response, &err), 0);
	ck_assert_str_eq(body, "no");
}
END_TEST

START_TEST(no_content_has_no_body)
{
	ck_assert_int_eq(feed("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 9), 0);
	ck_assert_int_eq(response.state, RESPONSE_DONE);
}
END_TEST

START_TEST(an_interim_answer_is_not_the_answer)
{
	ck_assert_int_eq(feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", 3),
			 0);
	ck_assert_uint_eq(response.status, 201);
	ck_assert_str_eq(body, "{}");
}
END_TEST

START_TEST(when_to_ask_again_is_read_in_seconds)
{
	static const struct {
		const char *field;
		unsigned seconds;
	} cases[] = {
		{ "retry-after: 1", 1 },
		{ "Retry-After:  007 ", 7 },
		{ "Retry-After: 99999", 86400 },
		{ "Retry-After: 99999999999999999999", 86400 },
		{ "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 0 },
		{ "Retry-After: -1", 0 },
		{ "Retry-After:", 0 },
		{ "X-Retry-After: 5", 0 },
	};
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup();
		snprintf(text, sizeof(text), "HTTP/1.1 503 No\r\n%s\r\nContent-Length: 0\r\n\r\n", cases[i].field);
		ck_assert_int_eq(feed(text, 1000), 0);
		ck_assert_msg(response.retry_after_s == cases[i].seconds, "%s: %u", cases[i].field,
			      response.retry_after_s);
	}
}
END_TEST

START_TEST(an_answer_that_is_cut_off_is_none)
{
	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 100), 0);
	ck_assert_int_eq(client_response_end(&response, &err), -1);
	ck_assert_str_eq(err.text, "the answer was cut off");
	ck_assert_int_eq(err.code, EPROTO);
	setup();
	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 100), 0);
	ck_assert_int_eq(client_response_end(&response, &err), -1);
	setup();
	ck_assert_int_eq(client_response_end(&response, &err), -1);
	ck_assert_int_eq(err.code, ECONNRESET);
}
END_TEST

START_TEST(what_is_not_understood_is_refused)
{
	refused("SSH-2.0-OpenSSH\r\n", "what answers is not HTTP/1.1");
	refused("HTTP/2.0 200 OK\r\n", "what answers is not HTTP/1.1");
	refused("HTTP/1.1 2x0 OK\r\n", "a status line without a status");
	refused("HTTP/1.1 999 OK\r\n", "status 999 is none of HTTP's");
	refused("HTTP/1.1 200 OK\r\nno field\r\n", "a header line that is no field");
	refused("HTTP/1.1 200 OK\r\nName : x\r\n", "a header line that is no field");
	refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "Content-Length is no length");
	refused("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n", "Content-Length is no length");
	refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", "two different Content-Lengths");
	refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"both a length and chunks");
	refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "a transfer coding other than chunked");
	refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a chunk without a size");
	refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", "a chunk without a size");
	refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a chunk longer than its size");
}
END_TEST

START_TEST(a_line_without_end_is_refused)
{
	char line[1000];

	memset(line, 'a', sizeof(line));
	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nX: ", 100), 0);
	int result = 0;
	for (int i = 0; i < 9 && result == 0; i++)
		result = client_response_feed(&response, line, sizeof(line), &err);
	ck_assert_int_eq(result, -1);
	ck_assert_str_eq(err.text, "a line longer than 8192 bytes");
}
END_TEST

START_TEST(endless_fields_are_refused)
{
	int result = feed("HTTP/1.1 200 OK\r\n", 100);

	for (int i = 0; i < 65 && result == 0; i++)
		result = feed("X: y\r\n", 100);
	ck_assert_int_eq(result, -1);
	ck_assert_str_eq(err.text, "more than 64 header fields");
}
END_TEST

START_TEST(a_reader_that_has_enough_ends_it)
{
	refuse_body = true;
	ck_assert_int_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", 100), 0);
	ck_assert_int_eq(response.state, RESPONSE_DONE);
}
END_TEST

int main(void)
{
	TCase *reading = tcase_create("reading");
	tcase_add_checked_fixture(reading, setup, NULL);
	tcase_add_test(reading, a_body_of_a_length_is_read_whole);
	tcase_add_test(reading, chunks_are_put_together);
	tcase_add_test(reading, a_body_without_a_length_ends_with_the_connection);
	tcase_add_test(reading, no_content_has_no_body);
	tcase_add_test(reading, an_interim_answer_is_not_the_answer);
	tcase_add_test(reading, when_to_ask_again_is_read_in_seconds);
	tcase_add_test(reading, an_answer_that_is_cut_off_is_none);
	tcase_add_test(reading, what_is_not_understood_is_refused);
	tcase_add_test(reading, a_line_without_end_is_refused);
	tcase_add_test(reading, endless_fields_are_refused);
	tcase_add_test(reading, a_reader_that_has_enough_ends_it);

	Suite *suite = suite_create("client_response");
	suite_add_tcase(suite, reading);

	return run_suite(suite);
}
