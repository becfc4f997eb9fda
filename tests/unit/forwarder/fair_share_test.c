/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "forwarder/fair_share.h"
#include "forwarder/pipe_pool.h"
#include "forwarder/stream.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdint.h>

enum { USABLE = 400 };

static struct side_lab lab;

static void setup(void)
{
	side_lab_open(&lab);
	lab.forwarder.fair_share.usable = USABLE;
}

static void teardown(void)
{
	side_lab_close(&lab);
}

static void assert_parts(size_t limit, size_t fixed, size_t clients, int64_t usable, int64_t elsewhere, int64_t loan)
{
	struct share_parts parts = fwd_share_divide(limit, fixed, clients);

	ck_assert_int_eq(parts.usable, usable);
	ck_assert_int_eq(parts.elsewhere, elsewhere);
	ck_assert_int_eq(parts.loan, loan);
}

/* As many connections of route INDEX as it gets, COUNT at most. */
static int admit(size_t index, int count)
{
	int admitted = 0;

	while (admitted < count && fwd_share_allows(lab.routes[index], SHARE_CONNECTION)) {
		ck_assert(fwd_tally_admit(lab.routes[index], DIRECTION_IN, 0, 0));
		admitted++;
	}
	return admitted;
}

/* ---- Arithmetic ---- */

START_TEST(the_reserve_is_not_usable)
{
	assert_parts(1048576, 40, 0, 1048576 - 1192, 40, 596);
	assert_parts(1024, 40, 0, 768, 40, 128);
	assert_parts(256, 40, 0, 192, 40, 32);
}
END_TEST

START_TEST(clients_of_the_control_socket_live_on_the_reserve)
{
	assert_parts(1048576, 40, 1128, 1048576 - 1192, 40, 596);
	assert_parts(1048576, 40, 1228, 1048576 - 1192, 140, 596);
	/* A quarter of 300 is 75, of which 4 are not theirs. */
	assert_parts(300, 40, 71, 225, 40, 37);
	assert_parts(300, 40, 81, 225, 50, 37);
}
END_TEST

START_TEST(a_small_limit_has_no_reserve_and_what_was_open_is_not_usable)
{
	assert_parts(255, 40, 0, 211, 0, 0);
	assert_parts(100, 40, 10, 56, 10, 0);
	assert_parts(40, 40, 0, 0, 0, 0);
	assert_parts(0, 40, 0, 0, 0, 0);
}
END_TEST

START_TEST(a_share_counts_only_while_descriptors_are_scarce)
{
	ck_assert(fwd_share_is_due(USABLE, 100, 1, 300));
	ck_assert(!fwd_share_is_due(USABLE, 99, 1, 200));
	/* One busy route's part is a half. */
	ck_assert(fwd_share_is_due(USABLE, 99, 1, 50));
	ck_assert(!fwd_share_is_due(USABLE, 99, 9, 40));
	ck_assert(fwd_share_is_due(USABLE, 99, 9, 39));
}
END_TEST

START_TEST(of_the_last_ones_a_route_gets_no_more_than_it_leaves)
{
	ck_assert(fwd_share_is_due(USABLE, 25, 1, 100));
	ck_assert(!fwd_share_is_due(USABLE, 24, 1, 100));
	ck_assert(!fwd_share_is_due(USABLE, 24, 1, 24));
	ck_assert(fwd_share_is_due(USABLE, 24, 1, 23));
	ck_assert(!fwd_share_is_due(USABLE, 0, 1, 4));
	ck_assert(!fwd_share_is_due(0, -5, 0, 4));
}
END_TEST

/* ---- On the counters ---- */

START_TEST(a_flood_ends_where_descriptors_become_scarce)
{
	/* 300 are taken, and the next one finds less than a quarter. */
	ck_assert_int_eq(admit(0, USABLE), 151);
	ck_assert(!fwd_share_allows(lab.routes[0], SHARE_FLOW));
	ck_assert(fwd_share_is_scarce(&lab.forwarder));
	ck_assert(fwd_share_has_room(&lab.forwarder, 98));
	ck_assert(!fwd_share_has_room(&lab.forwarder, 99));
}
END_TEST

START_TEST(the_next_flood_leaves_room_too)
{
	admit(0, USABLE);
	ck_assert_int_eq(admit(1, USABLE), 37);
	ck_assert(fwd_share_has_room(&lab.forwarder, 24));
	ck_assert_int_eq(admit(1, USABLE), 0);
}
END_TEST

START_TEST(a_route_with_next_to_nothing_is_served_from_the_reserve)
{
	lab.forwarder.fair_share.loan = 10;
	lab.forwarder.fair_share.elsewhere = USABLE + 4;
	ck_assert_int_eq(admit(0, USABLE), 2);
	ck_assert_int_eq(admit(1, USABLE), 1);
	ck_assert(!fwd_share_has_room(&lab.forwarder, SHARE_FLOW));
}
END_TEST

