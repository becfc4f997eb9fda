/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that came through the door, at the end of a run and over a restart. */
#include "base/clock.h"
#include "forwarder/frozen.h"
#include "forwarder/handover_record.h"
#include "unit/forwarder/door_lab.h"
#include "unit/run_suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWD = 100, CLOSED_PORT = 1 };

/* With sanitizers it shows whether anybody goes to a worker that has ended. */
START_TEST(who_says_whom_he_wants_at_the_end_is_let_go)
{
	struct flow flows[CROWD];
	char header[HEADER_SIZE], id[64];
	size_t size;

	snprintf(id, sizeof(id), "h/sb-%d/%u/", 1 + _i % 2, guest_port());
	size = write_header(id, header);
	for (size_t i = 0; i < CROWD; i++) {
		flows[i] = (struct flow){ .client = knock(), .guest = -1 };
		ck_assert_int_eq(send(flows[i].client, header, size - 1, MSG_NOSIGNAL), (ssize_t)size - 1);
		lab_turn(&lab);
	}
	for (size_t i = 0; i < CROWD; i++)
		ck_assert_int_eq(send(flows[i].client, header + size - 1, 1, MSG_NOSIGNAL), 1);
	lab_close(&lab);
	for (size_t i = 0; i < CROWD; i++)
		flow_close(&flows[i]);
	lab_open_with_door(&lab, door);
}
END_TEST

START_TEST(it_goes_on_after_a_restart)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	if (_i)
		flow_fill(&lab, &flow, FROM_GUEST, 32 * 1024);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_uint_eq(stats().open, 1);
	flow_drain(&lab, &flow, FROM_GUEST);
	ck_assert_int_eq(strncmp(lab_listed(&lab, 0).endpoint, "door:", 5), 0);
	ck_assert_str_eq(lab_listed(&lab, 0).client, "192.0.2.7:5555");
	flow_expect_whole(&lab, &flow);
	lab_expect_end(&lab, CLOSE_DONE);
}
END_TEST

START_TEST(one_that_is_held_is_held_on)
{
	lab.state.up = false;
	fwd_route_set_up(lab.route, false);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "held");
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	ck_assert_uint_eq(stats().held, 1);
	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	expect_reply(&flow, "Weft-Refused: starting\r\n");
}
END_TEST

/* What the record of the former run says. */
static uint64_t written_deadline_ms(void)
{
	int fds[64];
	struct frozen_list routes = STAILQ_HEAD_INITIALIZER(routes);
	struct record_finding finding;
	uint64_t deadline_ms;

	ck_assert_uint_le(lab.kept.count, 64);
	memcpy(fds, lab.kept.fds, lab.kept.count * sizeof(fds[0]));
	fwd_record_read(lab.kept.record, lab.kept.size, fds, lab.kept.count, &routes, &finding);
	ck_assert_ptr_nonnull(STAILQ_FIRST(&routes));
	ck_assert_uint_eq(STAILQ_FIRST(&routes)->count, 1);
	deadline_ms = STAILQ_FIRST(&routes)->items[0].deadline_ms;
	fwd_frozen_route_free(STAILQ_FIRST(&routes));
	return deadline_ms;
}

/* Its clock stands in a pause if it may have the guest woken, over a restart too. */
START_TEST(one_that_waits_for_a_sleeper_loses_no_time_by_that)
{
	const struct fwd_wake wake = { .any = true, .timeout_ms = 3600 * 1000 };
	uint64_t until_ms;

	lab.config->door.hold_ms = HOLD_MS;
	fwd_reconfigure(lab.forwarder);
	if (_i)
		ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	else
		lab.config->door.hold_ms = 3600 * 1000;
	fwd_reconfigure(lab.forwarder);
	fwd_route_pause(lab.route);
	ask(&flow, "sb-1");
	lab_wait_for_state(&lab, "paused");
	until_ms = clock_now_ms() + 2 * HOLD_MS;
	while (clock_now_ms() < until_ms)
		lab_turn(&lab);
	lab_freeze(&lab);
	lab_leave(&lab);
	if (_i)
		ck_assert_uint_ge(written_deadline_ms(), HOLD_MS);
	else
		ck_assert_uint_lt(written_deadline_ms(), 3600 * 1000 - HOLD_MS);
	lab.state.paused = true;
	lab_start(&lab);
	if (_i)
		ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	lab_thaw(&lab);
	lab_assert_taken(&lab, 1, 0);
	fwd_route_resume(lab.route, true);
	flow_accept(&lab, &flow);
}
END_TEST

START_TEST(its_token_goes_along)
{
	struct door_policy policy = policy_with_token(false);

	fwd_route_set_door(lab.route, &policy);
	ask_port(&flow, 'h', "sb-1", guest_port(), right);
	flow_accept(&lab, &flow);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	fwd_route_set_door(lab.route, &policy);
	flow_pass(&lab, &flow, FROM_GUEST, SOME);
	memset(policy.token_sha256, 1, sizeof(policy.token_sha256));
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_TOKEN);
}
END_TEST

