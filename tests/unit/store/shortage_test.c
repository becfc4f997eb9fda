/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that cannot be read for want of memory or of descriptors are as good as ever: a later start finds them as they are.
 */
#include "store/store.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"
#include "wire/wire.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct config *config;
static struct registry *registry;
static struct store *store;
static struct store_contents contents;
static struct err err;
static char directory[64];

/* One sandbox is saved, in slot 1. */
static void setup(void)
{
	static const char body[] =
	    "{\"ports\": [80, 81], \"labels\": {\"a-rather-long-key\": \"and-a-rather-long-value\"}}";
	struct problem problem;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
	strcpy(directory, "/tmp/weft-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	store = store_open(directory, config, &err);
	ck_assert_msg(store != NULL, "%s", err.text);
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct sandbox *sandbox = registry_add(registry, "a", wire_read_spec(json, config, &problem), &problem);
	json_decref(json);
	ck_assert_ptr_nonnull(sandbox);
	ck_assert_uint_eq(sandbox->slot, 1);
	ck_assert_msg(store_save(store, sandbox, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
	char path[96];

	store_contents_clear(&contents);
	store_remove(store, 1, &err);
	store_close(store);
	registry_free(registry);
	config_free(config);
	snprintf(path, sizeof(path), "%s/lock", directory);
	unlink(path);
	rmdir(directory);
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

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, want_of_memory_is_no_damage);
	tcase_add_test(tests, want_of_descriptors_is_no_damage);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
