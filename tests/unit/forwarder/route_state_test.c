/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forwarder/route_state.h"
#include "unit/run_suite.h"

#include <check.h>

static const struct route_state ready = { .netns_fd = 5, .up = true, .reason = CLOSE_UNREGISTERED };

START_TEST(a_guest_is_dialed_with_carrier_namespace_and_without_pause)
{
	struct route_state state = ready;

	ck_assert(fwd_route_state_may_dial(&state));
	state.up = false;
	ck_assert(!fwd_route_state_may_dial(&state));
	state = ready;
	state.paused = true;
	ck_assert(!fwd_route_state_may_dial(&state));
	state = ready;
	state.netns_fd = -1;
	ck_assert(!fwd_route_state_may_dial(&state));
}
END_TEST

START_TEST(nothing_ends_where_nothing_that_matters_changed)
{
	struct route_state now = ready;
	enum fwd_close_reason reason = CLOSE_ERROR;

	now.pace = 1000;
	now.limits.connections = 3;
	now.up = false;
	ck_assert(!fwd_route_state_ends_all(&now, &ready, &reason));
	ck_assert(!fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_ERROR);
}
END_TEST

START_TEST(a_lost_carrier_ends_flows_alone_even_if_it_came_back)
{
	struct route_state now = ready;
	enum fwd_close_reason reason;

	now.carrier_losses++;
	ck_assert(!fwd_route_state_ends_all(&now, &ready, &reason));
	ck_assert(fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_CARRIER_LOST);
}
END_TEST

START_TEST(a_resume_that_keeps_nothing_ends_flows_alone)
{
	struct route_state now = ready;
	enum fwd_close_reason reason;

	now.flow_resets++;
	ck_assert(!fwd_route_state_ends_all(&now, &ready, &reason));
	ck_assert(fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_PAUSED_RESET);
}
END_TEST

START_TEST(of_several_reasons_the_widest_is_given)
{
	struct route_state now = ready;
	enum fwd_close_reason reason;

	now.flow_resets++;
	now.carrier_losses++;
	ck_assert(fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_CARRIER_LOST);
	now.gone = true;
	ck_assert(fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_NO_NAMESPACE);
	now.reset_all = true;
	ck_assert(fwd_route_state_ends_flows(&now, &ready, &reason));
	ck_assert_int_eq(reason, CLOSE_UNREGISTERED);
}
END_TEST

START_TEST(a_namespace_goes_once_and_a_reset_of_all_holds)
{
	struct route_state now = ready;
	enum fwd_close_reason reason;

	now.gone = true;
	ck_assert(fwd_route_state_ends_all(&now, &ready, &reason));
	ck_assert(!fwd_route_state_ends_all(&now, &now, &reason));
	now.reset_all = true;
	ck_assert(fwd_route_state_ends_all(&now, &now, &reason));
}
END_TEST

START_TEST(edges_are_seen_in_their_direction_alone)
{
	struct route_state paused = ready;

	paused.paused = true;
	ck_assert(fwd_route_state_pauses(&paused, &ready));
	ck_assert(!fwd_route_state_pauses(&ready, &paused));
	ck_assert(!fwd_route_state_pauses(&paused, &paused));
	ck_assert(fwd_route_state_resumes(&ready, &paused));
	ck_assert(!fwd_route_state_resumes(&paused, &ready));
	ck_assert(fwd_route_state_opens(&ready, &paused));
	ck_assert(!fwd_route_state_opens(&paused, &ready));
	ck_assert(!fwd_route_state_opens(&ready, &ready));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/route_state");
	TCase *tcase = tcase_create("changes");

	tcase_add_test(tcase, a_guest_is_dialed_with_carrier_namespace_and_without_pause);
	tcase_add_test(tcase, nothing_ends_where_nothing_that_matters_changed);
	tcase_add_test(tcase, a_lost_carrier_ends_flows_alone_even_if_it_came_back);
	tcase_add_test(tcase, a_resume_that_keeps_nothing_ends_flows_alone);
	tcase_add_test(tcase, of_several_reasons_the_widest_is_given);
	tcase_add_test(tcase, a_namespace_goes_once_and_a_reset_of_all_holds);
	tcase_add_test(tcase, edges_are_seen_in_their_direction_alone);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
