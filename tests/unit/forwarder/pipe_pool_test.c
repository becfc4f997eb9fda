/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "forwarder/pipe_pool.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

enum { KEEP = 2, CAPACITY = 65536 };

static struct pipe_pool *pool;
static struct err err;
static atomic_size_t open_pipes;

static void setup(void)
{
	pool = fwd_pipe_pool_new(KEEP, CAPACITY, &open_pipes);
	ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
	fwd_pipe_pool_free(pool);
}

static struct pipe borrowed(void)
{
	struct pipe pipe = PIPE_NONE;

	ck_assert_int_eq(fwd_pipe_pool_borrow(pool, &pipe, &err), 0);
	return pipe;
}

START_TEST(an_empty_pipe_is_lent_again)
{
	struct pipe first = borrowed();
	int fd = first.read_fd;

	fwd_pipe_pool_give_back(pool, &first);
	ck_assert_int_eq(first.read_fd, -1);

	struct pipe second = borrowed();
	ck_assert_int_eq(second.read_fd, fd);
	fwd_pipe_pool_give_back(pool, &second);
}
END_TEST

START_TEST(a_pipe_with_bytes_in_it_is_never_lent_again)
{
	struct pipe pipe = borrowed();

	ck_assert_int_eq(write(pipe.write_fd, "secret", 6), 6);
	pipe.filled = 6;
	fwd_pipe_pool_give_back(pool, &pipe);
	ck_assert_uint_eq(fwd_pipe_pool_idle(pool), 0);
}
END_TEST

START_TEST(no_more_pipes_are_kept_than_asked_for)
{
	struct pipe pipes[KEEP + 1];

	for (int i = 0; i <= KEEP; i++)
		pipes[i] = borrowed();
	for (int i = 0; i <= KEEP; i++)
		fwd_pipe_pool_give_back(pool, &pipes[i]);
	ck_assert_uint_eq(fwd_pipe_pool_idle(pool), KEEP);
}
END_TEST

START_TEST(each_open_pipe_is_counted_lent_or_idle)
{
	struct pipe first = borrowed(), second = borrowed();

	ck_assert_uint_eq(open_pipes, 2);
	fwd_pipe_pool_give_back(pool, &first);
	ck_assert_uint_eq(open_pipes, 2);
	second.filled = 1;
	fwd_pipe_pool_give_back(pool, &second);
	ck_assert_uint_eq(open_pipes, 1);
	fwd_pipe_pool_trim(pool);
	ck_assert_uint_eq(open_pipes, 0);
	ck_assert_uint_eq(fwd_pipe_pool_idle(pool), 0);
}
END_TEST

START_TEST(without_descriptors_the_error_says_so)
{
	struct rlimit before, none;
	struct pipe pipe = PIPE_NONE;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	int result = fwd_pipe_pool_borrow(pool, &pipe, &err);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);

	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(err.code, EMFILE);
	ck_assert_str_eq(err.text, "pipe for splicing: Too many open files");
	ck_assert_int_eq(pipe.read_fd, -1);
}
END_TEST

int main(void)
{
	TCase *lending = tcase_create("lending");
	tcase_add_checked_fixture(lending, setup, teardown);
	tcase_add_test(lending, an_empty_pipe_is_lent_again);
	tcase_add_test(lending, a_pipe_with_bytes_in_it_is_never_lent_again);
	tcase_add_test(lending, no_more_pipes_are_kept_than_asked_for);
	tcase_add_test(lending, each_open_pipe_is_counted_lent_or_idle);
	tcase_add_test(lending, without_descriptors_the_error_says_so);

	Suite *suite = suite_create("pipe_pool");
	suite_add_tcase(suite, lending);

	return run_suite(suite);
}
