/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/memory_text.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 5000, LINE = 10 };

/* To be freed. */
static char *write_lines(unsigned failing, bool from_then_on, bool *failed, size_t *length)
{
	struct base_text text;
	FILE *out = base_text_open(&text);

	ck_assert_ptr_nonnull(out);
	faults_arm_memory(failing, from_then_on);
	for (int i = 0; i < LINES; i++)
		fprintf(out, "line %04d\n", i);
	char *whole = base_text_close(&text, out, length);
	*failed = faults_disarm();
	return whole;
}

START_TEST(a_text_has_all_that_was_written)
{
	size_t length = 0;
	bool failed;
	char *whole = write_lines(0, false, &failed, &length);

	ck_assert_uint_eq(length, LINES * LINE);
	ck_assert_uint_eq(strlen(whole), length);
	ck_assert_mem_eq(whole, "line 0000\nline 0001\n", 20);
	ck_assert_str_eq(whole + length - LINE, "line 4999\n");
	free(whole);
}
END_TEST

START_TEST(an_empty_text_is_one)
{
	struct base_text text;
	size_t length = 1;
	char *whole = base_text_close(&text, base_text_open(&text), &length);

	ck_assert_str_eq(whole, "");
	ck_assert_uint_eq(length, 0);
	free(whole);
}
END_TEST

/* Memory that is lacking once, and is there again for the rest, must not leave a hole. */
START_TEST(a_text_for_which_memory_was_lacking_is_none)
{
	for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
		bool failed = true;
		unsigned failing = 1;

		for (; failed; failing++) {
			size_t length;
			char *whole = write_lines(failing, from_then_on, &failed, &length);

			ck_assert_int_eq(whole == NULL, failed);
			free(whole);
		}
		ck_assert_uint_gt(failing, 4);
	}
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("memory_text");

	tcase_add_test(cases, a_text_has_all_that_was_written);
	tcase_add_test(cases, an_empty_text_is_one);
	tcase_add_test(cases, a_text_for_which_memory_was_lacking_is_none);

	Suite *suite = suite_create("memory_text");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
