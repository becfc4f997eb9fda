/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory, or its lock, is deleted or replaced while the store is open. */
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "store/store.h"
#include "unit/run_suite.h"
#include "wire/wire.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config *config;
static struct registry *registry;
static struct store *store;
static struct problem problem;
static struct err err;
static char root[64], directory[96];

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
	strcpy(root, "/tmp/weft-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	snprintf(directory, sizeof(directory), "%s/run/state", root);
	store = store_open(directory, config, &err);
	ck_assert_msg(store != NULL, "%s", err.text);
}

static void remove_all(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void teardown(void)
{
	char parent[96];

	store_close(store);
	registry_free(registry);
	config_free(config);
	remove_all(directory);
	snprintf(parent, sizeof(parent), "%s/run", root);
	remove_all(parent);
	remove_all(root);
}

/* Good until the call after the next. */
static char *path_of(const char *name)
{
	static char paths[2][256];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static struct sandbox *added(const char *id, const char *body)
{
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec = wire_read_spec(json, config, &problem);
	struct sandbox *sandbox = registry_add(registry, id, spec, &problem);

	json_decref(json);
	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
	return sandbox;
}

static void save(const struct sandbox *sandbox)
{
	ck_assert_msg(store_save(store, sandbox, &err) == 0, "%s", err.text);
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path_of(name), 0600), 0);
}

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
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_deleted_lock_is_put_back_and_locks_again);
	tcase_add_test(tcase, nothing_is_written_while_another_has_the_new_lock);
	tcase_add_test(tcase, a_save_makes_a_deleted_directory_anew_and_the_next_look_tells);
	tcase_add_test(tcase, files_that_nobody_wants_are_set_aside_under_another_name);

	Suite *suite = suite_create("follow");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
