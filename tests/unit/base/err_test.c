/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(an_error_says_what_failed_and_why)
{
	struct err err = { 0 };

	ck_assert_int_eq(err_set(&err, EEXIST, "link %s", "veth-7"), -1);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_str_eq(err.text, "link veth-7: File exists");
}
END_TEST

START_TEST(an_error_without_a_code_has_no_reason_behind_it)
{
	struct err err = { .code = 5 };

	err_set(&err, 0, "no slot is free");
	ck_assert_int_eq(err.code, 0);
	ck_assert_str_eq(err.text, "no slot is free");
}
END_TEST

START_TEST(wrapping_reads_from_the_outside_in_and_keeps_the_code)
{
	struct err err = { 0 };

	err_set(&err, EEXIST, "link veth-7");
	ck_assert_int_eq(err_wrap(&err, "slot %d", 7), -1);
	err_wrap(&err, "sandbox %s", "a1");
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_str_eq(err.text, "sandbox a1: slot 7: link veth-7: File exists");
}
END_TEST

START_TEST(what_does_not_fit_is_cut)
{
	char longer[600];
	struct err err = { 0 };

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&err, ENOENT, "%s", longer);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	err_wrap(&err, "outside");
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_mem_eq(err.text, "outside: xxx", 12);
	err_wrap(&err, "%s", longer);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("err");

	tcase_add_test(cases, an_error_says_what_failed_and_why);
	tcase_add_test(cases, an_error_without_a_code_has_no_reason_behind_it);
	tcase_add_test(cases, wrapping_reads_from_the_outside_in_and_keeps_the_code);
	tcase_add_test(cases, what_does_not_fit_is_cut);

	Suite *suite = suite_create("err");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