/* The next run has another policy from the start, before any connection comes back. */
START_TEST(a_change_between_two_runs_is_met)
{
	struct door_policy policy = policy_with_token(false);

	open_one(&flow);
	lab_wait_for_state(&lab, "open");
	ask_port(&other, 'h', "sb-1", CLOSED_PORT, "");
	while (!stats().held)
		lab_turn(&lab);
	lab_freeze(&lab);
	lab_leave(&lab);
	lab_start(&lab);
	fwd_route_set_door(lab.route, &policy);
	lab_thaw(&lab);
	expect_reply(&other, "Weft-Refused: token-missing\r\n");
	while (lab_ended(&lab, CLOSE_DOOR_TOKEN) < 2)
		lab_turn(&lab);
	flow_expect_reset(&lab, &flow, FROM_CLIENT);
	ck_assert_uint_eq(stats().open, 0);
	ck_assert_uint_eq(stats().held, 0);
}
END_TEST

START_TEST(a_handover_that_is_undone_loses_nobody)
{
	static const char hello[] = "PRI * HTTP/2.0\r\n\r\n";
	char header[HEADER_SIZE], id[64];
	size_t size;

	snprintf(id, sizeof(id), "h/sb-1/%u/", guest_port());
	size = write_header(id, header);
	flow = (struct flow){ .client = knock(), .guest = -1 };
	ck_assert_int_eq(send(flow.client, header, 20, MSG_NOSIGNAL), 20);
	ask_port(&other, 'g', "sb-2", 80, "");
	while (!stats().refused[DOOR_REFUSAL_NOT_FOUND])
		lab_turn(&lab);
	lab_freeze(&lab);
	ck_assert_int_eq(send(flow.client, header + 20, size - 20, MSG_NOSIGNAL), (ssize_t)size - 20);
	ck_assert_int_gt(send(other.client, hello, strlen(hello), MSG_NOSIGNAL), 0);
	fwd_freeze_undo(lab.forwarder);
	flow_accept(&lab, &flow);
	flow_expect_whole(&lab, &flow);
	lab_expect_end(&lab, CLOSE_DONE);
	ck_assert_uint_eq(stats().broken, 0);
}
END_TEST

/* A socket of ADDR that listens beside others at its port. */
static int listen_beside(const struct addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	ck_assert_int_eq(bind(fd, &addr->any, addr_length(addr)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

/* The published port is the guest's own, at all addresses, and the guest listens at one: both on one host. */
static void publish_same_port(void)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);

	fwd_listener_close(lab.listener, false);
	close(lab.guest_listening);
	close(lab.listening);
	lab.guest_listening = listen_beside(&addr);
	addr = addr_from_ipv4(INADDR_ANY, guest_port());
	lab.listening = listen_beside(&addr);
	lab_listen(&lab);
}

START_TEST(a_published_port_that_is_gone_is_not_taken_for_the_door)
{
	struct door_policy policy = { .port_count = 1 };
	struct addr published;

	lab.config->daemon.workers = 1;
	lab_hand_over(&lab);
	publish_same_port();
	published = addr_from_ipv4(0x7f000002, guest_port());
	flow = (struct flow){ .client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .guest = -1 };
	ck_assert_int_eq(connect(flow.client, &published.any, addr_length(&published)), 0);
	fcntl(flow.client, F_SETFL, O_NONBLOCK);
	flow_accept(&lab, &flow);
	open_one(&other);
	lab.no_listener = true;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 2, 0);
	policy.ports[0] = (struct door_port){ .port = guest_port(), .access = DOOR_ACCESS_CLOSED };
	fwd_route_set_door(lab.route, &policy);
	lab_expect_end(&lab, CLOSE_DOOR_CLOSED);
	flow_expect_whole(&lab, &flow);
}

int main(void)
{
	Suite *suite = suite_create("forwarder/door_restart");
	TCase *restart = door_add_case(suite, "restart");

	if (geteuid() != 0) {
		fputs("needs root: network namespaces\n", stderr);
		return 77;
	}
	tcase_add_loop_test(restart, who_says_whom_he_wants_at_the_end_is_let_go, 0, 4);
	tcase_add_loop_test(restart, it_goes_on_after_a_restart, 0, 2);
	tcase_add_test(restart, one_that_is_held_is_held_on);
	tcase_add_loop_test(restart, one_that_waits_for_a_sleeper_loses_no_time_by_that, 0, 2);
	tcase_add_test(restart, its_token_goes_along);
	tcase_add_test(restart, a_change_between_two_runs_is_met);
	tcase_add_test(restart, a_handover_that_is_undone_loses_nobody);
	tcase_add_test(restart, a_published_port_that_is_gone_is_not_taken_for_the_door);
	return run_suite(suite);
}
