/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that come through the door, through workers. */
#include "unit/forwarder/door_lab.h"
#include "unit/run_suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UPLOAD = 8 * 1024 * 1024, CROWD = 300, FEW_DESCRIPTORS = 1024, LEFT = 100 };

/* ---- Ways in ---- */

START_TEST(a_client_reaches_the_sandbox_that_it_names)
{
	static const char *const names[] = { "sb-1", "blue" };
	struct fwd_connection_info info;
	char endpoint[32];

	fwd_route_set_name(lab.route, "blue");
	ask(&flow, names[_i]);
	flow_accept(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_pass(&lab, &flow, FROM_GUEST, 2 * SOME);
	info = lab_listed(&lab, 0);
	snprintf(endpoint, sizeof(endpoint), "door:%u", guest_port());
	ck_assert_str_eq(info.endpoint, endpoint);
	ck_assert_str_eq(info.client, "192.0.2.7:5555");
	ck_assert_str_eq(info.state, "open");
	ck_assert_uint_eq(stats().open, 1);
	ck_assert_uint_eq(stats().held, 0);
	ck_assert_uint_eq(stats().served, 1);
	flow_expect_whole(&lab, &flow);
	lab_expect_end(&lab, CLOSE_DONE);
	ck_assert_uint_eq(stats().open, 0);
}
END_TEST

START_TEST(a_header_may_come_byte_by_byte)
{
	char header[HEADER_SIZE], id[64];
	size_t size;

	snprintf(id, sizeof(id), "h/sb-1/%u/", guest_port());
	size = write_header(id, header);
	flow = (struct flow){ .client = knock(), .guest = -1 };
	for (size_t i = 0; i < size; i++) {
		ck_assert_int_eq(send(flow.client, header + i, 1, MSG_NOSIGNAL), 1);
		for (int turn = 0; turn < 3; turn++)
			lab_turn(&lab);
	}
	flow_accept(&lab, &flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(much_goes_both_ways)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, MUCH);
	flow_pass(&lab, &flow, FROM_GUEST, MUCH);
	flow_expect_whole(&lab, &flow);
}
END_TEST

START_TEST(a_former_name_leads_nowhere)
{
	fwd_route_set_name(lab.route, "blue");
	fwd_route_set_name(lab.route, "green");
	ask(&flow, "blue");
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
	ask(&other, "green");
	flow_accept(&lab, &other);
	flow_expect_whole(&lab, &other);
}
END_TEST

/* ---- Refusals ---- */

START_TEST(an_unknown_sandbox_is_not_found)
{
	ask(&flow, "sb-2");
	expect_reply(&flow, "HTTP/1.1 502 ");
	ask(&flow, "sb-2");
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
	ck_assert_uint_eq(stats().refused[DOOR_REFUSAL_NOT_FOUND], 2);
	/* A health check is no client. */
	ask(&flow, BASE_NAME_OF_CHECKS);
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
	ck_assert_uint_eq(stats().refused[DOOR_REFUSAL_NOT_FOUND], 2);
	ask_port(&flow, 't', "sb-2", 80, "");
	expect_reply(&flow, "");
}
END_TEST

START_TEST(a_reply_reaches_who_is_still_sending)
{
	static char chunk[64 * 1024];
	size_t sent = 0;

	ask(&flow, "sb-2");
	while (sent < UPLOAD) {
		ssize_t size = send(flow.client, chunk, sizeof(chunk), MSG_NOSIGNAL);

		ck_assert_msg(size > 0 || errno == EAGAIN, "%s", strerror(errno));
		if (size > 0)
			sent += (size_t)size;
		else
			lab_turn(&lab);
	}
	expect_reply(&flow, "Weft-Refused: not-found\r\n");
}
END_TEST

START_TEST(a_port_that_refuses_is_closed)
{
	int fd;

	lab.config->forwarder.refused_grace_ms = 20;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_ready(lab.route, true);
	ask_port(&flow, 'h', "sb-1", closed_port(&fd), "");
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
	lab_expect_end(&lab, CLOSE_GUEST_REFUSED);
	close(fd);
}
END_TEST

/* Nobody says of this sandbox when it is ready. */
START_TEST(one_that_refuses_to_the_end_has_started)
{
	int fd;

	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	ask_port(&flow, 'h', "sb-1", closed_port(&fd), "");
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
	close(fd);
}
END_TEST

START_TEST(one_that_never_starts_is_told_so)
{
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_up(lab.route, false);
	if (_i)
		fwd_route_pause(lab.route);
	ask(&flow, "sb-1");
	expect_reply(&flow, _i ? "Weft-Refused: paused\r\n" : "Weft-Refused: starting\r\n");
	lab_expect_end(&lab, CLOSE_CONNECT_DEADLINE);
}
END_TEST

START_TEST(beyond_the_limit_the_number_is_told)
{
	lab.state.limits.connections = 1;
	fwd_route_set_limits(lab.route, &lab.state.limits);
	open_one(&flow);
	ask(&other, "sb-1");
	expect_reply(&other, "Weft-Limit: 1\r\n");
	lab_expect_end(&lab, CLOSE_LIMIT);
	ck_assert_uint_eq(stats().refused[DOOR_REFUSAL_LIMIT], 1);
}
END_TEST

START_TEST(what_is_no_header_is_closed_without_a_word)
{
	static const char *const bytes[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n", "" };
	char byte;

	flow = (struct flow){ .client = knock(), .guest = -1 };
	if (bytes[_i][0])
		ck_assert_int_gt(send(flow.client, bytes[_i], strlen(bytes[_i]), MSG_NOSIGNAL), 0);
	while (recv(flow.client, &byte, 1, 0) < 0 && errno == EAGAIN)
		lab_turn(&lab);
	ck_assert_uint_eq(stats().broken, 1);
	ck_assert_uint_eq(lab_count(&lab), 0);
}
END_TEST

/* ---- A shortage ---- */

/* So that LEFT descriptors are left to the clients of sandboxes, and a loan. */
static void leave_descriptors(uint64_t left)
{
	struct rlimit limit;
	struct fwd_stats all;
	size_t fixed = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = FEW_DESCRIPTORS;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	do {
		fwd_set_descriptors(lab.forwarder, fixed++);
		fwd_stats(lab.forwarder, &all);
	} while (all.usable_free > left);
}

/* COUNT clients with no whole header, or who are refused and never close. */
static void crowd_the_door(int *fds, size_t count, bool refused)
{
	char header[HEADER_SIZE];
	size_t size = write_header("h/sb-2/80/", header);

	for (size_t i = 0; i < count; i++) {
		fds[i] = knock();
		if (!refused)
			size = 1;
		ck_assert_int_eq(send(fds[i], header, size, MSG_NOSIGNAL), (ssize_t)size);
		lab_turn(&lab);
	}
}

static uint64_t descriptors_left(void)
{
	struct fwd_stats all;

	fwd_stats(lab.forwarder, &all);
	return all.usable_free;
}

START_TEST(a_crowd_at_the_door_leaves_the_sandboxes_theirs)
{
	int fds[CROWD];

	leave_descriptors(LEFT);
	crowd_the_door(fds, CROWD, _i);
	ck_assert_uint_ge(descriptors_left(), LEFT / 4);
	open_one(&flow);
	flow_expect_whole(&lab, &flow);
	for (size_t i = 0; i < CROWD; i++)
		close(fds[i]);
	while (descriptors_left() < LEFT)
		lab_turn(&lab);
}
END_TEST

/* ---- The policy ---- */

START_TEST(a_token_is_wanted_where_the_policy_says_so)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_door(lab.route, &policy);
	ask_port(&flow, 'h', "sb-1", guest_port(), "");
	expect_reply(&flow, "Weft-Refused: token-missing\r\n");
	ask_port(&flow, 'h', "sb-1", guest_port(), wrong);
	expect_reply(&flow, "Weft-Refused: token-invalid\r\n");
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &flow);
	flow_expect_whole(&lab, &flow);
	ck_assert_uint_eq(lab_ended(&lab, CLOSE_DOOR_TOKEN), 2);
}
END_TEST

