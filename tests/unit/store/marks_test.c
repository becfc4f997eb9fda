/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/store/store_fixture.h"

#include "config/layouts.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void load(void)
{
	ck_assert_msg(store_load(store, &contents, &err) == 0, "%s", err.text);
}

START_TEST(a_file_has_the_layout_of_its_slot_and_keeps_what_it_does_not_know)
{
	struct sandbox *a = added("a", "{}");
	struct config_layout former = *a->layout;

	former.link_group = 77;
	former.mtu = 1400;
	a->layout = config_layout_add(config, &former);
	a->others = strdup("{\"of_a_later_weftd\": {\"kept\": [1]}, \"slot\": 9}");
	save(a);
	load();
	ck_assert_uint_eq(contents.damage_count, 0);
	ck_assert_ptr_eq(contents.items[0].layout, a->layout);
	ck_assert_uint_eq(contents.items[0].slot, 1);
	ck_assert_str_eq(contents.items[0].others, "{\"of_a_later_weftd\":{\"kept\":[1]}}");
}
END_TEST

START_TEST(marks_list_the_layouts_in_use)
{
	struct config_layout former = config->layout;
	const struct config_layout *known;

	ck_assert_int_eq(store_marks_load(store, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	former.link_group = 77;
	known = config_layout_add(config, &former);
	ck_assert_int_eq(store_marks_save(store, &err), 0);
	ck_assert(store_marks_are_intact(store));
	config_layout_drop(config, known);
	ck_assert_int_eq(store_marks_load(store, &err), 0);
	ck_assert(store_marks_are_current(store) && config_layout_has_earlier(config));
	/* It is no sandbox's file, and no damage. */
	load();
	ck_assert_uint_eq(contents.count + contents.damage_count, 0);
	write_file("marks.json", "{\"version\": 1, \"marks\": [{}]}");
	ck_assert(!store_marks_are_intact(store));
	ck_assert_int_eq(store_marks_load(store, &err), -1);
	ck_assert_int_eq(err.code, EBADMSG);
	ck_assert_int_eq(store_marks_remove(store, &err), 0);
	ck_assert_int_eq(store_marks_load(store, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(store_marks_remove(store, &err), 0);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("marks");
	tcase_add_checked_fixture(tcase, store_setup, store_teardown);
	tcase_add_test(tcase, a_file_has_the_layout_of_its_slot_and_keeps_what_it_does_not_know);
	tcase_add_test(tcase, marks_list_the_layouts_in_use);

	Suite *suite = suite_create("marks");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
