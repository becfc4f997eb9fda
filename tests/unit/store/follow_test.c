/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory, or its lock, is deleted or replaced while the store is open. */
#include "unit/run_suite.h"
#include "unit/store/store_fixture.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

static void expect_followed(enum store_followed expected)
{
	enum store_followed followed;

	ck_assert_msg(store_follow_directory(store, &followed, &err) == 0, "%s", err.text);
	ck_assert_int_eq(followed, expected);
}

START_TEST(a_deleted_lock_is_put_back_and_locks_again)
{
	expect_followed(STORE_IN_PLACE);
	ck_assert_int_eq(unlink(path_of("lock")), 0);
	expect_followed(STORE_LOCK_PUT_BACK);
	expect_followed(STORE_IN_PLACE);
	ck_assert_ptr_null(store_open(directory, config, &err));
	ck_assert_msg(strstr(err.text, "another weftd (pid ") != NULL, "%s", err.text);
}
END_TEST

START_TEST(nothing_is_written_while_another_has_the_new_lock)
{
	struct sandbox *a = added("a", "{}");
	enum store_followed followed;

	ck_assert_int_eq(unlink(path_of("lock")), 0);
	struct store *other = store_open(directory, config, &err);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(store_follow_directory(store, &followed, &err), -1);
	ck_assert_msg(strstr(err.text, "another weftd (pid ") != NULL, "%s", err.text);
	ck_assert_int_eq(store_save(store, a, &err), -1);
	ck_assert_int_eq(access(path_of("1.json"), F_OK), -1);
	store_close(other);
	expect_followed(STORE_LOCK_PUT_BACK);
	save(a);
}
END_TEST

START_TEST(a_save_makes_a_deleted_directory_anew_and_the_next_look_tells)
{
	struct sandbox *a = added("a", "{}"), *b = added("b", "{}");

	save(a);
	save(b);
	remove_all(directory);
	save(b);
	ck_assert(store_is_intact(store, b->slot) && !store_is_intact(store, a->slot));
	expect_followed(STORE_RENEWED);
	expect_followed(STORE_IN_PLACE);
	ck_assert_ptr_null(store_open(directory, config, &err));
}
END_TEST

static bool is_first(void *context, unsigned slot)
{
	(void)context;
	return slot == 1;
}

START_TEST(files_that_nobody_wants_are_set_aside_under_another_name)
{
	save(added("a", "{}"));
	save(added("b", "{}"));
	write_file("notes.txt", "x");
	ck_assert_int_eq(store_set_aside(store, is_first, NULL, &err), 0);
	ck_assert_int_eq(access(path_of("1.json"), F_OK), 0);
	ck_assert_int_eq(access(path_of("2.json"), F_OK), -1);
	ck_assert_int_eq(access(path_of("2.json.aside"), F_OK), 0);
	ck_assert_int_eq(access(path_of("notes.txt"), F_OK), 0);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("following");
	tcase_add_checked_fixture(tcase, store_setup, store_teardown);
	tcase_add_test(tcase, a_deleted_lock_is_put_back_and_locks_again);
	tcase_add_test(tcase, nothing_is_written_while_another_has_the_new_lock);
	tcase_add_test(tcase, a_save_makes_a_deleted_directory_anew_and_the_next_look_tells);
	tcase_add_test(tcase, files_that_nobody_wants_are_set_aside_under_another_name);

	Suite *suite = suite_create("follow");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