START_TEST(a_change_ends_what_it_would_refuse_and_no_more)
{
	struct door_policy policy = policy_with_token(false);

	ask_port(&flow, 'h', "sb-1", guest_port(), "");
	flow_accept(&lab, &flow);
	ask_port(&other, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &other);
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_TOKEN);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	flow_pass(&lab, &other, FROM_CLIENT, SOME);
	policy.ports[0] = (struct door_port){ .port = guest_port(), .access = DOOR_ACCESS_CLOSED };
	policy.port_count = 1;
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_CLOSED);
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	expect_reply(&flow, "Weft-Refused: port-closed\r\n");
}
END_TEST

START_TEST(a_change_answers_who_is_held)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	ck_assert_uint_eq(stats().held, 1);
	fwd_route_set_door(lab.route, &policy);
	expect_reply(&flow, "Weft-Refused: token-missing\r\n");
	ck_assert_uint_eq(stats().held, 0);
}
END_TEST

/* ---- Waiting ---- */

START_TEST(who_is_held_is_served_once_the_guest_is_there)
{
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	fwd_route_set_up(lab.route, true);
	flow_accept(&lab, &flow);
	flow_expect_whole(&lab, &flow);
}
END_TEST

/* Its bytes are still there, which a TCP client might want answered; nobody reads the answer of a unix socket that is closed. */
START_TEST(who_leaves_while_held_is_held_no_longer)
{
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	ck_assert_int_eq(flow_send(&flow, FROM_CLIENT, SOME, SOME), SOME);
	close(flow.client);
	flow.client = -1;
	lab_expect_end(&lab, CLOSE_CLIENT_RESET);
}
END_TEST

