/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/rate_ring.h"
#include "unit/run_suite.h"

#include <check.h>

enum { TICK = 1000000 };

static struct rate_ring ring;

static void add(uint64_t kernel, uint64_t forwarder, uint64_t tick, unsigned steps)
{
	daemon_rate_ring_add(&ring, &(struct rate_bytes){ kernel, 2 * kernel },
			     &(struct rate_bytes){ forwarder, 2 * forwarder }, tick, steps);
}

static double to_guest(uint64_t tick)
{
	return (double)ring.to_guest[tick % RATES_POINTS];
}

static void setup(void)
{
	ring = (struct rate_ring){ 0 };
}

START_TEST(both_paths_are_added_from_the_second_reading_on)
{
	add(5000, 7000, TICK, 1);
	ck_assert_uint_eq(daemon_rate_ring_points(&ring, TICK, RATES_POINTS), 0);
	add(6000, 7500, TICK + 1, 1);
	ck_assert_double_eq(to_guest(TICK + 1), 750);
	ck_assert_double_eq((double)ring.from_guest[(TICK + 1) % RATES_POINTS], 1500);
	ck_assert_uint_eq(daemon_rate_ring_points(&ring, TICK + 1, RATES_POINTS), 1);
	add(6000, 7500, TICK + 2, 1);
	ck_assert_double_eq(to_guest(TICK + 2), 0);
	ck_assert_uint_eq(daemon_rate_ring_points(&ring, TICK + 2, RATES_POINTS), 2);
	ck_assert_uint_eq(daemon_rate_ring_points(&ring, TICK + 2, 1), 0);
}
END_TEST

START_TEST(a_reading_that_is_late_stands_for_all_that_it_missed)
{
	add(0, 0, TICK, 1);
	add(12000, 0, TICK + 3, 3);
	for (unsigned i = 1; i <= 3; i++)
		ck_assert_double_eq(to_guest(TICK + i), 2000);
	add(12000 + 2000000, 0, TICK + 3 + 1000, 1000);
	for (unsigned i = 0; i < RATES_POINTS; i++)
		ck_assert_double_eq(to_guest(TICK + i), 1000);
	ck_assert_uint_eq(daemon_rate_ring_points(&ring, TICK + 1003, 1000), RATES_POINTS);
}
END_TEST

START_TEST(a_counter_that_begins_anew_is_never_a_huge_rate)
{
	add(1000000, 0, TICK, 1);
	add(400, 0, TICK + 1, 1);
	ck_assert_double_eq(to_guest(TICK + 1), 200);
}
END_TEST

START_TEST(a_link_that_is_not_found_leaves_the_forwarders_part)
{
	add(1000, 1000, TICK, 1);
	daemon_rate_ring_add(&ring, NULL, &(struct rate_bytes){ 3000, 3000 }, TICK + 1, 1);
	ck_assert_double_eq(to_guest(TICK + 1), 1000);
	add(5000, 3000, TICK + 2, 1);
	ck_assert_double_eq(to_guest(TICK + 2), 2000);
}
END_TEST

START_TEST(two_minutes_take_less_than_a_KiB)
{
	ck_assert_uint_le(sizeof(struct rate_ring), 1024);
}
END_TEST

int main(void)
{
	TCase *rings = tcase_create("rate_ring");
	tcase_add_checked_fixture(rings, setup, NULL);
	tcase_add_test(rings, both_paths_are_added_from_the_second_reading_on);
	tcase_add_test(rings, a_reading_that_is_late_stands_for_all_that_it_missed);
	tcase_add_test(rings, a_counter_that_begins_anew_is_never_a_huge_rate);
	tcase_add_test(rings, a_link_that_is_not_found_leaves_the_forwarders_part);
	tcase_add_test(rings, two_minutes_take_less_than_a_KiB);

	Suite *suite = suite_create("rate_ring");
	suite_add_tcase(suite, rings);

	return run_suite(suite);
}
