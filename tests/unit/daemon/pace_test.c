/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/pace.h"
#include "unit/run_suite.h"

#include <check.h>

/* Any start of the clock. */
enum { NOW = 1000 * 1000 };

/* How long from NOW until it may be done. */
static uint64_t waits(const struct pace *pace, uint64_t now)
{
	uint64_t wait = 0;

	while (!daemon_pace_allows(pace, now + wait))
		wait += 100;
	return wait;
}

START_TEST(the_first_time_is_at_once_and_so_is_one_that_comes_much_later)
{
	struct pace pace = { 0 };

	ck_assert_uint_eq(waits(&pace, NOW), 0);
	daemon_pace_done(&pace, NOW);
	ck_assert_uint_eq(waits(&pace, NOW), 0);
	daemon_pace_done(&pace, NOW + 20000);
	ck_assert_uint_eq(waits(&pace, NOW + 20000), 0);
}
END_TEST

START_TEST(a_quarrel_is_fought_ever_more_seldom)
{
	struct pace pace = { 0 };
	uint64_t now = NOW;
	unsigned done = 0;

	/* Somebody deletes it as soon as it is there, for an hour. */
	for (; now < NOW + 3600 * 1000; done++) {
		daemon_pace_done(&pace, now);
		now += waits(&pace, now);
		if (done == 0)
			now += 1;
	}
	ck_assert_uint_le(waits(&pace, now - 1), 30000);
	ck_assert_uint_lt(done, 140);
	ck_assert_uint_gt(done, 100);
	/* Then there is peace. */
	daemon_pace_done(&pace, now + 60000);
	ck_assert_uint_eq(waits(&pace, now + 60000), 0);
}
END_TEST

START_TEST(a_failure_is_tried_again_after_1_2_4_and_at_most_30_s)
{
	static const uint64_t expected[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct pace pace = { 0 };
	uint64_t now = NOW;

	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		ck_assert(daemon_pace_failed(&pace, now) == (i == 0));
		ck_assert_uint_eq(waits(&pace, now), expected[i]);
		now += expected[i];
	}
	ck_assert(daemon_pace_is_fine(&pace, now));
	ck_assert(!daemon_pace_is_fine(&pace, now));
	ck_assert_uint_eq(waits(&pace, now), 0);
	ck_assert(daemon_pace_failed(&pace, now));
	ck_assert_uint_eq(waits(&pace, now), 1000);
	/* What succeeds after a failure is no quarrel. */
	daemon_pace_done(&pace, now + 1000);
	ck_assert_uint_eq(waits(&pace, now + 1000), 0);
}
END_TEST

int main(void)
{
	TCase *pacing = tcase_create("pacing");
	tcase_add_test(pacing, the_first_time_is_at_once_and_so_is_one_that_comes_much_later);
	tcase_add_test(pacing, a_quarrel_is_fought_ever_more_seldom);
	tcase_add_test(pacing, a_failure_is_tried_again_after_1_2_4_and_at_most_30_s);

	Suite *suite = suite_create("pace");
	suite_add_tcase(suite, pacing);

	return run_suite(suite);
}
