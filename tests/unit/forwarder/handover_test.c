/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A handover of a connection in each state: it goes on. */
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "unit/forwarder/handover_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOME = 3000, MUCH = 200 * 1000 };

static struct handover_lab lab;
static struct flow flow;

static void setup(void)
{
	lab_open(&lab);
	flow = (struct flow){ .client = -1, .guest = -1 };
}

static void teardown(void)
{
	flow_close(&flow);
	lab_close(&lab);
}

/* ---- Each state goes on ---- */

START_TEST(a_connection_that_copies_goes_on_under_its_id_with_its_bytes)
{
	struct fwd_connection_info before, after;

	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_pass(&lab, &flow, FROM_GUEST, 2 * SOME);
	before = lab_listed(&lab, 0);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	after = lab_listed(&lab, 0);
	ck_assert_uint_eq(after.id, before.id);
	ck_assert_uint_eq(after.bytes_to_guest, SOME);
	ck_assert_uint_eq(after.bytes_from_guest, 2 * SOME);
	ck_assert_uint_ge(after.age_ms, before.age_ms);
	ck_assert_int_ge(after.connect_ms, before.connect_ms - 1);
	ck_assert_str_eq(after.client, before.client);
	ck_assert_str_eq(after.endpoint, before.endpoint);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_new_connection_gets_an_id_above_those_that_were_taken_over)
{
	struct flow second;
	uint64_t first;

	flow_open(&lab, &flow);
	first = lab_listed(&lab, 0).id;
	lab_hand_over(&lab);
	flow_open(&lab, &second);
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_ge(lab_listed(&lab, i).id, first);
	ck_assert_uint_ne(lab_listed(&lab, 0).id, lab_listed(&lab, 1).id);
	flow_close(&second);
}
END_TEST

/* The reader stands still until the next run. */
static void assert_blocked_bytes_arrive(int from, size_t piece, size_t descriptors)
{
	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, from, piece);
	lab_freeze(&lab);
	ck_assert_uint_gt(lab.kept.bytes, 0);
	ck_assert_uint_eq(lab.kept.count, descriptors);
	lab_leave(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_drain(&lab, &flow, from);
	lab_expect_whole(&lab, &flow);
}

START_TEST(bytes_that_were_read_and_not_sent_arrive)
{
	int buffer = 4096;

	/* No read is ever so large that the stream begins to splice. */
	ck_assert_int_eq(setsockopt(lab.listening, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
	assert_blocked_bytes_arrive(FROM_CLIENT, 1000, 2);
}
END_TEST

START_TEST(bytes_in_a_pipe_arrive)
{
	assert_blocked_bytes_arrive(_i, 64 * 1024, 4);
}
END_TEST

START_TEST(a_stream_that_splices_goes_on_at_once)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, _i, MUCH);
	lab_hand_over(&lab);
	flow_pass(&lab, &flow, _i, MUCH);
	flow_pass(&lab, &flow, !_i, MUCH);
	lab_expect_whole(&lab, &flow);
}
END_TEST

static void shut(int side)
{
	shutdown(side == FROM_CLIENT ? flow.client : flow.guest, SHUT_WR);
}

START_TEST(a_connection_that_is_half_closed_goes_on_the_other_way)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, _i, SOME);
	shut(_i);
	flow_expect_end(&lab, &flow, _i);
	lab_wait_for_state(&lab, "half-closed");
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_str_eq(lab_listed(&lab, 0).state, "half-closed");
	flow_pass(&lab, &flow, !_i, MUCH);
	shut(!_i);
	flow_expect_end(&lab, &flow, !_i);
	while (!lab_ended(&lab, CLOSE_DONE))
		lab_turn(&lab);
}
END_TEST

START_TEST(a_fin_behind_bytes_that_wait_comes_after_them)
{
	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, _i, 64 * 1024);
	shut(_i);
	lab_hand_over(&lab);
	flow_expect_end(&lab, &flow, _i);
	flow_pass(&lab, &flow, !_i, SOME);
	shut(!_i);
	flow_expect_end(&lab, &flow, !_i);
}
END_TEST

/* Both have closed, and the last bytes from the client wait behind a guest that does not read. */
START_TEST(a_socket_that_the_kernel_has_closed_still_gives_its_bytes)
{
	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, FROM_GUEST, 64 * 1024);
	shut(FROM_GUEST);
	shut(FROM_CLIENT);
	flow_expect_end(&lab, &flow, FROM_CLIENT);
	lab_wait_for_state(&lab, "half-closed");
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_expect_end(&lab, &flow, FROM_GUEST);
}
END_TEST

