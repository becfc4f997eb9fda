/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/utf8.h"
#include "unit/run_suite.h"

#include <stddef.h>

static const struct {
	const char *text;
	size_t length;
	uint32_t character;
} samples[] = {
	{ "", 1, 0 },
	{ "a", 1, 'a' },
	{ "\x7f", 1, 0x7f },
	{ "\xc2\x80", 2, 0x80 },
	{ "\xc3\xa9t", 2, 0xe9 },
	{ "\xe0\xa0\x80", 3, 0x800 },
	{ "\xe2\x82\xac", 3, 0x20ac },
	{ "\xed\x9f\xbf", 3, 0xd7ff },
	{ "\xee\x80\x80", 3, 0xe000 },
	{ "\xf0\x90\x80\x80", 4, 0x10000 },
	{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
	/* A byte that begins none, a lead byte alone, a cut one. */
	{ "\x80", 0, 0 },
	{ "\xc3", 0, 0 },
	{ "\xc3(", 0, 0 },
	{ "\xe2\x82", 0, 0 },
	{ "\xf0\x90\x80", 0, 0 },
	{ "\xff", 0, 0 },
	{ "\xf8\x88\x80\x80\x80", 0, 0 },
	/* Longer than need be, a surrogate, beyond the last. */
	{ "\xc0\x80", 0, 0 },
	{ "\xc1\xbf", 0, 0 },
	{ "\xe0\x9f\xbf", 0, 0 },
	{ "\xf0\x8f\xbf\xbf", 0, 0 },
	{ "\xed\xa0\x80", 0, 0 },
	{ "\xed\xbf\xbf", 0, 0 },
	{ "\xf4\x90\x80\x80", 0, 0 },
};

START_TEST(what_is_well_formed_is_decoded_and_nothing_else)
{
	uint32_t character = 0;

	ck_assert_uint_eq(utf8_decode(samples[_i].text, &character), samples[_i].length);
	ck_assert_uint_eq(character, samples[_i].character);
	ck_assert_uint_eq(utf8_decode(samples[_i].text, NULL), samples[_i].length);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("utf8");
	TCase *decoding = tcase_create("decoding");

	tcase_add_loop_test(decoding, what_is_well_formed_is_decoded_and_nothing_else, 0,
			    (int)(sizeof(samples) / sizeof(samples[0])));
	suite_add_tcase(suite, decoding);
	return run_suite(suite);
}
