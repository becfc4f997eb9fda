/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that ask for services of the host, through workers and over restarts, in a network of their own. The redirection is the
 * kernel's; a guest is a socket bound to its address.
 */
#include "config/config.h"
#include "unit/forwarder/handover_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GUEST_IP = 0x0a0b0007, STRANGER_IP = 0x0a0b0008, SOME = 3000, MUCH = 900 * 1000, HTTP = 80, NOTHING = 81 };

static struct handover_lab lab;
static struct flow flow, other;
static struct fwd_service services[2];
static char folder[] = "/tmp/weft-services-XXXXXX";
static int listening = -1; /* the service; -1: it is away */

static void run(const char *command)
{
	if (system(command) != 0)
		ck_abort_msg("%s", command);
}

static void serve(void)
{
	const struct fwd_target *target = &services[0].target;

	listening = socket(target->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listening, 0);
	unlink(target->to.path.sun_path);
	ck_assert_int_eq(bind(listening, &target->to.any, fwd_target_length(target)), 0);
	ck_assert_int_eq(listen(listening, 16), 0);
}

static void setup(void)
{
	char path[64];

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	run("ip link set lo up && ip addr add 10.11.0.7/32 dev lo && ip addr add 10.11.0.8/32 dev lo && "
	    "ip addr add 192.0.2.1/32 dev lo");
	run("nft 'table ip t { chain c { type nat hook output priority -100; "
	    "ip daddr 192.0.2.1 tcp dport { 80, 81 } redirect to :5382; }; }'");
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	services[0] =
	    (struct fwd_service){ .address = addr_from_ipv4(0xc0000201, HTTP), .target = fwd_target_path(path, false) };
	lab_open_with(&lab, services, 1, GUEST_IP);
	flow = other = (struct flow){ .client = -1, .guest = -1 };
	serve();
}

static void teardown(void)
{
	flow_close(&flow);
	flow_close(&other);
	lab_close(&lab);
	if (listening >= 0)
		close(listening);
	unlink(services[0].target.to.path.sun_path);
	rmdir(folder);
}

/* A guest at IP connects to PORT of the services' address. */
static void ask_from(struct flow *asking, uint32_t ip, uint16_t port)
{
	struct addr from = addr_from_ipv4(ip, 0), to = addr_from_ipv4(0xc0000201, port);
	static unsigned salt;

	*asking = (struct flow){ .guest = -1, .salt = salt++ };
	asking->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(asking->client, 0);
	ck_assert_int_eq(bind(asking->client, &from.any, addr_length(&from)), 0);
	ck_assert_int_eq(connect(asking->client, &to.any, addr_length(&to)), 0);
	fcntl(asking->client, F_SETFL, O_NONBLOCK);
}

static void ask(struct flow *asking)
{
	ask_from(asking, GUEST_IP, HTTP);
}