START_TEST(a_held_client_goes_on_being_held_without_a_carrier)
{
	fwd_route_set_up(lab.route, false);
	flow_connect(&lab, &flow);
	flow_send(&flow, FROM_CLIENT, SOME, SOME);
	lab_wait_for_state(&lab, "held");
	lab.state.up = false;
	lab.state.downs = LAB_DOWNS + 1;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_str_eq(lab_listed(&lab, 0).state, "held");
	fwd_route_set_up(lab.route, true);
	flow_accept(&lab, &flow);
	flow_drain(&lab, &flow, FROM_CLIENT);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_held_clients_deadline_is_what_was_left_of_it)
{
	fwd_route_set_up(lab.route, false);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "held");
	lab.state.up = false;
	lab.state.limits.connect_deadline_ms = 300;
	lab_hand_over(&lab);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
}
END_TEST

/* Its queue is full, so it swallows the first packet of each client. */
START_TEST(a_dialing_client_dials_anew)
{
	struct flow crowd[3];

	ck_assert_int_eq(listen(lab.guest_listening, 0), 0);
	for (size_t i = 0; i < 3; i++)
		flow_connect(&lab, &crowd[i]);
	flow_connect(&lab, &flow);
	flow_send(&flow, FROM_CLIENT, SOME, SOME);
	for (bool dialing = false; !dialing;) {
		lab_turn(&lab);
		for (size_t i = 0; i < lab_count(&lab); i++)
			dialing |= strcmp(lab_listed(&lab, i).state, "dialing") == 0;
	}
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 4, 0);
	ck_assert_int_eq(listen(lab.guest_listening, 16), 0);
	/* The guest knows a client by its bytes: each sends its own. */
	for (size_t i = 0; i < 3; i++)
		flow_close(&crowd[i]);
	for (int guest = -1; flow.guest < 0;) {
		char byte;

		guest = accept4(lab.guest_listening, NULL, NULL, SOCK_CLOEXEC);
		if (guest < 0) {
			lab_turn(&lab);
			continue;
		}
		while (recv(guest, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
			lab_turn(&lab);
		if (recv(guest, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
			flow.guest = guest;
		else
			close(guest);
	}
	fcntl(flow.guest, F_SETFL, O_NONBLOCK);
	flow_drain(&lab, &flow, FROM_CLIENT);
	flow_pass(&lab, &flow, FROM_GUEST, SOME);
}
END_TEST

START_TEST(a_lingering_connection_waits_on_for_the_guest)
{
	flow_open(&lab, &flow);
	shut(FROM_GUEST);
	flow_expect_end(&lab, &flow, FROM_GUEST);
	/* More than the guest's buffer takes, less than the socket to it. */
	flow_send(&flow, FROM_CLIENT, 60 * 1000, 10000);
	shut(FROM_CLIENT);
	while (recv(flow.client, &(char){ 0 }, 1, MSG_DONTWAIT) != 0)
		lab_turn(&lab);
	for (bool lingers = false; !lingers; lab_turn(&lab)) {
		struct fwd_connection_info info = lab_listed(&lab, 0);

		lingers = info.bytes_to_guest == 60 * 1000;
	}
	lab_freeze(&lab);
	ck_assert_uint_eq(lab.kept.count, 1);
	lab_leave(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_expect_end(&lab, &flow, FROM_CLIENT);
	while (!lab_ended(&lab, CLOSE_DONE))
		lab_turn(&lab);
}
END_TEST

START_TEST(an_urgent_byte_that_waits_costs_no_other_byte)
{
	size_t more;

	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, FROM_CLIENT, _i ? 64 * 1024 : 5000);
	/* Some room, so that the urgent byte and bytes behind it reach the forwarder's socket at least. */
	ck_assert_int_eq(send(flow.client, "!", 1, MSG_OOB | MSG_DONTWAIT) < 0 && errno != EAGAIN, 0);
	more = flow_send(&flow, FROM_CLIENT, SOME, SOME);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_drain(&lab, &flow, FROM_CLIENT);
	ck_assert_uint_le(more, SOME);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(an_urgent_byte_that_comes_between_two_runs_costs_no_other_byte)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, _i ? MUCH : SOME);
	lab_freeze(&lab);
	flow_send(&flow, FROM_CLIENT, SOME, SOME);
	ck_assert_int_eq(send(flow.client, "!", 1, MSG_OOB), 1);
	flow_send(&flow, FROM_CLIENT, SOME, SOME);
	shut(FROM_CLIENT);
	lab_leave(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	flow_expect_end(&lab, &flow, FROM_CLIENT);
}
END_TEST

START_TEST(a_paused_connection_is_kept_and_goes_on_at_the_resume)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	fwd_route_pause(lab.route);
	lab_wait_for_state(&lab, "paused");
	flow_send(&flow, FROM_CLIENT, SOME, SOME);
	lab.state.paused = true;
	lab.state.up = false;
	lab.state.downs = LAB_DOWNS + 2;
	lab.state.limits.idle_ms = 60000;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_str_eq(lab_listed(&lab, 0).state, "paused");
	for (int i = 0; i < 20; i++)
		lab_turn(&lab);
	ck_assert_uint_eq(lab_listed(&lab, 0).bytes_to_guest, SOME);
	fwd_route_set_up(lab.route, true);
	fwd_route_resume(lab.route, true);
	flow_drain(&lab, &flow, FROM_CLIENT);
	lab_expect_whole(&lab, &flow);
}
END_TEST

/* The flow is handed over in a pause, and the resume comes while it still waits. */
static void resume_before_the_thaw(bool keep)
{
	flow_open(&lab, &flow);
	fwd_route_pause(lab.route);
	lab_wait_for_state(&lab, "paused");
	lab.state.paused = true;
	lab_freeze(&lab);
	lab_leave(&lab);
	lab_start(&lab);
	fwd_route_resume(lab.route, keep);
	lab_thaw(&lab);
}

START_TEST(a_resume_that_keeps_no_flows_resets_those_that_still_wait)
{
	resume_before_the_thaw(false);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_PAUSED_RESET);
}
END_TEST

START_TEST(a_resume_before_the_thaw_lets_them_go_on)
{
	resume_before_the_thaw(true);
	lab_assert_taken(&lab, 1, 0);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_limit_that_has_changed_holds_from_the_thaw_on)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	lab.state.limits.idle_ms = 200;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_IDLE);
}
END_TEST

