/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a configuration may come from.
 */
#include "unit/config/config_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(a_file_that_is_not_there_is_named)
{
	char told[512];

	config = config_load("/nonexistent/weftd.conf", 0, NULL, &mistakes);
	ck_assert_ptr_null(config);
	config_mistake_format(&mistakes, &mistakes.items[0], told, sizeof(told));
	ck_assert_str_eq(told, "/nonexistent/weftd.conf: cannot be opened: No such file or directory");
}
END_TEST

/* Loads PATH and checks that it cannot be had, for the reason TOLD. */
static void expect_unreadable(const char *path, const char *told)
{
	config_mistakes_clear(&mistakes);
	config = config_load(path, 50, NULL, &mistakes);
	ck_assert_ptr_null(config);
	ck_assert_uint_eq(mistakes.count, 1);
	ck_assert_str_eq(mistakes.items[0].text, told);
	ck_assert_int_ne(mistakes.trouble, 0);
}

START_TEST(what_is_neither_file_nor_pipe_is_named_by_its_kind)
{
	expect_unreadable("/dev/null", "is a character device; allowed: a regular file, or a pipe that ends");
	expect_unreadable("/", "is a directory; allowed: a regular file, or a pipe that ends");
	expect_unreadable("/nonexistent", "cannot be opened: No such file or directory");
}
END_TEST

/* As a shell's <(command) is: its writer has ended before it is read, or not. */
START_TEST(a_pipe_that_ends_is_read)
{
	char path[32];
	int ends[2];

	for (int ended = 0; ended < 2; ended++) {
		ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
		snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
		ck_assert_int_eq(write(ends[1], "[pool]\nsize = 7\n", 16), 16);
		if (ended) {
			close(ends[1]);
			config_mistakes_clear(&mistakes);
			config = config_load(path, 0, NULL, &mistakes);
			ck_assert_ptr_nonnull(config);
			ck_assert_uint_eq(config->pool.size, 7);
			config_free(config);
			expect_unreadable(path, "is a pipe with nothing in it"); /* it was read already */
		} else {
			expect_unreadable(path, "is a pipe that does not end");
			close(ends[1]);
		}
		close(ends[0]);
	}
}
END_TEST

static void *write_to_fifo(void *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(write(fd, "[pool]\nsize = 9\n", 16), 16);
	close(fd);
	return NULL;
}

START_TEST(a_fifo_waits_for_its_writer_for_a_limited_time)
{
	char folder[] = "/tmp/weft-config-XXXXXX", path[64];
	pthread_t writer;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_unreadable(path, "is a pipe that nobody writes to");
	config_mistakes_clear(&mistakes);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_to_fifo, path), 0);
	config = config_load(path, 60000, NULL, &mistakes);
	pthread_join(writer, NULL);
	unlink(path);
	rmdir(folder);
	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(config->pool.size, 9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config/source");
	TCase *tcase = tcase_create("kinds");

	tcase_add_checked_fixture(tcase, NULL, config_teardown);
	tcase_add_test(tcase, a_file_that_is_not_there_is_named);
	tcase_add_test(tcase, what_is_neither_file_nor_pipe_is_named_by_its_kind);
	tcase_add_test(tcase, a_pipe_that_ends_is_read);
	tcase_add_test(tcase, a_fifo_waits_for_its_writer_for_a_limited_time);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