START_TEST(a_shorter_hold_is_that_of_who_waits_too)
{
	lab.config->door.hold_ms = 60 * 60 * 1000;
	fwd_reconfigure(lab.forwarder);
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	expect_reply(&flow, "Weft-Refused: starting\r\n");
}
END_TEST

static void on_closed(void *context)
{
	*(bool *)context = true;
}

START_TEST(with_its_sandbox_it_ends)
{
	bool closed = false;
	int fd;

	open_one(&flow);
	/* The guest's kernel has accepted, which the worker may not know yet: then it would dial anew. */
	lab_wait_for_state(&lab, "open");
	fwd_route_set_up(lab.route, false);
	fwd_route_set_up(lab.route, true);
	lab_expect_end(&lab, CLOSE_CARRIER_LOST);
	ask_port(&other, 'h', "sb-1", closed_port(&fd), "");
	lab_wait_for_state(&lab, "held");
	fwd_route_close(lab.route, CLOSE_UNREGISTERED, 0, on_closed, &closed);
	expect_reply(&other, "Weft-Refused: not-found\r\n");
	while (!closed)
		lab_turn(&lab);
	ask(&other, "sb-1");
	expect_reply(&other, "Weft-Refused: not-found\r\n");
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/door");
	TCase *ways = door_add_case(suite, "ways"), *refusals = door_add_case(suite, "refusals"),
	      *policy = door_add_case(suite, "policy"), *waiting = door_add_case(suite, "waiting");

	if (geteuid() != 0) {
		fputs("needs root: network namespaces\n", stderr);
		return 77;
	}
	tcase_add_loop_test(ways, a_client_reaches_the_sandbox_that_it_names, 0, 2);
	tcase_add_test(ways, a_header_may_come_byte_by_byte);
	tcase_add_test(ways, much_goes_both_ways);
	tcase_add_test(ways, a_former_name_leads_nowhere);
	tcase_add_test(refusals, an_unknown_sandbox_is_not_found);
	tcase_add_test(refusals, a_reply_reaches_who_is_still_sending);
	tcase_add_test(refusals, a_port_that_refuses_is_closed);
	tcase_add_test(refusals, one_that_refuses_to_the_end_has_started);
	tcase_add_loop_test(refusals, one_that_never_starts_is_told_so, 0, 2);
	tcase_add_test(refusals, beyond_the_limit_the_number_is_told);
	tcase_add_loop_test(refusals, what_is_no_header_is_closed_without_a_word, 0, 3);
	tcase_add_loop_test(refusals, a_crowd_at_the_door_leaves_the_sandboxes_theirs, 0, 2);
	tcase_add_test(policy, a_token_is_wanted_where_the_policy_says_so);
	tcase_add_test(policy, a_change_ends_what_it_would_refuse_and_no_more);
	tcase_add_test(policy, a_change_answers_who_is_held);
	tcase_add_test(waiting, who_is_held_is_served_once_the_guest_is_there);
	tcase_add_test(waiting, who_leaves_while_held_is_held_no_longer);
	tcase_add_test(waiting, a_shorter_hold_is_that_of_who_waits_too);
	tcase_add_test(waiting, with_its_sandbox_it_ends);
	return run_suite(suite);
}