START_TEST(while_descriptors_are_scarce_streams_copy_and_no_pipe_is_kept)
{
	struct stream stream = { .pipe = PIPE_NONE };

	ck_assert(fwd_stream_borrow_pipe(lab.side, &stream));
	fwd_stream_give_pipe_back(lab.side, &stream);
	ck_assert_uint_eq(fwd_pipe_pool_idle(lab.worker.pipes), 1);
	admit(0, USABLE);
	ck_assert(!fwd_stream_borrow_pipe(lab.side, &stream));
	ck_assert_uint_eq(fwd_pipe_pool_idle(lab.worker.pipes), 0);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), fwd_tally_descriptors(&lab.forwarder));
}
END_TEST

START_TEST(flows_and_pipes_count_as_what_they_take)
{
	struct err err;
	struct pipe pipe = PIPE_NONE;

	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 2);
	ck_assert(fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 0));
	fwd_tally_flow_begin(lab.side);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 3);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 3);

	/* A pipe is its route's while it is lent, and everybody's in any case. */
	ck_assert_int_eq(fwd_pipe_pool_borrow(lab.worker.pipes, &pipe, &err), 0);
	fwd_tally_pipe_lent(lab.side);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 5);
	fwd_pipe_pool_give_back(lab.worker.pipes, &pipe);
	fwd_tally_pipe_back(lab.side);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 3);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 5);
	fwd_pipe_pool_trim(lab.worker.pipes);
	ck_assert_int_eq(fwd_tally_descriptors(&lab.forwarder), 3);
}
END_TEST

START_TEST(what_listeners_and_others_hold_is_not_left)
{
	fwd_share_hold(&lab.forwarder, 3);
	lab.forwarder.fair_share.elsewhere = 7;
	ck_assert(fwd_share_has_room(&lab.forwarder, USABLE - 10));
	ck_assert(!fwd_share_has_room(&lab.forwarder, USABLE - 9));
	fwd_share_hold(&lab.forwarder, -3);
	ck_assert(fwd_share_has_room(&lab.forwarder, USABLE - 7));
}
END_TEST

START_TEST(a_pause_ends_even_where_few_are_usable)
{
	ck_assert_int_eq(fwd_share_room(&lab.forwarder, 16), 16);
	lab.forwarder.fair_share.usable = 20;
	ck_assert_int_eq(fwd_share_room(&lab.forwarder, 16), 5);
	lab.forwarder.fair_share.usable = 0;
	ck_assert_int_eq(fwd_share_room(&lab.forwarder, 16), 2);
}
END_TEST

START_TEST(routes_with_a_connection_are_counted)
{
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 0);
	admit(0, 2);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 1);
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_IN, 2, 0));
	ck_assert(!fwd_tally_admit(lab.routes[0], DIRECTION_IN, 0, 2));
	admit(1, 1);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 2);
	fwd_tally_withdraw(lab.routes[0], DIRECTION_IN);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 2);
	fwd_tally_withdraw(lab.routes[0], DIRECTION_IN);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 1);
	fwd_tally_withdraw(lab.routes[1], DIRECTION_IN);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 0);
}
END_TEST

START_TEST(a_held_connection_that_moves_takes_its_route_along)
{
	admit(0, 1);
	fwd_tally_hold(lab.side);
	ck_assert(fwd_tally_move(lab.side, lab.other, 0));
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[0]), 0);
	ck_assert_int_eq(fwd_tally_route_descriptors(lab.routes[1]), 2);
	ck_assert_int_eq(fwd_tally_busy_routes(&lab.forwarder), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/fair_share");
	TCase *arithmetic = tcase_create("arithmetic"), *counters = tcase_create("counters");

	tcase_add_test(arithmetic, the_reserve_is_not_usable);
	tcase_add_test(arithmetic, clients_of_the_control_socket_live_on_the_reserve);
	tcase_add_test(arithmetic, a_small_limit_has_no_reserve_and_what_was_open_is_not_usable);
	tcase_add_test(arithmetic, a_share_counts_only_while_descriptors_are_scarce);
	tcase_add_test(arithmetic, of_the_last_ones_a_route_gets_no_more_than_it_leaves);
	suite_add_tcase(suite, arithmetic);
	tcase_add_checked_fixture(counters, setup, teardown);
	tcase_add_test(counters, a_flood_ends_where_descriptors_become_scarce);
	tcase_add_test(counters, the_next_flood_leaves_room_too);
	tcase_add_test(counters, while_descriptors_are_scarce_streams_copy_and_no_pipe_is_kept);
	tcase_add_test(counters, a_route_with_next_to_nothing_is_served_from_the_reserve);
	tcase_add_test(counters, flows_and_pipes_count_as_what_they_take);
	tcase_add_test(counters, what_listeners_and_others_hold_is_not_left);
	tcase_add_test(counters, a_pause_ends_even_where_few_are_usable);
	tcase_add_test(counters, routes_with_a_connection_are_counted);
	tcase_add_test(counters, a_held_connection_that_moves_takes_its_route_along);
	suite_add_tcase(suite, counters);
	return run_suite(suite);
}
