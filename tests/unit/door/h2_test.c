/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "door/h2.h"

#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* Heads of frames, with their payload where they have one. */
#define SETTINGS                                                                                                       \
	"\0\0\6\4\0\0\0\0\0"                                                                                           \
	"\0\3\0\0\0\144"
#define NO_SETTINGS "\0\0\0\4\0\0\0\0\0"
#define ACK         "\0\0\0\4\1\0\0\0\0"
#define WINDOW_UPDATE                                                                                                  \
	"\0\0\4\10\0\0\0\0\0"                                                                                          \
	"\0\1\0\0"
#define PING                                                                                                           \
	"\0\0\10\6\0\0\0\0\0"                                                                                          \
	"\0\0\0\1\4\0\0\1"
#define PRIORITY                                                                                                       \
	"\0\0\5\2\0\0\0\0\3"                                                                                           \
	"\0\0\0\0\20"
#define UNKNOWN                                                                                                        \
	"\0\0\3\100\377\0\0\0\7"                                                                                       \
	"abc"
#define HEADERS                                                                                                        \
	"\0\0\2\1\4\0\0\0\1"                                                                                           \
	"\202\206"
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

enum result { WAITS, ASKED, BAD };

static enum result result_of(const struct door_h2 *reader)
{
	ck_assert(!reader->asked || !reader->bad);
	return reader->bad ? BAD : reader->asked ? ASKED : WAITS;
}

/* Reads the whole, and each byte alone: both must say the same. */
static enum result read_both(const uint8_t *data, size_t size)
{
	struct door_h2 whole = { 0 }, bytewise = { 0 };
	bool asked = false;

	ck_assert_int_eq(door_h2_read(&whole, data, size), whole.asked);
	for (size_t i = 0; i < size; i++) {
		bool now = door_h2_read(&bytewise, data + i, 1);

		ck_assert(now || !asked);
		asked = now;
	}
	ck_assert_int_eq(result_of(&whole), result_of(&bytewise));
	return result_of(&whole);
}

START_TEST(a_client_asks_with_the_headers_of_stream_1)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS HEADERS)), ASKED);
	ck_assert_int_eq(read_both(BYTES(PREFACE NO_SETTINGS HEADERS)), ASKED);
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS ACK WINDOW_UPDATE PING PRIORITY UNKNOWN SETTINGS HEADERS)),
			 ASKED);
}
END_TEST

START_TEST(until_then_it_waits)
{
	static const char all[] = PREFACE SETTINGS ACK WINDOW_UPDATE "\0\0\2\1\4\0\0\0\1";

	for (size_t size = 0; size < sizeof(all) - 1; size++)
		ck_assert_int_eq(read_both((const uint8_t *)all, size), WAITS);
	ck_assert_int_eq(read_both(BYTES(all)), ASKED);
}
END_TEST

START_TEST(the_reserved_bit_of_a_stream_does_not_count)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\2\1\4\200\0\0\1")), ASKED);
	ck_assert_int_eq(read_both(BYTES(PREFACE "\0\0\0\4\0\200\0\0\0" HEADERS)), ASKED);
}
END_TEST

START_TEST(what_comes_after_it_has_asked_does_not_matter)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS HEADERS "GET / HTTP/1.1\r\n\r\n")), ASKED);
}
END_TEST

START_TEST(another_preface_is_bad_at_its_first_other_byte)
{
	for (size_t at = 0; at < sizeof(PREFACE) - 1; at++) {
		uint8_t data[sizeof(PREFACE)] = PREFACE;
		struct door_h2 reader = { 0 };

		data[at] ^= 1;
		door_h2_read(&reader, data, at);
		ck_assert_int_eq(result_of(&reader), WAITS);
		door_h2_read(&reader, data + at, 1);
		ck_assert_int_eq(result_of(&reader), BAD);
		ck_assert(!door_h2_read(&reader, BYTES(PREFACE SETTINGS HEADERS)));
	}
}
END_TEST

START_TEST(what_does_not_begin_with_settings_is_bad)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE HEADERS)), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE ACK)), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE WINDOW_UPDATE)), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE UNKNOWN)), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE "\0\0\0\4\0\0\0\0\1")), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE "\0\0\5\4\0\0\0\0\0")), BAD);
}
END_TEST

START_TEST(frames_that_need_an_open_stream_are_bad)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\0\0\0\0\0\0\1")), BAD);  /* DATA */
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\4\3\0\0\0\0\1")), BAD);  /* RST_STREAM */
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\4\5\0\0\0\0\1")), BAD);  /* PUSH_PROMISE */
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\0\11\0\0\0\0\1")), BAD); /* CONTINUATION */
}
END_TEST

START_TEST(another_stream_than_the_first_is_bad)
{
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\2\1\4\0\0\0\0")), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\2\1\4\0\0\0\3")), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\2\1\4\0\0\1\1")), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\0\0\2\1\4\177\0\0\1")), BAD);
}
END_TEST

START_TEST(frames_have_16384_bytes_at_most)
{
	uint8_t data[sizeof(PREFACE SETTINGS) - 1 + 9 + 16384 + sizeof(HEADERS) - 1] = PREFACE SETTINGS "\0\100\0\100";

	memcpy(data + sizeof(data) - sizeof(HEADERS) + 1, HEADERS, sizeof(HEADERS) - 1);
	ck_assert_int_eq(read_both(data, sizeof(data)), ASKED);
	data[sizeof(PREFACE SETTINGS) - 1 + 2] = 1;
	ck_assert_int_eq(read_both(data, sizeof(data)), BAD);
	ck_assert_int_eq(read_both(BYTES(PREFACE SETTINGS "\377\377\377\100\0\0\0\0\0")), BAD);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("h2");

	tcase_add_test(cases, a_client_asks_with_the_headers_of_stream_1);
	tcase_add_test(cases, until_then_it_waits);
	tcase_add_test(cases, the_reserved_bit_of_a_stream_does_not_count);
	tcase_add_test(cases, what_comes_after_it_has_asked_does_not_matter);
	tcase_add_test(cases, another_preface_is_bad_at_its_first_other_byte);
	tcase_add_test(cases, what_does_not_begin_with_settings_is_bad);
	tcase_add_test(cases, frames_that_need_an_open_stream_are_bad);
	tcase_add_test(cases, another_stream_than_the_first_is_bad);
	tcase_add_test(cases, frames_have_16384_bytes_at_most);

	Suite *suite = suite_create("h2");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
