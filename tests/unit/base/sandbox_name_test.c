/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/sandbox_name.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

START_TEST(ids_and_names_of_sandboxes_are_valid)
{
	static const char *const names[] = { "a",  "Z",   "0",   "ip5a2vh1q14ne170jpah6", "A-1_b.c", "a.",
					     "a-", "a__", "1..2" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(base_name_is_valid(names[i], strlen(names[i])), "%s", names[i]);
}
END_TEST

START_TEST(what_begins_with_a_mark_or_has_others_is_not)
{
	static const char *const names[] = { "",   "-a",  ".a",  "_a",       "..",    "a/b", "a b",
					     " a", "a\n", "a:b", "\xc3\xa4", "a\xe9", "a%2f" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!base_name_is_valid(names[i], strlen(names[i])), "%s", names[i]);
}
END_TEST

START_TEST(a_nul_is_a_character_like_others_that_are_refused)
{
	ck_assert(!base_name_is_valid("a\0b", 3));
	ck_assert(!base_name_is_valid("a\0", 2));
	ck_assert(base_name_is_valid("a\0b", 1));
}
END_TEST

START_TEST(the_longest_is_64_characters)
{
	char name[BASE_NAME_MAX + 1];

	memset(name, 'a', sizeof(name));
	ck_assert(base_name_is_valid(name, BASE_NAME_MAX));
	ck_assert(!base_name_is_valid(name, BASE_NAME_MAX + 1));
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("sandbox_name");

	tcase_add_test(cases, ids_and_names_of_sandboxes_are_valid);
	tcase_add_test(cases, what_begins_with_a_mark_or_has_others_is_not);
	tcase_add_test(cases, a_nul_is_a_character_like_others_that_are_refused);
	tcase_add_test(cases, the_longest_is_64_characters);

	Suite *suite = suite_create("sandbox_name");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