static void answer(struct flow *asking)
{
	while ((asking->guest = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		ck_assert_int_eq(errno, EAGAIN);
		lab_turn(&lab);
	}
}

static void open_one(struct flow *asking)
{
	ask(asking);
	answer(asking);
}

static void wait_for_end(enum fwd_close_reason reason)
{
	while (!lab_ended(&lab, reason))
		lab_turn(&lab);
	ck_assert_uint_eq(lab_count(&lab), 0);
}

/* ---- Whose it is ---- */

START_TEST(what_a_guest_asks_is_its_sandboxs_connection_out)
{
	struct fwd_connection_info info;
	struct fwd_route_stats stats;

	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	flow_pass(&lab, &flow, FROM_GUEST, 2 * SOME);
	info = lab_listed(&lab, 0);
	ck_assert_int_eq(info.direction, DIRECTION_OUT);
	ck_assert_str_eq(info.endpoint, "192.0.2.1:80");
	ck_assert_int_eq(strncmp(info.client, "10.11.0.7:", 10), 0);
	ck_assert_str_eq(info.state, "open");
	ck_assert_uint_eq(info.bytes_from_guest, SOME);
	ck_assert_uint_eq(info.bytes_to_guest, 2 * SOME);
	fwd_route_stats(lab.route, &stats);
	ck_assert_uint_eq(stats.bytes_from_guest, SOME);
	ck_assert_uint_eq(stats.bytes_to_guest, 2 * SOME);
	flow_expect_whole(&lab, &flow);
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(much_goes_both_ways)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, MUCH);
	flow_pass(&lab, &flow, FROM_GUEST, MUCH);
	flow_expect_whole(&lab, &flow);
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(each_worker_serves_any_guest)
{
	struct flow flows[12];

	for (size_t i = 0; i < 12; i++)
		open_one(&flows[i]);
	ck_assert_uint_eq(lab_count(&lab), 12);
	for (size_t i = 0; i < 12; i++) {
		flow_expect_whole(&lab, &flows[i]);
		flow_close(&flows[i]);
	}
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(who_is_no_guest_is_reset)
{
	ask_from(&flow, STRANGER_IP, HTTP);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	wait_for_end(CLOSE_NO_SANDBOX);
}
END_TEST

START_TEST(who_asks_for_nothing_that_there_is_is_reset)
{
	ask_from(&flow, GUEST_IP, NOTHING);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	wait_for_end(CLOSE_ERROR);
}
END_TEST

START_TEST(what_a_guest_opens_has_a_limit_of_its_own)
{
	struct fwd_stats stats;
	struct flow in = { .client = -1, .guest = -1 };

	lab.config->egress.connections = 1;
	lab.state.limits.connections = 1;
	fwd_route_set_limits(lab.route, &lab.state.limits);
	lab_turn(&lab);
	open_one(&flow);
	ask(&other);
	flow_expect_reset(&lab, &other, FROM_GUEST);
	/* It takes no place of a client's, and no client's is taken by it. */
	flow_open(&lab, &in);
	flow_pass(&lab, &in, FROM_CLIENT, SOME);
	fwd_stats(lab.forwarder, &stats);
	ck_assert_uint_eq(stats.connections_open, 2);
	ck_assert_uint_eq(stats.ended[CLOSE_LIMIT], 1);
	flow_close(&in);
}
END_TEST

/* The kernel took the connection before its rules shut, and it is accepted behind the change. */
START_TEST(what_an_isolated_guest_asked_in_time_comes_too_late)
{
	fwd_route_set_isolated(lab.route, true);
	lab_turn(&lab);
	ask(&flow);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	wait_for_end(CLOSE_UNREGISTERED);
	fwd_route_set_isolated(lab.route, false);
	lab_turn(&lab);
	open_one(&other);
	flow_expect_whole(&lab, &other);
}
END_TEST

START_TEST(a_guest_of_a_service_that_stays_away_is_reset)
{
	close(listening);
	listening = -1;
	lab.config->forwarder.refused_grace_ms = 20;
	fwd_reconfigure(lab.forwarder);
	ask(&flow);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	wait_for_end(CLOSE_PROXY_REFUSED);
}
END_TEST

/* ---- The end of its sandbox ---- */

static void on_closed(void *context)
{
	*(bool *)context = true;
}

START_TEST(with_its_sandbox_it_ends_and_none_comes_after_it)
{
	bool closed = false;

	open_one(&flow);
	fwd_route_close(lab.route, CLOSE_UNREGISTERED, 0, on_closed, &closed);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	ask(&other);
	flow_expect_reset(&lab, &other, FROM_GUEST);
	while (!closed)
		lab_turn(&lab);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
	lab_expect_end(&lab, CLOSE_NO_SANDBOX);
}
END_TEST

/* ---- Over a restart ---- */

START_TEST(it_goes_on_after_a_restart)
{
	open_one(&flow);
	flow_pass(&lab, &flow, FROM_CLIENT, SOME);
	if (_i)
		flow_fill(&lab, &flow, FROM_GUEST, 32 * 1024);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_drain(&lab, &flow, FROM_GUEST);
	ck_assert_int_eq(lab_listed(&lab, 0).direction, DIRECTION_OUT);
	flow_expect_whole(&lab, &flow);
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(half_closed_it_goes_on_too)
{
	open_one(&flow);
	shutdown(flow.client, SHUT_WR);
	flow_expect_end(&lab, &flow, FROM_CLIENT);
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	flow_pass(&lab, &flow, FROM_GUEST, SOME);
	shutdown(flow.guest, SHUT_WR);
	flow_expect_end(&lab, &flow, FROM_GUEST);
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(one_that_waits_for_its_service_waits_on)
{
	close(listening);
	listening = -1;
	ask(&flow);
	lab_wait_for_state(&lab, "held");
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 1, 0);
	serve();
	answer(&flow);
	flow_expect_whole(&lab, &flow);
	wait_for_end(CLOSE_DONE);
}
END_TEST

START_TEST(one_that_waits_for_what_is_no_service_any_more_ends)
{
	close(listening);
	listening = -1;
	ask(&flow);
	lab_wait_for_state(&lab, "held");
	lab.service_count = 0;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

START_TEST(one_that_is_open_ends_with_its_service)
{
	open_one(&flow);
	lab.service_count = 0;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_UNREGISTERED);
}
END_TEST

START_TEST(a_guest_that_went_meanwhile_ends_it_in_each_state)
{
	if (_i) {
		close(listening);
		listening = -1;
		ask(&flow);
		lab_wait_for_state(&lab, "held");
	} else {
		open_one(&flow);
	}
	lab.state.downs++;
	lab_hand_over(&lab);
	lab_assert_taken(&lab, 0, 1);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	lab_expect_end(&lab, CLOSE_CARRIER_LOST);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/services");
	TCase *whose = tcase_create("whose"), *restart = tcase_create("restart");

	if (geteuid() != 0) {
		fputs("needs root: network namespaces\n", stderr);
		return 77;
	}
	tcase_add_checked_fixture(whose, setup, teardown);
	tcase_set_timeout(whose, 60);
	tcase_add_test(whose, what_a_guest_asks_is_its_sandboxs_connection_out);
	tcase_add_test(whose, much_goes_both_ways);
	tcase_add_test(whose, each_worker_serves_any_guest);
	tcase_add_test(whose, who_is_no_guest_is_reset);
	tcase_add_test(whose, who_asks_for_nothing_that_there_is_is_reset);
	tcase_add_test(whose, what_a_guest_opens_has_a_limit_of_its_own);
	tcase_add_test(whose, what_an_isolated_guest_asked_in_time_comes_too_late);
	tcase_add_test(whose, a_guest_of_a_service_that_stays_away_is_reset);
	tcase_add_test(whose, with_its_sandbox_it_ends_and_none_comes_after_it);
	suite_add_tcase(suite, whose);

	tcase_add_checked_fixture(restart, setup, teardown);
	tcase_set_timeout(restart, 60);
	tcase_add_loop_test(restart, it_goes_on_after_a_restart, 0, 2);
	tcase_add_test(restart, half_closed_it_goes_on_too);
	tcase_add_test(restart, one_that_waits_for_its_service_waits_on);
	tcase_add_test(restart, one_that_waits_for_what_is_no_service_any_more_ends);
	tcase_add_test(restart, one_that_is_open_ends_with_its_service);
	tcase_add_loop_test(restart, a_guest_that_went_meanwhile_ends_it_in_each_state, 0, 2);
	suite_add_tcase(suite, restart);
	return run_suite(suite);
}
