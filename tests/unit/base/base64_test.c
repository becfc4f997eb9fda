/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/base64.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

START_TEST(the_vectors_of_the_rfc_hold_both_ways)
{
	static const char *const vectors[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	char text[16];
	uint8_t data[8];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t size = strlen(vectors[i][0]);

		ck_assert_uint_eq(strlen(vectors[i][1]), BASE64_LENGTH(size));
		ck_assert_str_eq(base_base64_write((const uint8_t *)vectors[i][0], size, text), vectors[i][1]);
		ck_assert_int_eq(base_base64_read(vectors[i][1], BASE64_LENGTH(size), data, sizeof(data)),
				 (ssize_t)size);
		ck_assert_mem_eq(data, vectors[i][0], size);
	}
}
END_TEST

/* 256 bytes at each of three offsets, so that each byte stands at each of the three places. */
START_TEST(every_byte_reads_back_at_every_place)
{
	uint8_t data[258];
	uint8_t back[258];
	char text[BASE64_LENGTH(258) + 1];

	for (size_t offset = 0; offset < 3; offset++) {
		size_t size = 256 + offset;

		memset(data, 0, sizeof(data));
		for (size_t i = 0; i < 256; i++)
			data[offset + i] = (uint8_t)i;
		base_base64_write(data, size, text);
		ck_assert_uint_eq(strlen(text), BASE64_LENGTH(size));
		ck_assert_int_eq(base_base64_read(text, strlen(text), back, sizeof(back)), (ssize_t)size);
		ck_assert_mem_eq(back, data, size);
	}
}
END_TEST

START_TEST(of_all_characters_those_of_the_alphabet_count)
{
	size_t good = 0;
	uint8_t data[3];

	for (int i = 0; i < 256; i++) {
		char text[4] = { 'A', (char)i, 'A', 'A' };

		good += base_base64_read(text, sizeof(text), data, sizeof(data)) == 3;
	}
	ck_assert_uint_eq(good, 64);
}
END_TEST

START_TEST(what_would_not_be_written_is_refused)
{
	static const char *const texts[] = {
		"Z",    "Zg",     "Zg=",      "Zg==Zg==", "Zm8=Zm9v",   "====",  "=g==",
		"Z===", "Zg=A",   "Zh==",     "Zm9=",     "Zg== ",      " Zg==", "Zm-v",
		"Zm_v", "Zm9v\n", "Zm9v====", "\n   ",    "Zg==\n\n\n", "Zm9v=", "Zm\n9v",
	};
	uint8_t data[16];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(base_base64_read(texts[i], strlen(texts[i]), data, sizeof(data)) == -1, "%s", texts[i]);
}
END_TEST

START_TEST(nothing_is_written_beyond_the_room)
{
	uint8_t data[4] = { 0, 0, 0, 0xA5 };

	ck_assert_int_eq(base_base64_read("Zm9v", 4, data, 3), 3);
	ck_assert_uint_eq(data[3], 0xA5);
	ck_assert_int_eq(base_base64_read("Zm9vYg==", 8, data, 3), -1);
	ck_assert_uint_eq(data[3], 0xA5);
	ck_assert_int_eq(base_base64_read("", 0, data, 0), 0);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("base64");

	tcase_add_test(cases, the_vectors_of_the_rfc_hold_both_ways);
	tcase_add_test(cases, every_byte_reads_back_at_every_place);
	tcase_add_test(cases, of_all_characters_those_of_the_alphabet_count);
	tcase_add_test(cases, what_would_not_be_written_is_refused);
	tcase_add_test(cases, nothing_is_written_beyond_the_room);

	Suite *suite = suite_create("base64");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