START_TEST(connections_that_were_taken_over_count_to_the_limit)
{
	struct flow second;

	flow_open(&lab, &flow);
	lab.state.limits.connections = 1;
	lab_hand_over(&lab);
	flow_connect(&lab, &second);
	flow_expect_reset(&lab, &second, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_LIMIT);
	lab_expect_whole(&lab, &flow);
	flow_close(&second);
}
END_TEST

START_TEST(they_end_with_the_listener_through_which_they_came)
{
	flow_open(&lab, &flow);
	lab_hand_over(&lab);
	fwd_listener_close(lab.listener, true);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

START_TEST(one_whose_listener_is_gone_goes_on)
{
	flow_open(&lab, &flow);
	lab.no_listener = true;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(one_whose_listener_opens_later_ends_with_it)
{
	flow_open(&lab, &flow);
	lab.no_listener = true;
	lab_hand_over(&lab);
	lab_listen(&lab);
	fwd_listener_close(lab.listener, true);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

/* Its worker learned of the route during the pause. */
START_TEST(the_deadline_of_a_client_that_came_in_a_pause_moves_by_no_more_than_the_pause)
{
	lab.state = (struct lab_route){
		.slot = SLOT, .netns_fd = lab.netns_fd, .paused = true, .limits = { .connect_deadline_ms = 300 }
	};
	lab_hand_over(&lab);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "paused");
	fwd_route_resume(lab.route, true);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/handover");
	TCase *states = tcase_create("states");

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root may enter namespaces\n");
		return 77;
	}
	tcase_add_checked_fixture(states, setup, teardown);
	tcase_set_timeout(states, 60);
	tcase_add_test(states, a_connection_that_copies_goes_on_under_its_id_with_its_bytes);
	tcase_add_test(states, a_new_connection_gets_an_id_above_those_that_were_taken_over);
	tcase_add_test(states, bytes_that_were_read_and_not_sent_arrive);
	tcase_add_loop_test(states, bytes_in_a_pipe_arrive, 0, 2);
	tcase_add_loop_test(states, a_stream_that_splices_goes_on_at_once, 0, 2);
	tcase_add_loop_test(states, a_connection_that_is_half_closed_goes_on_the_other_way, 0, 2);
	tcase_add_loop_test(states, a_fin_behind_bytes_that_wait_comes_after_them, 0, 2);
	tcase_add_test(states, a_socket_that_the_kernel_has_closed_still_gives_its_bytes);
	tcase_add_test(states, a_held_client_goes_on_being_held_without_a_carrier);
	tcase_add_test(states, a_held_clients_deadline_is_what_was_left_of_it);
	tcase_add_test(states, a_dialing_client_dials_anew);
	tcase_add_test(states, a_lingering_connection_waits_on_for_the_guest);
	tcase_add_loop_test(states, an_urgent_byte_that_waits_costs_no_other_byte, 0, 2);
	tcase_add_loop_test(states, an_urgent_byte_that_comes_between_two_runs_costs_no_other_byte, 0, 2);
	tcase_add_test(states, a_paused_connection_is_kept_and_goes_on_at_the_resume);
	tcase_add_test(states, a_resume_that_keeps_no_flows_resets_those_that_still_wait);
	tcase_add_test(states, a_resume_before_the_thaw_lets_them_go_on);
	tcase_add_test(states, a_limit_that_has_changed_holds_from_the_thaw_on);
	tcase_add_test(states, connections_that_were_taken_over_count_to_the_limit);
	tcase_add_test(states, they_end_with_the_listener_through_which_they_came);
	tcase_add_test(states, one_whose_listener_is_gone_goes_on);
	tcase_add_test(states, one_whose_listener_opens_later_ends_with_it);
	tcase_add_test(states, the_deadline_of_a_client_that_came_in_a_pause_moves_by_no_more_than_the_pause);
	suite_add_tcase(suite, states);

	return run_suite(suite);
}
