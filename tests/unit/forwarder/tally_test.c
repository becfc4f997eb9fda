/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "forwarder/tally.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <check.h>

static struct side_lab lab;

static void setup(void)
{
	side_lab_open(&lab);
}

static void teardown(void)
{
	side_lab_close(&lab);
}

static struct fwd_route_stats read_route(size_t index)
{
	struct fwd_route_stats stats;

	fwd_tally_read_route(lab.routes[index], &stats);
	return stats;
}

static struct fwd_stats read_all(void)
{
	struct fwd_stats stats;

	fwd_stats(&lab.forwarder, &stats);
	return stats;
}

/* A connection as far as the guest's answer. */
static void arrive(void)
{
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_arrive(lab.side);
	fwd_tally_hold(lab.side);
}

START_TEST(a_connection_leaves_no_count_behind_but_its_end)
{
	arrive();
	ck_assert_uint_eq(read_route(0).connections_held, 1);
	ck_assert_uint_eq(read_route(0).connections_open, 0);
	ck_assert_uint_eq(fwd_tally_load(&lab.worker), 1);

	fwd_tally_unhold(lab.side);
	ck_assert_uint_eq(read_route(0).connections_held, 0);
	ck_assert_uint_eq(read_route(0).connections_open, 1);

	fwd_tally_end(lab.side, DIRECTION_IN, CLOSE_IDLE);
	ck_assert_uint_eq(read_route(0).connections_open, 0);
	ck_assert_uint_eq(read_route(0).connections_total, 1);
	ck_assert_uint_eq(read_all().connections_open, 0);
	ck_assert_uint_eq(read_all().ended[CLOSE_IDLE], 1);
	ck_assert_uint_eq(fwd_tally_load(&lab.worker), 0);
}
END_TEST

START_TEST(a_connection_that_is_turned_away_leaves_none_either)
{
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_arrive(lab.side);
	fwd_tally_end(lab.side, DIRECTION_IN, CLOSE_ERROR);
	ck_assert_uint_eq(fwd_tally_load(&lab.worker), 0);
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[0]), 0);
	ck_assert_uint_eq(read_all().connections_open, 0);
	ck_assert_uint_eq(read_all().ended[CLOSE_ERROR], 1);
}
END_TEST

START_TEST(a_limit_admits_so_many_and_a_refusal_counts_nothing)
{
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 2));
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 2));
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 2));
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[0]), 2);
	ck_assert_uint_eq(read_all().connections_open, 2);

	/* The other route has room, until all together are too many. */
	ck_assert(fwd_tally_admit(lab.routes[1], DIRECTION_IN, 3, 2));
	ck_assert(!fwd_tally_admit(lab.routes[1], DIRECTION_IN, 3, 2));
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[1]), 1);
	ck_assert_uint_eq(read_all().connections_open, 3);
	ck_assert(fwd_tally_admit(lab.routes[1], DIRECTION_IN, 0, 0));
}
END_TEST

START_TEST(each_direction_has_a_limit_of_its_own)
{
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_OUT, 3, 1));
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_OUT, 3, 1));
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 1));
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 1));
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[0]), 2);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 4);

	/* Both count to what all have together. */
	ck_assert(!fwd_tally_admit(lab.routes[1], DIRECTION_OUT, 2, 0));
	fwd_tally_withdraw(lab.routes[0], DIRECTION_OUT);
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_OUT, 3, 1));
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_IN, 3, 1));
}
END_TEST

START_TEST(a_move_takes_a_held_connection_to_the_other_route)
{
	arrive();
	ck_assert(fwd_tally_move(lab.side, lab.other, 1));
	ck_assert_uint_eq(fwd_tally_held(lab.side), 0);
	ck_assert_uint_eq(fwd_tally_held(lab.other), 1);
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[0]), 0);
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[1]), 1);
	ck_assert_uint_eq(read_route(1).connections_total, 1);
	ck_assert_uint_eq(read_all().connections_open, 1);

	/* Beyond the limit it is counted too, as its end will be. */
	arrive();
	ck_assert(!fwd_tally_move(lab.side, lab.other, 1));
	ck_assert_uint_eq(fwd_tally_route_connections(lab.routes[1]), 2);
}
END_TEST

