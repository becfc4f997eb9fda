/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/head.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct head head;

static enum head_verdict judged(const char *text)
{
	return http_head_read(text, strlen(text), &head);
}

START_TEST(a_plain_request_is_complete)
{
	static const char text[] =
	    "PUT /v1/sandboxes/a1?x=y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\nbody";

	ck_assert_int_eq(judged(text), HEAD_COMPLETE);
	ck_assert_int_eq(head.method, HTTP_PUT);
	ck_assert_uint_eq(head.target_length, strlen("/v1/sandboxes/a1?x=y"));
	ck_assert_mem_eq(head.target, "/v1/sandboxes/a1?x=y", head.target_length);
	ck_assert(head.printable && !head.close && !head.chunked && !head.expect_continue);
	ck_assert_uint_eq(head.minor, 1);
	ck_assert_uint_eq(head.content_length, 12);
	ck_assert_str_eq(head.host, "localhost");
	ck_assert_uint_eq(head.length, strlen(text) - 4);
}
END_TEST

START_TEST(a_request_is_not_judged_before_it_is_whole)
{
	static const char text[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";

	for (size_t length = 0; length < strlen(text); length++)
		ck_assert_int_eq(http_head_read(text, length, &head), HEAD_MORE);
	ck_assert_int_eq(http_head_read(text, strlen(text), &head), HEAD_COMPLETE);
}
END_TEST

START_TEST(what_cannot_become_http_is_told_at_once)
{
	ck_assert_int_eq(http_head_read("\x16\x03\x01", 3, &head), HEAD_NOT_HTTP);
	ck_assert_int_eq(http_head_read("\0", 1, &head), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged(" GET"), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged("hello\n"), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged("GET / FTP/1.1\r\n"), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged("GET / HTTP/2.0\r\n"), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged("GET /\r\n"), HEAD_NOT_HTTP);
	ck_assert_int_eq(judged("THISISNOTAMETHODBUTSOMETHINGELSEENTIRELY"), HEAD_NOT_HTTP);
}
END_TEST

START_TEST(empty_lines_before_a_request_are_skipped)
{
	ck_assert_int_eq(judged("\r\n\r\nGET / HTTP/1.0\r\n\r\n"), HEAD_COMPLETE);
	ck_assert(head.close);
	ck_assert_uint_eq(head.minor, 0);
}
END_TEST

START_TEST(any_other_method_is_told_apart)
{
	ck_assert_int_eq(judged("BREW / HTTP/1.1\r\nHost: x\r\n\r\n"), HEAD_COMPLETE);
	ck_assert_int_eq(head.method, HTTP_OTHER);
	ck_assert_int_eq(judged("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), HEAD_COMPLETE);
	ck_assert_int_eq(head.method, HTTP_POST);
	ck_assert_int_eq(judged("get / HTTP/1.1\r\nHost: x\r\n\r\n"), HEAD_COMPLETE);
	ck_assert_int_eq(head.method, HTTP_OTHER);
}
END_TEST

START_TEST(a_blank_in_the_target_belongs_to_it)
{
	ck_assert_int_eq(judged("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), HEAD_COMPLETE);
	ck_assert_uint_eq(head.target_length, 4);
	ck_assert(!head.printable);
}
END_TEST

START_TEST(the_authority_of_an_absolute_target_decides)
{
	static const struct {
		const char *target, *path, *host;
	} cases[] = {
		{ "http://localhost/v1/status?x=y", "/v1/status?x=y", "localhost" },
		{ "HTTP://127.0.0.1:9090/", "/", "127.0.0.1:9090" },
		{ "http://[::1]:80", "/", "[::1]:80" },
		{ "https://a.example//x", "//x", "a.example" },
		{ "/http://b/", "/http://b/", "evil" },
	};
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: evil\r\n\r\n", cases[i].target);
		ck_assert_int_eq(judged(text), HEAD_COMPLETE);
		ck_assert_uint_eq(head.target_length, strlen(cases[i].path));
		ck_assert_mem_eq(head.target, cases[i].path, head.target_length);
		ck_assert_str_eq(head.host, cases[i].host);
	}
	/* The field is wanted all the same, but not in HTTP/1.0. */
	ck_assert_int_eq(judged("GET http://a/ HTTP/1.1\r\n\r\n"), HEAD_BAD);
	ck_assert_int_eq(judged("GET http://a/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"), HEAD_BAD);
	ck_assert_int_eq(judged("GET http://a/ HTTP/1.0\r\n\r\n"), HEAD_COMPLETE);
	ck_assert(head.has_host);
}
END_TEST

START_TEST(an_absolute_target_without_a_plain_authority_is_refused)
{
	static const char *const targets[] = { "http://", "http:///x", "http://u@a/", "http://:80/", "http://a?x" };
	char text[256];

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", targets[i]);
		ck_assert_int_eq(judged(text), HEAD_BAD);
		ck_assert_ptr_nonnull(head.detail);
	}
}
END_TEST

/* Cut to nothing, it would pass for an address. */
START_TEST(a_host_longer_than_any_name_is_refused)
{
	char text[1024], name[HEAD_HOST_MAX + 2];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name);
	ck_assert_int_eq(judged(text), HEAD_BAD);
	snprintf(text, sizeof(text), "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", name);
	ck_assert_int_eq(judged(text), HEAD_BAD);
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name + 1);
	ck_assert_int_eq(judged(text), HEAD_COMPLETE);
	ck_assert_str_eq(head.host, name + 1);
}
END_TEST

START_TEST(a_coded_body_is_not_read)
{
	ck_assert_int_eq(judged("PUT / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\r\n"), HEAD_ENCODED);
	ck_assert_int_eq(judged("PUT / HTTP/1.1\r\nHost: x\r\ncontent-encoding: identity, br\r\n\r\n"), HEAD_ENCODED);
	ck_assert_int_eq(judged("PUT / HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity\r\n\r\n"), HEAD_COMPLETE);
	ck_assert_int_eq(judged("PUT / HTTP/1.1\r\nHost: x\r\nContent-Encoding:\r\n\r\n"), HEAD_COMPLETE);
}
END_TEST

static const char *const bad_fields[] = {
	"",
	"Host: x\r\nHost: x\r\n",
	"Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
	"Host: x\r\nContent-Length: 1, 1\r\n",
	"Host: x\r\nContent-Length: +1\r\n",
	"Host: x\r\nContent-Length:\r\n",
	"Host: x\r\nContent-Length: 9999999999999999999\r\n",
	"Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
	"Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
	"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
	"Host: x\r\nExpect: tea\r\n",
	"Host: x\r\nA : b\r\n",
	"Host: x\r\n: b\r\n",
	"Host: x\r\nA: b\r\n c\r\n",
	"Host: x\r\nA: b\rc\r\n",
	"Host: x\r\nA\r\n",
};

START_TEST(a_field_that_two_readers_could_read_differently_is_refused)
{
	char text[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", bad_fields[_i]);
	ck_assert_int_eq(judged(text), HEAD_BAD);
	ck_assert_ptr_nonnull(head.detail);
}
END_TEST

START_TEST(what_the_fields_say_is_kept)
{
	ck_assert_int_eq(judged("PUT / HTTP/1.1\r\nhost:\tx \r\nTRANSFER-ENCODING: Chunked\r\nConnection: Keep-Alive, "
				"Close\r\nExpect: 100-Continue\r\n\r\n"),
			 HEAD_COMPLETE);
	ck_assert(head.chunked && head.close && head.expect_continue);
	ck_assert_str_eq(head.host, "x");
}
END_TEST

START_TEST(a_head_has_a_longest_length_and_most_fields)
{
	size_t size = HEAD_MAX * 2;
	char *text = malloc(size);

	int used = snprintf(text, size, "GET / HTTP/1.1\r\nA: ");
	memset(text + used, 'b', size - (size_t)used);
	ck_assert_int_eq(http_head_read(text, HEAD_MAX - 1, &head), HEAD_MORE);
	ck_assert_int_eq(http_head_read(text, HEAD_MAX, &head), HEAD_TOO_LONG);
	memset(text, 'G', 3);
	memcpy(text, "GET ", 4);
	memset(text + 4, '/', size - 4);
	ck_assert_int_eq(http_head_read(text, HEAD_MAX, &head), HEAD_TOO_LONG);

	used = snprintf(text, size, "GET / HTTP/1.1\r\n");
	for (int i = 0; i <= HEAD_FIELDS_MAX; i++)
		used += snprintf(text + used, size - (size_t)used, "A: b\r\n");
	ck_assert_int_eq(http_head_read(text, (size_t)used, &head), HEAD_TOO_LONG);
	free(text);
}
END_TEST

/* Feeds RAW in pieces of STEP bytes; what is decoded stands in BYTES. */
static enum chunk_verdict decoded(const char *raw, size_t step, size_t limit, char *bytes, struct chunks *chunks)
{
	size_t length = 0, total = strlen(raw);
	enum chunk_verdict verdict = CHUNK_MORE;

	*chunks = (struct chunks){ 0 };
	for (size_t at = 0; at < total && verdict == CHUNK_MORE; at += step) {
		size_t piece = total - at < step ? total - at : step;
		memcpy(bytes + length, raw + at, piece);
		length += piece;
		verdict = http_chunks_read(chunks, bytes, &length, limit);
	}
	return verdict;
}

START_TEST(chunks_are_joined_however_they_are_cut)
{
	static const char raw[] = "5\r\nhello\r\n1;a=b\r\n,\r\nA\r\n wide worl\r\n1 \r\nd\r\n0\r\nX: y\r\n\r\nNEXT";
	char bytes[256];
	struct chunks chunks;

	for (size_t step = 1; step < sizeof(raw); step++) {
		ck_assert_int_eq(decoded(raw, step, 100, bytes, &chunks), CHUNK_COMPLETE);
		ck_assert_uint_eq(chunks.body, strlen("hello, wide world"));
		ck_assert_mem_eq(bytes, "hello, wide world", chunks.body);
		ck_assert_mem_eq(bytes + chunks.body, "NEXT", chunks.raw);
	}
}
END_TEST

START_TEST(broken_chunks_are_refused)
{
	static const char *const broken[] = {
		"x\r\n",        "\r\n",    "-1\r\n", "5\r\nhelloX\r\n", "5\nhello\r\n", "ffffffffffffffffff\r\n",
		"5\r\nhello\n", "0x5\r\n",
	};
	char bytes[512], lengthy[CHUNK_LINE_MAX + 2];
	struct chunks chunks;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_int_eq(decoded(broken[i], 1, 100, bytes, &chunks), CHUNK_BAD);
	memset(lengthy, '1', sizeof(lengthy));
	lengthy[1] = ';';
	lengthy[sizeof(lengthy) - 1] = '\0';
	ck_assert_int_eq(decoded(lengthy, 1, 100, bytes, &chunks), CHUNK_BAD);
}
END_TEST

START_TEST(chunks_beyond_the_limit_are_refused_before_they_come)
{
	char bytes[64];
	struct chunks chunks;

	ck_assert_int_eq(decoded("5\r\nhello\r\n6\r\n", 3, 10, bytes, &chunks), CHUNK_TOO_LONG);
	ck_assert_int_eq(decoded("fffffffffffffff\r\n", 1, 10, bytes, &chunks), CHUNK_TOO_LONG);
	ck_assert_int_eq(decoded("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", 3, 10, bytes, &chunks), CHUNK_COMPLETE);
}
END_TEST

int main(void)
{
	TCase *heads = tcase_create("heads");
	tcase_add_test(heads, a_plain_request_is_complete);
	tcase_add_test(heads, a_request_is_not_judged_before_it_is_whole);
	tcase_add_test(heads, what_cannot_become_http_is_told_at_once);
	tcase_add_test(heads, empty_lines_before_a_request_are_skipped);
	tcase_add_test(heads, any_other_method_is_told_apart);
	tcase_add_test(heads, a_blank_in_the_target_belongs_to_it);
	tcase_add_test(heads, the_authority_of_an_absolute_target_decides);
	tcase_add_test(heads, an_absolute_target_without_a_plain_authority_is_refused);
	tcase_add_test(heads, a_host_longer_than_any_name_is_refused);
	tcase_add_test(heads, a_coded_body_is_not_read);
	tcase_add_loop_test(heads, a_field_that_two_readers_could_read_differently_is_refused, 0,
			    sizeof(bad_fields) / sizeof(bad_fields[0]));
	tcase_add_test(heads, what_the_fields_say_is_kept);
	tcase_add_test(heads, a_head_has_a_longest_length_and_most_fields);
	TCase *bodies = tcase_create("chunks");
	tcase_add_test(bodies, chunks_are_joined_however_they_are_cut);
	tcase_add_test(bodies, broken_chunks_are_refused);
	tcase_add_test(bodies, chunks_beyond_the_limit_are_refused_before_they_come);

	Suite *suite = suite_create("head");
	suite_add_tcase(suite, heads);
	suite_add_tcase(suite, bodies);

	return run_suite(suite);
}
