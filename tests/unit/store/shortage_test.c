/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that cannot be read for want of memory or of descriptors are as good as ever: a later start finds them as they are.
 */
#include "unit/run_suite.h"
#include "unit/store/store_fixture.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* One sandbox is saved, in slot 1. */
static void setup(void)
{
	static const char body[] =
	    "{\"ports\": [80, 81], \"labels\": {\"a-rather-long-key\": \"and-a-rather-long-value\"}}";

	store_setup();
	struct sandbox *sandbox = added("a", body);
	ck_assert_uint_eq(sandbox->slot, 1);
	save(sandbox);
}

static void expect_whole(void)
{
	ck_assert_uint_eq(contents.count, 1);
	ck_assert_uint_eq(contents.damage_count, 0);
}

static size_t json_left; /* allocations */

static void *json_allocate(size_t size)
{
	return json_left && json_left-- ? malloc(size) : NULL;
}

START_TEST(want_of_memory_is_no_damage)
{
	json_malloc_t allocate;
	json_free_t release;
	size_t failures = 0;

	json_get_alloc_funcs(&allocate, &release);
	for (;; failures++) {
		json_left = failures;
		json_set_alloc_funcs(json_allocate, free);
		int result = store_load(store, &contents, &err);
		json_set_alloc_funcs(allocate, release);
		if (result == 0)
			break;
		ck_assert_int_eq(err.code, ENOMEM);
	}
	ck_assert_uint_gt(failures, 10);
	expect_whole();
}
END_TEST

START_TEST(want_of_descriptors_is_no_damage)
{
	int lowest = dup(STDERR_FILENO);
	struct rlimit before, few;

	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)lowest + 1; /* for the directory */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	int result = store_load(store, &contents, &err);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(err.code, EMFILE);
	ck_assert_int_eq(store_load(store, &contents, &err), 0);
	expect_whole();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store/shortage");
	TCase *tests = tcase_create("shortage");

	tcase_add_checked_fixture(tests, setup, store_teardown);
	tcase_add_test(tests, want_of_memory_is_no_damage);
	tcase_add_test(tests, want_of_descriptors_is_no_damage);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
