/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A handover of which something is not as it was: what ends, and for which reason. */
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

enum { SOME = 3000, MUCH = 900 * 1000 };

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

/* ---- Proofs ---- */

START_TEST(a_carrier_that_was_lost_meanwhile_ends_those_with_a_guest)
{
	flow_open(&lab, &flow);
	if (_i == 0)
		lab.state.up = false;
	else
		lab.state.downs = _i == 1 ? LAB_DOWNS + 1 : -1;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	lab_expect_end(&lab, CLOSE_CARRIER_LOST);
	ck_assert_uint_eq(lab_count(&lab), 0);
}
END_TEST

START_TEST(another_slot_or_namespace_ends_all)
{
	if (_i & 1)
		fwd_route_set_up(lab.route, false);
	flow_connect(&lab, &flow);
	if (!(_i & 1))
		flow_accept(&lab, &flow);
	lab_wait_for_state(&lab, _i & 1 ? "held" : "open");
	if (_i & 2)
		lab.state.slot = SLOT + 1;
	else
		lab.state.netns_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_NO_NAMESPACE);
	if (!(_i & 2))
		close(lab.state.netns_fd);
}
END_TEST

START_TEST(an_unregistered_sandbox_ends_all)
{
	flow_open(&lab, &flow);
	lab.known = false;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

static void on_closed(void *context)
{
	*(bool *)context = true;
}

START_TEST(a_route_that_ends_ends_those_that_wait_for_it)
{
	bool closed = false;

	flow_open(&lab, &flow);
	lab_freeze(&lab);
	lab_leave(&lab);
	lab_start(&lab);
	fwd_listener_close(lab.listener, true);
	fwd_route_close(lab.route, CLOSE_UNREGISTERED, 0, on_closed, &closed);
	while (!closed || !lab.thawed)
		lab_turn(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

enum { MANY = 600 };

static struct flow many[MANY];

/* MANY connections are on their way to the workers, in several letters for each. */
static void send_many(void)
{
	for (size_t i = 0; i < MANY; i++)
		flow_open(&lab, &many[i]);
	lab_freeze(&lab);
	lab_leave(&lab);
	lab_start(&lab);
	fwd_thaw_route(lab.route);
	ck_assert_uint_eq(fwd_thaw_waiting(lab.forwarder), 0);
}

static void expect_many_resets(void)
{
	for (size_t i = 0; i < MANY; i++) {
		flow_expect_reset(&lab, &many[i], FROM_GUEST);
		flow_expect_reset(&lab, &many[i], FROM_CLIENT);
		flow_close(&many[i]);
	}
}

START_TEST(a_route_that_ends_ends_those_that_are_on_their_way)
{
	bool closed = false;

	send_many();
	fwd_listener_close(lab.listener, true);
	fwd_route_close(lab.route, CLOSE_UNREGISTERED, 0, on_closed, &closed);
	while (!closed || !lab.thawed)
		lab_turn(&lab);
	expect_many_resets();
	ck_assert_uint_eq(lab_ended(&lab, CLOSE_UNREGISTERED), MANY);
	ck_assert_uint_eq(lab.result.taken + lab.result.lost, MANY);
}
END_TEST

START_TEST(the_end_of_a_run_resets_those_that_are_on_their_way)
{
	send_many();
	fwd_free(lab.forwarder);
	expect_many_resets();
	ck_assert(!lab.thawed);
	lab_start(&lab);
	lab_thaw(&lab);
}
END_TEST

START_TEST(the_next_handover_has_those_that_were_on_their_way)
{
	send_many();
	lab_hand_over(&lab);
	lab_assert_taken(&lab, MANY, 0);
	for (size_t i = 0; i < MANY; i++) {
		flow_expect_whole(&lab, &many[i]);
		flow_close(&many[i]);
	}
}
END_TEST

enum wrong { WRONG_MISSING, WRONG_FILE, WRONG_SOCKET, WRONG_PIPE, WRONG_SWAPPED, WRONG_KINDS };

static void replace(int *fd, int with)
{
	close(*fd);
	*fd = with;
}

START_TEST(a_wrong_descriptor_costs_its_connection_alone)
{
	struct flow second;
	int pair[2];

	flow_open(&lab, &second);
	flow_open(&lab, &flow);
	lab_freeze(&lab);
	ck_assert_uint_eq(lab.kept.count, 4);
	switch ((enum wrong)_i) {
	case WRONG_MISSING:
		replace(&lab.kept.fds[1], -1);
		break;
	case WRONG_FILE:
		replace(&lab.kept.fds[1], open("/dev/null", O_RDWR));
		break;
	case WRONG_SOCKET:
		replace(&lab.kept.fds[1], dup(lab.listening));
		break;
	case WRONG_PIPE:
		ck_assert_int_eq(pipe(pair), 0);
		replace(&lab.kept.fds[1], pair[0]);
		close(pair[1]);
		break;
	case WRONG_SWAPPED:
		pair[0] = lab.kept.fds[0];
		lab.kept.fds[0] = lab.kept.fds[1];
		lab.kept.fds[1] = pair[0];
		break;
	case WRONG_KINDS:
		break;
	}
	lab_leave(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 1, 1);
	lab_expect_end(&lab, CLOSE_HANDOVER_LOST);
	ck_assert_uint_eq(lab_count(&lab), 1);
	flow_close(&second);
}
END_TEST

START_TEST(a_pipe_with_other_bytes_than_described_costs_its_connection)
{
	char byte;

	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, FROM_CLIENT, 64 * 1024);
	lab_freeze(&lab);
	ck_assert_uint_eq(lab.kept.count, 4);
	for (size_t i = 0; i < 4; i++) {
		if ((fcntl(lab.kept.fds[i], F_GETFL) & O_ACCMODE) == O_RDONLY)
			ck_assert_int_eq(read(lab.kept.fds[i], &byte, 1), 1);
	}
	lab_leave(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 0, 1);
	lab_expect_end(&lab, CLOSE_HANDOVER_LOST);
}
END_TEST

START_TEST(a_client_that_resets_between_two_runs_is_noticed)
{
	struct linger linger = { .l_onoff = 1 };

	flow_open(&lab, &flow);
	lab_freeze(&lab);
	lab_leave(&lab);
	setsockopt(flow.client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(flow.client);
	flow.client = -1;
	lab_start(&lab);
	lab_thaw(&lab);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	lab_expect_end(&lab, CLOSE_CLIENT_RESET);
}
END_TEST

/* ---- Where it goes wrong, or nobody comes ---- */

START_TEST(an_undone_freeze_goes_on_as_if_nothing_had_been)
{
	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, FROM_CLIENT, 64 * 1024);
	lab_freeze(&lab);
	flow_send(&flow, FROM_GUEST, SOME, SOME);
	lab_drop_kept(&lab);
	fwd_freeze_undo(lab.forwarder);
	flow_drain(&lab, &flow, FROM_CLIENT);
	flow_drain(&lab, &flow, FROM_GUEST);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(what_nobody_takes_over_ends_by_reset)
{
	flow_open(&lab, &flow);
	flow_pass(&lab, &flow, FROM_GUEST, SOME);
	lab_freeze(&lab);
	lab_leave(&lab);
	ck_assert_int_eq(flow_take(&flow, FROM_GUEST), 0);
	lab_drop_kept(&lab);
	lab_start(&lab);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 0, 0);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
}
END_TEST

START_TEST(the_end_of_a_run_that_stands_still_resets)
{
	flow_open(&lab, &flow);
	lab_freeze(&lab);
	lab_drop_kept(&lab);
	fwd_free(lab.forwarder);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_start(&lab);
	lab_thaw(&lab);
}
END_TEST

START_TEST(those_that_still_wait_are_part_of_the_next_handover)
{
	struct fwd_connection_info before, after;

	flow_open(&lab, &flow);
	flow_fill(&lab, &flow, FROM_CLIENT, 64 * 1024);
	before = lab_listed(&lab, 0);
	for (int i = 0; i < 3; i++) {
		lab_freeze(&lab);
		ck_assert_uint_eq(lab.kept.connections, 1);
		lab_leave(&lab);
		lab_start(&lab);
	}
	ck_assert_uint_eq(fwd_thaw_waiting(lab.forwarder), 1);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 1, 0);
	after = lab_listed(&lab, 0);
	ck_assert_uint_eq(after.id, before.id);
	ck_assert_uint_ge(after.age_ms, before.age_ms);
	flow_drain(&lab, &flow, FROM_CLIENT);
	lab_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_record_that_cannot_be_read_ends_all_and_the_run_goes_on)
{
	flow_open(&lab, &flow);
	lab_freeze(&lab);
	lab.kept.record[0] ^= 1;
	lab_leave(&lab);
	lab_start(&lab);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	flow_close(&flow);
	flow_open(&lab, &flow);
	lab_expect_whole(&lab, &flow);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/handover_proof");
	TCase *proofs = tcase_create("proofs"), *ends = tcase_create("ends");

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root may enter namespaces\n");
		return 77;
	}
	tcase_add_checked_fixture(proofs, setup, teardown);
	tcase_set_timeout(proofs, 60);
	tcase_add_loop_test(proofs, a_carrier_that_was_lost_meanwhile_ends_those_with_a_guest, 0, 3);
	tcase_add_loop_test(proofs, another_slot_or_namespace_ends_all, 0, 4);
	tcase_add_test(proofs, an_unregistered_sandbox_ends_all);
	tcase_add_test(proofs, a_route_that_ends_ends_those_that_wait_for_it);
	tcase_add_test(proofs, a_route_that_ends_ends_those_that_are_on_their_way);
	tcase_add_loop_test(proofs, a_wrong_descriptor_costs_its_connection_alone, 0, WRONG_KINDS);
	tcase_add_test(proofs, a_pipe_with_other_bytes_than_described_costs_its_connection);
	tcase_add_test(proofs, a_client_that_resets_between_two_runs_is_noticed);
	suite_add_tcase(suite, proofs);

	tcase_add_checked_fixture(ends, setup, teardown);
	tcase_set_timeout(ends, 60);
	tcase_add_test(ends, an_undone_freeze_goes_on_as_if_nothing_had_been);
	tcase_add_test(ends, what_nobody_takes_over_ends_by_reset);
	tcase_add_test(ends, the_end_of_a_run_that_stands_still_resets);
	tcase_add_test(ends, the_end_of_a_run_resets_those_that_are_on_their_way);
	tcase_add_test(ends, the_next_handover_has_those_that_were_on_their_way);
	tcase_add_test(ends, those_that_still_wait_are_part_of_the_next_handover);
	tcase_add_test(ends, a_record_that_cannot_be_read_ends_all_and_the_run_goes_on);
	suite_add_tcase(suite, ends);
	return run_suite(suite);
}
