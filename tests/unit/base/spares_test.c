/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that a thread sets aside are there when the process has no others, and come back afterwards. */
#include "base/spares.h"

#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TAKEN_MAX = 2048 };

static int taken[TAKEN_MAX];
static size_t taken_count;

static void set_limit(rlim_t number)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = number;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void take_all(void)
{
	for (int fd; taken_count < TAKEN_MAX && (fd = open("/dev/null", O_RDONLY)) >= 0;)
		taken[taken_count++] = fd;
	ck_assert_int_eq(errno, EMFILE);
}

static void give_back_all(void)
{
	while (taken_count)
		close(taken[--taken_count]);
}

static int open_one(void)
{
	return SPARES_TRY(open("/dev/null", O_RDONLY));
}

START_TEST(a_spare_serves_when_there_are_no_others)
{
	set_limit(1024);
	base_spares_fill();
	ck_assert(!base_spares_are_short());
	take_all();
	for (int i = 0; i < SPARES_MAX; i++) {
		taken[taken_count] = open_one();
		ck_assert_int_ge(taken[taken_count++], 0);
	}
	ck_assert_int_lt(open_one(), 0);
	ck_assert_int_eq(errno, EMFILE);
	base_spares_fill();
	ck_assert(base_spares_are_short());

	give_back_all();
	base_spares_fill();
	ck_assert(!base_spares_are_short());
	base_spares_drop();
}
END_TEST

START_TEST(a_spare_serves_when_the_limit_was_lowered_below_some_of_them)
{
	int low = open("/dev/null", O_RDONLY);

	set_limit(1024);
	base_spares_fill();
	close(low);
	taken[taken_count++] = open("/dev/null", O_RDONLY);
	/* The lowest spare's number is below it, and those of the others are not. */
	set_limit((rlim_t)low + 2);
	take_all();
	low = open_one();
	ck_assert_int_ge(low, 0);
	close(low);
	give_back_all();
	set_limit(1024);
	base_spares_drop();
}
END_TEST

START_TEST(other_errors_use_no_spare)
{
	set_limit(1024);
	base_spares_fill();
	ck_assert_int_lt(SPARES_TRY(open("/nowhere", O_RDONLY)), 0);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(!base_spares_are_short());
	base_spares_drop();
}
END_TEST

START_TEST(a_low_limit_leaves_fewer)
{
	int before, after;

	set_limit(128);
	before = open("/dev/null", O_RDONLY);
	base_spares_fill();
	after = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(after - before, 1 + 128 / 64);
	close(before);
	close(after);
	base_spares_drop();
	set_limit(1024);
}
END_TEST

static void *try_without(void *arg)
{
	*(int *)arg = open_one();
	return NULL;
}

START_TEST(a_thread_that_set_none_aside_has_none)
{
	pthread_t thread;
	int result = 0;

	set_limit(1024);
	base_spares_fill();
	take_all();
	/* A thread's stack takes no descriptor. */
	ck_assert_int_eq(pthread_create(&thread, NULL, try_without, &result), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(result, -1);
	give_back_all();
	base_spares_drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spares");
	TCase *tcase = tcase_create("spares");

	tcase_add_test(tcase, a_spare_serves_when_there_are_no_others);
	tcase_add_test(tcase, a_spare_serves_when_the_limit_was_lowered_below_some_of_them);
	tcase_add_test(tcase, other_errors_use_no_spare);
	tcase_add_test(tcase, a_low_limit_leaves_fewer);
	tcase_add_test(tcase, a_thread_that_set_none_aside_has_none);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
