/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

START_TEST(the_monotonic_clock_does_not_go_back)
{
	uint64_t before = clock_now_us();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_now_us();

		ck_assert_uint_ge(now, before);
		before = now;
	}
	ck_assert_uint_le(before / 1000, clock_now_ms());
}
END_TEST

START_TEST(times_are_written_in_utc)
{
	char text[CLOCK_TEXT_SIZE];

	setenv("TZ", "Asia/Tokyo", 1);
	ck_assert_str_eq(clock_format(0, text), "1970-01-01T00:00:00Z");
	ck_assert_str_eq(clock_format(INT64_C(1768383420999), text), "2026-01-14T09:37:00Z");
	ck_assert_str_eq(clock_format_ms(INT64_C(1768383420999), text), "2026-01-14T09:37:00.999Z");
	ck_assert_str_eq(clock_format_ms(INT64_C(1768383420007), text), "2026-01-14T09:37:00.007Z");
	ck_assert_str_eq(clock_format_ms(-1, text), "1970-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(every_day_of_four_centuries_is_written_as_the_calendar_has_it)
{
	char text[CLOCK_TEXT_SIZE], calendar[CLOCK_TEXT_SIZE];

	for (time_t seconds = 86399; seconds < INT64_C(146097) * 86400; seconds += 86400) {
		struct tm tm;

		gmtime_r(&seconds, &tm);
		strftime(calendar, sizeof(calendar), "%Y-%m-%dT%H:%M:%SZ", &tm);
		ck_assert_str_eq(clock_format((int64_t)seconds * 1000, text), calendar);
	}
}
END_TEST

START_TEST(times_read_back)
{
	int64_t wall_ms = -1;

	ck_assert_int_eq(clock_parse("2026-01-14T09:37:00Z", &wall_ms), 0);
	ck_assert_int_eq(wall_ms, INT64_C(1768383420000));
	ck_assert_int_eq(clock_parse("2024-02-29T23:59:59Z", &wall_ms), 0);
}
END_TEST

START_TEST(other_texts_are_no_times)
{
	static const char *const texts[] = { "",
					     "2026-01-14",
					     "2026-01-14T09:37:00",
					     "2026-01-14T09:37:00z",
					     "2026-01-14T09:37:00+00:00",
					     "2026-1-14T09:37:00Z",
					     "2026-02-30T09:37:00Z",
					     "2026-01-14T24:00:00Z",
					     "2026-01-14T09:37:60Z",
					     " 2026-01-14T09:37:00Z",
					     "2026-01-14T09:37:00Z " };
	int64_t wall_ms;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(clock_parse(texts[i], &wall_ms) == -1, "%s", texts[i]);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("clock");

	tcase_add_test(cases, the_monotonic_clock_does_not_go_back);
	tcase_add_test(cases, times_are_written_in_utc);
	tcase_add_test(cases, every_day_of_four_centuries_is_written_as_the_calendar_has_it);
	tcase_add_test(cases, times_read_back);
	tcase_add_test(cases, other_texts_are_no_times);

	Suite *suite = suite_create("clock");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
