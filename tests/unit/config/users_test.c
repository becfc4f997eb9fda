/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users and groups in the configuration. */
#include "unit/config/config_fixture.h"

#include "config/option.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(users_and_groups_are_read_by_name_and_by_number)
{
	load("[ingress]\nlocal_users = www-data\nlocal_users = 1000-1999\nlocal_users = %adm\nlocal_users = %0\n"
	     "local_users = 4294967294\nlocal_users = %5-5\nlocal_users = DOMAIN\\joe.b@x\n");
	const struct config_users *users = config->ingress.local_users.items;

	ck_assert_uint_eq(config->ingress.local_users.count, 7);
	ck_assert_str_eq(users[0].name, "www-data");
	ck_assert(!users[0].group && !users[1].group && users[2].group && users[3].group);
	ck_assert_uint_eq(users[1].first, 1000);
	ck_assert_uint_eq(users[1].last, 1999);
	ck_assert_str_eq(users[2].name, "adm");
	ck_assert_str_eq(users[3].name, "");
	char *printed = config_option_print(config_option_find("ingress", "local_users"), config);
	ck_assert_str_eq(printed, "www-data 1000-1999 %adm %0 4294967294 %5 DOMAIN\\joe.b@x");
	free(printed);
}
END_TEST

START_TEST(a_copy_has_them_too)
{
	load("[ingress]\nlocal_users = www-data\n");
	struct config_users *id = vec_push(&config->ingress.local_ids);
	id->first = id->last = 33;
	struct config *copy = config_copy(config);

	ck_assert_ptr_nonnull(copy);
	ck_assert_str_eq(copy->ingress.local_users.items[0].name, "www-data");
	ck_assert_uint_eq(copy->ingress.local_ids.count, 1);
	ck_assert_uint_eq(copy->ingress.local_ids.items[0].last, 33);
	config_free(copy);
}
END_TEST

START_TEST(wrong_users_and_groups_are_refused)
{
	static const struct {
		const char *value, *why;
	} wrong[] = {
		{ "%", "not the name of a group" },
		{ "a:b", "not the name of a user" },
		{ "-5", "not the name of a user" },
		{ "a,b", "not the name of a user" },
		{ "9-7", "ends before it begins" },
		{ "4294967295", "no id is so large" },
		{ "1-4294967295", "no id is so large" },
		{ "%99999999999", "no id is so large" },
		{ "joe doe", "blanks or control characters" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[128], mistake[256];

		snprintf(text, sizeof(text), "[ingress]\nlocal_users = %s\n", wrong[i].value);
		snprintf(
		    mistake, sizeof(mistake),
		    "weftd.conf:2: [ingress] local_users = %s: %s; allowed: USER, UID, FIRST-LAST, %%GROUP, %%GID or "
		    "%%FIRST-LAST; more by repeating the key",
		    wrong[i].value, wrong[i].why);
		expect_mistake(text, mistake);
	}
	expect_mistake(
	    "[ingress]\nlocal_users = %5\nlocal_users = %5-5\n",
	    "weftd.conf:3: [ingress] local_users = %5-5: given twice; allowed: USER, UID, FIRST-LAST, %GROUP, "
	    "%GID or %FIRST-LAST; more by repeating the key");
}
END_TEST

int main(void)
{
	TCase *users = tcase_create("users");

	tcase_add_checked_fixture(users, NULL, config_teardown);
	tcase_add_test(users, users_and_groups_are_read_by_name_and_by_number);
	tcase_add_test(users, a_copy_has_them_too);
	tcase_add_test(users, wrong_users_and_groups_are_refused);

	Suite *suite = suite_create("config_users");
	suite_add_tcase(suite, users);

	return run_suite(suite);
}
