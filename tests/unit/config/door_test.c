/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of the door.
 */
#include "unit/config/config_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

START_TEST(the_door_is_closed_by_an_empty_path_and_has_a_host_name)
{
	static const char *const domains[] = { "box.example.com", "x", "8.box", "a-b.c3", "xn--e1afmkfd.example" };
	char text[256];

	load("[door]\nsocket =\ngroup =\nhold = 1m\npublic = no\nbacklog = 16\n");
	ck_assert_ptr_null(config->door.socket);
	ck_assert_ptr_null(config->door.group);
	ck_assert_uint_eq(config->door.hold_ms, 60000);
	ck_assert(!config->door.is_public);
	ck_assert_uint_eq(config->door.backlog, 16);
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		config_teardown();
		snprintf(text, sizeof(text), "[door]\ndomain = %s\n", domains[i]);
		load(text);
		ck_assert_str_eq(config->door.domain, domains[i]);
	}
}
END_TEST

START_TEST(a_path_of_a_socket_is_as_long_as_the_kernel_takes)
{
	char text[256] = "[door]\nsocket = /";

	memset(text + strlen(text), 'a', CONFIG_SOCKET_MAX - 1);
	load(text);
	ck_assert_uint_eq(strlen(config->door.socket), CONFIG_SOCKET_MAX);
	config_teardown();
	strcat(text, "a");
	load(text);
	ck_assert_ptr_nonnull(strstr(mistakes.items[0].text, "too long"));
}
END_TEST

START_TEST(a_value_that_makes_no_sense_is_refused)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "[door]\nsocket = door.sock\n", "not a plain absolute path" },
		{ "[door]\nsocket = /run/weft/../door.sock\n", "not a plain absolute path" },
		{ "[door]\nsocket = /run/weft/\n", "not a plain absolute path" },
		{ "[door]\ngroup = two words\n", "blanks or control characters" },
		{ "[door]\nhold = 0\n", "no unit" },
		{ "[door]\nbacklog = 0\n", "too small" },
		{ "[door]\ndomain = .example.com\n", "not a host name" },
		{ "[door]\ndomain = example.com.\n", "not a host name" },
		{ "[door]\ndomain = *.example.com\n", "not a host name" },
		{ "[door]\ndomain = a..b\n", "not a host name" },
		{ "[door]\ndomain = -a.b\n", "not a host name" },
		{ "[door]\ndomain = a-.b\n", "not a host name" },
		{ "[door]\ndomain = a_b.c\n", "not a host name" },
		{ "[door]\ndomain = 192.0.2.1\n", "not a host name" },
		{ "[door]\ndomain = example.com:3002\n", "not a host name" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load(cases[i].text);
		ck_assert_msg(mistakes.count == 1, "%zu mistakes: %s", mistakes.count, cases[i].text);
		ck_assert_msg(strstr(mistakes.items[0].text, cases[i].expected) != NULL, "%s", mistakes.items[0].text);
		config_teardown();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_door");
	TCase *tcase = tcase_create("config_door");

	tcase_add_checked_fixture(tcase, NULL, config_teardown);
	tcase_add_test(tcase, the_door_is_closed_by_an_empty_path_and_has_a_host_name);
	tcase_add_test(tcase, a_path_of_a_socket_is_as_long_as_the_kernel_takes);
	tcase_add_test(tcase, a_value_that_makes_no_sense_is_refused);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
