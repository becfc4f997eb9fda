/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forwarder/wheel.h"
#include "unit/run_suite.h"

#include <check.h>

enum { STEP = 10, START = 1000003 };

struct sleeper {
	struct wheel_entry entry;
	unsigned expired;
	struct sleeper *cancels; /* when expired */
	uint64_t again_ms;       /* set anew when expired; 0: not */
};

static struct wheel wheel;

static void on_expired(struct wheel_entry *entry)
{
	struct sleeper *sleeper = (struct sleeper *)entry;

	sleeper->expired++;
	if (sleeper->cancels)
		fwd_wheel_cancel(&sleeper->cancels->entry);
	if (sleeper->again_ms)
		fwd_wheel_set(&wheel, entry, sleeper->again_ms);
}

static void setup(void)
{
	fwd_wheel_init(&wheel, STEP, START, on_expired);
}

START_TEST(an_entry_is_told_when_it_is_due_and_not_before)
{
	struct sleeper sleeper = { 0 };

	fwd_wheel_set(&wheel, &sleeper.entry, START + 55);
	for (uint64_t now = START; now < START + 55; now++) {
		fwd_wheel_turn(&wheel, now);
		ck_assert_uint_eq(sleeper.expired, 0);
	}
	fwd_wheel_turn(&wheel, START + 55 + STEP);
	ck_assert_uint_eq(sleeper.expired, 1);
	ck_assert_uint_eq(wheel.count, 0);
	fwd_wheel_turn(&wheel, START + 100000);
	ck_assert_uint_eq(sleeper.expired, 1);
}
END_TEST

START_TEST(next_says_when_to_come_and_nothing_is_late)
{
	struct sleeper sleepers[200] = { 0 };

	for (size_t i = 0; i < 200; i++)
		fwd_wheel_set(&wheel, &sleepers[i].entry, START + 7 * i);
	while (wheel.next_ms != WHEEL_NEVER) {
		uint64_t now = wheel.next_ms;

		fwd_wheel_turn(&wheel, now);
		for (size_t i = 0; i < 200; i++)
			ck_assert(sleepers[i].expired == 1 || sleepers[i].entry.due_ms > now);
	}
	for (size_t i = 0; i < 200; i++)
		ck_assert_uint_eq(sleepers[i].expired, 1);
}
END_TEST

START_TEST(an_entry_of_a_later_round_stays)
{
	struct sleeper sleeper = { 0 };
	uint64_t due = START + (uint64_t)STEP * WHEEL_SLOTS * 3;

	fwd_wheel_set(&wheel, &sleeper.entry, due);
	while (wheel.next_ms <= due) {
		ck_assert_uint_eq(sleeper.expired, 0);
		fwd_wheel_turn(&wheel, wheel.next_ms);
	}
	fwd_wheel_turn(&wheel, due + STEP);
	ck_assert_uint_eq(sleeper.expired, 1);
}
END_TEST

START_TEST(a_long_sleep_of_the_caller_misses_nothing)
{
	struct sleeper near = { 0 }, far = { 0 };

	fwd_wheel_set(&wheel, &near.entry, START + 20);
	fwd_wheel_set(&wheel, &far.entry, START + 100000);
	fwd_wheel_turn(&wheel, START + 1000000);
	ck_assert_uint_eq(near.expired, 1);
	ck_assert_uint_eq(far.expired, 1);
}
END_TEST

START_TEST(setting_again_replaces_and_cancelling_ends)
{
	struct sleeper moved = { 0 }, cancelled = { 0 };

	fwd_wheel_set(&wheel, &moved.entry, START + 20);
	fwd_wheel_set(&wheel, &moved.entry, START + 500);
	fwd_wheel_set(&wheel, &cancelled.entry, START + 20);
	fwd_wheel_cancel(&cancelled.entry);
	fwd_wheel_cancel(&cancelled.entry);
	fwd_wheel_turn(&wheel, START + 100);
	ck_assert_uint_eq(moved.expired + cancelled.expired, 0);
	fwd_wheel_turn(&wheel, START + 600);
	ck_assert_uint_eq(moved.expired, 1);
	ck_assert_uint_eq(cancelled.expired, 0);
}
END_TEST

START_TEST(one_that_is_told_may_cancel_another_that_is_due)
{
	struct sleeper first = { 0 }, second = { 0 };

	first.cancels = &second;
	second.cancels = &first;
	fwd_wheel_set(&wheel, &first.entry, START + 20);
	fwd_wheel_set(&wheel, &second.entry, START + 20);
	fwd_wheel_turn(&wheel, START + 100);
	ck_assert_uint_eq(first.expired + second.expired, 1);
	ck_assert_uint_eq(wheel.count, 0);
}
END_TEST

START_TEST(one_that_is_told_may_wait_again)
{
	struct sleeper sleeper = { .again_ms = START + 300 };

	fwd_wheel_set(&wheel, &sleeper.entry, START + 20);
	fwd_wheel_turn(&wheel, START + 100);
	ck_assert_uint_eq(sleeper.expired, 1);
	ck_assert_uint_eq(wheel.count, 1);
	sleeper.again_ms = 0;
	fwd_wheel_turn(&wheel, START + 400);
	ck_assert_uint_eq(sleeper.expired, 2);
}
END_TEST

int main(void)
{
	TCase *turning = tcase_create("turning");
	tcase_add_checked_fixture(turning, setup, NULL);
	tcase_add_test(turning, an_entry_is_told_when_it_is_due_and_not_before);
	tcase_add_test(turning, next_says_when_to_come_and_nothing_is_late);
	tcase_add_test(turning, an_entry_of_a_later_round_stays);
	tcase_add_test(turning, a_long_sleep_of_the_caller_misses_nothing);
	tcase_add_test(turning, setting_again_replaces_and_cancelling_ends);
	tcase_add_test(turning, one_that_is_told_may_cancel_another_that_is_due);
	tcase_add_test(turning, one_that_is_told_may_wait_again);

	Suite *suite = suite_create("wheel");
	suite_add_tcase(suite, turning);

	return run_suite(suite);
}