START_TEST(a_drain_waits_for_connections_and_not_for_flows)
{
	ck_assert(fwd_tally_is_drained(&lab.forwarder));
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_flow_begin(lab.side);
	ck_assert(fwd_tally_is_drained(&lab.forwarder));
	arrive();
	ck_assert(!fwd_tally_is_drained(&lab.forwarder));
	fwd_tally_end(lab.side, DIRECTION_IN, CLOSE_DONE);
	ck_assert(fwd_tally_is_drained(&lab.forwarder));
	fwd_tally_flow_end(lab.side, CLOSE_IDLE);
	ck_assert_uint_eq(read_all().connections_open, 0);
	ck_assert_uint_eq(fwd_tally_load(&lab.worker), 0);
}
END_TEST

START_TEST(bytes_are_counted_for_side_and_worker_with_their_time)
{
	lab.worker.now_ms = clock_now_ms();
	fwd_tally_pass(lab.side, 3, 0);
	fwd_tally_pass(lab.side, 0, 40);
	fwd_tally_pass(lab.other, 500, 0);
	ck_assert_uint_eq(read_route(0).bytes_to_guest, 3);
	ck_assert_uint_eq(read_route(0).bytes_from_guest, 40);
	ck_assert_int_ne(read_route(0).last_activity_ms, 0);
	ck_assert_uint_eq(read_all().bytes_to_guest, 503);
	ck_assert_uint_eq(read_all().bytes_from_guest, 40);
}
END_TEST

START_TEST(a_connect_is_counted_in_the_bucket_of_its_duration)
{
	uint64_t now_us = clock_now_us();

	fwd_tally_connect(&lab.worker, now_us);
	fwd_tally_connect(&lab.worker, now_us - 40000 * 1000);
	ck_assert_uint_eq(read_all().connect_count[CONNECT_BUCKETS - 1], 1);
	ck_assert_uint_ge(read_all().connect_sum_us, 40000 * 1000);
}
END_TEST

START_TEST(the_first_bulk_stream_knows_that_it_is_the_only_one)
{
	bool only;

	ck_assert_uint_eq(fwd_tally_bulk_begin(&lab.worker, &only), 1);
	ck_assert(only);
	ck_assert_uint_eq(fwd_tally_bulk_begin(&lab.worker, &only), 2);
	ck_assert(!only);
	fwd_tally_bulk_end(&lab.worker);
	fwd_tally_bulk_end(&lab.worker);
	ck_assert_uint_eq(fwd_tally_bulk_begin(&lab.worker, &only), 1);
	ck_assert(only);
}
END_TEST

START_TEST(a_message_is_coming_until_it_is_delivered)
{
	ck_assert(!fwd_tally_is_coming(lab.side));
	fwd_tally_send(lab.side);
	fwd_tally_send(lab.side);
	fwd_tally_deliver(lab.side);
	ck_assert(fwd_tally_is_coming(lab.side));
	fwd_tally_deliver(lab.side);
	ck_assert(!fwd_tally_is_coming(lab.side));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/tally");
	TCase *tcase = tcase_create("events");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_connection_leaves_no_count_behind_but_its_end);
	tcase_add_test(tcase, a_connection_that_is_turned_away_leaves_none_either);
	tcase_add_test(tcase, a_limit_admits_so_many_and_a_refusal_counts_nothing);
	tcase_add_test(tcase, each_direction_has_a_limit_of_its_own);
	tcase_add_test(tcase, a_move_takes_a_held_connection_to_the_other_route);
	tcase_add_test(tcase, a_drain_waits_for_connections_and_not_for_flows);
	tcase_add_test(tcase, bytes_are_counted_for_side_and_worker_with_their_time);
	tcase_add_test(tcase, a_connect_is_counted_in_the_bucket_of_its_duration);
	tcase_add_test(tcase, the_first_bulk_stream_knows_that_it_is_the_only_one);
	tcase_add_test(tcase, a_message_is_coming_until_it_is_delivered);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
