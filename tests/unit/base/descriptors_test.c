/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/descriptors.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(each_descriptor_is_counted)
{
	size_t before = base_descriptors_count();
	int fds[2];

	ck_assert_uint_ge(before, 1);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_uint_eq(base_descriptors_count(), before + 2);
	close(fds[0]);
	close(fds[1]);
	ck_assert_uint_eq(base_descriptors_count(), before);
}
END_TEST

START_TEST(where_the_kernel_knows_the_number_none_is_needed_to_count)
{
	size_t before = base_descriptors_count();
	struct rlimit former, none;
	struct stat status;

	ck_assert_int_eq(stat("/proc/self/fd", &status), 0);
	if (!status.st_size)
		return; /* up to 6.1 */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &former), 0);
	none = (struct rlimit){ 0, former.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_uint_eq(base_descriptors_count(), before);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &former), 0);
}
END_TEST

START_TEST(the_limit_is_that_of_now)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 100;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(base_descriptors_limit(), 100);
	limit.rlim_cur = 77;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(base_descriptors_limit(), 77);
}
END_TEST

START_TEST(the_reserve_is_a_quarter_at_most)
{
	ck_assert_uint_eq(base_descriptors_reserve(0), 0);
	ck_assert_uint_eq(base_descriptors_reserve(255), 0);
	ck_assert_uint_eq(base_descriptors_reserve(256), 64);
	ck_assert_uint_eq(base_descriptors_reserve(1024), 256);
	ck_assert_uint_eq(base_descriptors_reserve(4 * 1192), 1192);
	ck_assert_uint_eq(base_descriptors_reserve(INT32_MAX), 1192);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptors");
	TCase *tcase = tcase_create("descriptors");

	tcase_add_test(tcase, each_descriptor_is_counted);
	tcase_add_test(tcase, where_the_kernel_knows_the_number_none_is_needed_to_count);
	tcase_add_test(tcase, the_limit_is_that_of_now);
	tcase_add_test(tcase, the_reserve_is_a_quarter_at_most);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
