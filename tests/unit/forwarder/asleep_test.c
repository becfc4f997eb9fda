/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients of a paused guest: whom main is told of, how long they are held, and that they go on when the guest is resumed. */
#include "base/clock.h"
#include "base/err.h"
#include "forwarder/route.h"
#include "unit/forwarder/handover_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG_MS = 3600 * 1000, SHORT_MS = 30, PROBES = 10, PROMPT_MS = 25, LATER_MS = 60, STILL = 40 };

static struct handover_lab lab;
static struct flow flow, other;
static unsigned asked; /* times */
static struct fwd_asking last;

static void on_asked(void *context, const struct fwd_asking *asking)
{
	ck_assert_ptr_eq(context, &lab);
	asked++;
	last = *asking;
}

static void setup(void)
{
	lab_open(&lab);
	flow = other = (struct flow){ .client = -1, .guest = -1 };
	asked = 0;
	fwd_route_on_asked(lab.route, on_asked, &lab);
}

static void teardown(void)
{
	flow_close(&flow);
	flow_close(&other);
	lab_close(&lab);
}

static uint16_t guest_port(void)
{
	struct addr addr = { 0 };
	socklen_t size = sizeof(addr);

	ck_assert_int_eq(getsockname(lab.guest_listening, &addr.any, &size), 0);
	return addr_port(&addr);
}

/* The guest is paused, and its TCP port PORT, or any with 0, wakes it. */
static void sleep_with(uint16_t port, unsigned timeout_ms)
{
	const struct fwd_wake_port listed = { .proto = PROTO_TCP, .port = port };
	const struct fwd_wake wake = {
		.any = !port, .ports = &listed, .port_count = port != 0, .timeout_ms = timeout_ms
	};

	ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	fwd_route_pause(lab.route);
}

static void until_asked(unsigned times)
{
	while (asked < times)
		lab_turn(&lab);
	ck_assert_uint_eq(asked, times);
}

static void turn_a_while(void)
{
	for (unsigned i = 0; i < STILL; i++)
		lab_turn(&lab);
}

/* ---- TCP ---- */

START_TEST(main_is_told_of_the_first_client_alone_and_it_goes_on_after_the_resume)
{
	sleep_with(_i ? guest_port() : 0, LONG_MS);
	fwd_route_await_client(lab.route);
	flow_connect(&lab, &flow);
	until_asked(1);
	ck_assert_uint_eq(last.guest_port, guest_port());
	ck_assert_int_eq(last.proto, PROTO_TCP);
	ck_assert(!last.door);
	ck_assert(addr_is_loopback(&last.client));
	flow_connect(&lab, &other);
	turn_a_while();
	ck_assert_uint_eq(asked, 1);
	fwd_route_resume(lab.route, true);
	flow_accept(&lab, &flow);
	flow_accept(&lab, &other);
	ck_assert_uint_eq(asked, 1);
}
END_TEST

START_TEST(a_client_that_waits_already_is_told_as_often_as_main_waits_for_one)
{
	sleep_with(guest_port(), LONG_MS);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "paused");
	turn_a_while();
	ck_assert_uint_eq(asked, 0);
	for (unsigned times = 1; times <= 3; times++) {
		fwd_route_await_client(lab.route);
		until_asked(times);
	}
	turn_a_while();
	ck_assert_uint_eq(asked, 3);
}
END_TEST

START_TEST(a_client_that_was_held_before_the_pause_counts)
{
	fwd_route_set_up(lab.route, false);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "held");
	sleep_with(guest_port(), LONG_MS);
	fwd_route_await_client(lab.route);
	until_asked(1);
}
END_TEST

START_TEST(where_published_ports_wake_it_a_client_at_any_endpoint_counts)
{
	const struct fwd_wake wake = { .endpoints = true, .timeout_ms = LONG_MS };

	ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	fwd_route_pause(lab.route);
	fwd_route_await_client(lab.route);
	flow_connect(&lab, &flow);
	until_asked(1);
}
END_TEST

START_TEST(an_ignored_client_wakes_nobody_until_it_is_ignored_no_more)
{
	const struct cidr4 here = { .ip = INADDR_LOOPBACK, .length = 8 };
	struct fwd_wake wake = { .any = true, .timeout_ms = LONG_MS, .ignored = &here, .ignored_count = 1 };

	ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	fwd_route_pause(lab.route);
	fwd_route_await_client(lab.route);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "paused");
	turn_a_while();
	ck_assert_uint_eq(asked, 0);
	wake.ignored_count = 0;
	ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
	fwd_route_await_client(lab.route);
	until_asked(1);
	fwd_route_resume(lab.route, true);
	flow_accept(&lab, &flow);
}
END_TEST

START_TEST(a_client_of_another_port_wakes_nobody_and_is_held_no_longer)
{
	sleep_with((uint16_t)(guest_port() + 1), SHORT_MS);
	fwd_route_await_client(lab.route);
	flow_connect(&lab, &flow);
	lab_expect_end(&lab, CLOSE_ASLEEP);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
	ck_assert_uint_eq(asked, 0);
}
END_TEST

START_TEST(a_client_whom_nobody_wakes_the_guest_for_is_reset_in_time)
{
	sleep_with(guest_port(), SHORT_MS);
	fwd_route_await_client(lab.route);
	flow_connect(&lab, &flow);
	until_asked(1);
	lab_expect_end(&lab, CLOSE_ASLEEP);
	flow_expect_reset(&lab, &flow, FROM_GUEST);
}
END_TEST

/* Whoever came during the pause is held from then on, not from the start of the next run. */
START_TEST(a_pause_of_a_former_run_is_as_old_as_it_is)
{
	lab.state.paused = true;
	lab.state.paused_for_ms = 60000;
	lab_hand_over(&lab);
	/* The worker writes it. */
	while (__atomic_load_n(&fwd_route_side_at(lab.route, 0)->paused_at_ms, __ATOMIC_RELAXED) >
	       clock_now_ms() - lab.state.paused_for_ms)
		lab_turn(&lab);
}
END_TEST

START_TEST(where_nothing_wakes_the_guest_main_is_told_of_nobody)
{
	sleep_with(guest_port(), LONG_MS);
	fwd_route_await_client(lab.route);
	ck_assert_int_eq(fwd_route_set_wake(lab.route, NULL), 0);
	flow_connect(&lab, &flow);
	lab_wait_for_state(&lab, "paused");
	fwd_route_await_client(lab.route);
	turn_a_while();
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(lab_ended(&lab, CLOSE_ASLEEP), 0);
}
END_TEST

START_TEST(open_connections_wake_nobody_in_a_pause)
{
	flow_open(&lab, &flow);
	sleep_with(0, SHORT_MS);
	fwd_route_await_client(lab.route);
	flow_send(&flow, FROM_CLIENT, 1000, 100);
	turn_a_while();
	ck_assert_uint_eq(asked, 0);
	fwd_route_resume(lab.route, true);
	flow_drain(&lab, &flow, FROM_CLIENT);
	flow_expect_whole(&lab, &flow);
}
END_TEST

static unsigned answered; /* times */

static void on_answered(void *context, uint16_t port, enum proto proto)
{
	ck_assert_ptr_eq(context, &lab);
	ck_assert_uint_eq(port, guest_port());
	ck_assert_int_eq(proto, PROTO_TCP);
	answered++;
}

/* Of a guest that was rolled back nobody knows who listens. Each of the two workers tells it for itself. */
START_TEST(that_a_port_answers_is_told_again_after_a_resume_that_resets)
{
	answered = 0;
	fwd_route_on_answered(lab.route, on_answered, &lab);
	flow_open(&lab, &flow);
	while (answered < 1)
		lab_turn(&lab);
	for (unsigned resumes = 1; resumes <= 3; resumes++) {
		fwd_route_pause(lab.route);
		lab_wait_for_state(&lab, "paused");
		fwd_route_resume(lab.route, !_i);
		flow_close(&other);
		flow_open(&lab, &other);
		while (_i && answered < 1 + resumes)
			lab_turn(&lab);
		turn_a_while();
	}
	ck_assert(_i ? answered >= 4 : answered <= 2);
}
END_TEST

/* ---- UDP ---- */

struct udp {
	struct fwd_listener *listener;
	int client, guest;
	struct addr listen;
};

static struct udp udp;

static int udp_socket(struct addr *addr)
{
	socklen_t size = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*addr = addr_from_ipv4(0x7f000001, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &addr->any, addr_length(addr)), 0);
	ck_assert_int_eq(getsockname(fd, &addr->any, &size), 0);
	return fd;
}

static void setup_udp(void)
{
	struct addr guest, none;
	struct err err;

	setup();
	udp.guest = udp_socket(&guest);
	udp.client = udp_socket(&none);
	struct fwd_listener_options options = { .proto = PROTO_UDP,
						.guest_port = addr_port(&guest),
						.fd = udp_socket(&udp.listen) };
	udp.listener = fwd_listener_open(lab.forwarder, &udp.listen, lab.route, &options, &err);
	ck_assert_msg(udp.listener != NULL, "%s", err.text);

	const struct fwd_wake_port listed = { .proto = PROTO_UDP, .port = options.guest_port };
	const struct fwd_wake wake = { .ports = &listed, .port_count = 1, .timeout_ms = LONG_MS };

	ck_assert_int_eq(fwd_route_set_wake(lab.route, &wake), 0);
}

static void teardown_udp(void)
{
	fwd_listener_close(udp.listener, true);
	close(udp.guest);
	close(udp.client);
	teardown();
}

static void udp_send(const char *text)
{
	ck_assert_int_eq(sendto(udp.client, text, strlen(text), 0, &udp.listen.any, addr_length(&udp.listen)),
			 (ssize_t)strlen(text));
}

/* The guest gets TEXT next; loopback loses nothing that the forwarder passes on. */
static void udp_expect(const char *text)
{
	char got[16] = "";

	while (recv(udp.guest, got, sizeof(got) - 1, 0) < 0)
		lab_turn(&lab);
	ck_assert_str_eq(got, text);
}

START_TEST(a_datagram_for_a_sleeping_guest_is_told_and_kept_with_those_behind_it)
{
	fwd_route_pause(lab.route);
	fwd_route_await_client(lab.route);
	udp_send("one");
	until_asked(1);
	ck_assert_int_eq(last.proto, PROTO_UDP);
	udp_send("two");
	fwd_route_await_client(lab.route);
	until_asked(2);
	fwd_route_set_up(lab.route, false);
	fwd_route_resume(lab.route, true);
	turn_a_while();
	ck_assert_int_eq(recv(udp.guest, &(char){ 0 }, 1, MSG_PEEK), -1);
	fwd_route_set_up(lab.route, true);
	udp_expect("one");
	udp_expect("two");
	udp_send("three");
	udp_expect("three");
}
END_TEST

START_TEST(a_client_that_was_at_it_a_moment_ago_wakes_nobody)
{
	udp_send("one");
	udp_expect("one");
	fwd_route_pause(lab.route);
	fwd_route_await_client(lab.route);
	udp_send("lost");
	turn_a_while();
	ck_assert_uint_eq(asked, 0);
	fwd_route_resume(lab.route, true);
	udp_send("two");
	udp_expect("two");
}
END_TEST

/* ---- The probe ---- */

static bool accepted;

static void on_accepted(void *context)
{
	(void)context;
	accepted = true;
}

/* How long after the guest listens, which it does some time after it was resumed, the probe finds it. */
static uint64_t probe_once(void)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(addr);

	ck_assert_int_eq(bind(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(getsockname(fd, &addr.any, &size), 0);
	fwd_route_pause(lab.route);
	accepted = false;
	struct fwd_probe *probe = fwd_probe_start(lab.route, addr_port(&addr), on_accepted, NULL);
	fwd_route_resume(lab.route, true);
	uint64_t resumed_ms = clock_now_ms();
	while (clock_now_ms() < resumed_ms + LATER_MS)
		lab_turn(&lab);
	uint64_t listens_ms = clock_now_ms();
	ck_assert_int_eq(listen(fd, 1), 0);
	while (!accepted)
		lab_turn(&lab);
	uint64_t took_ms = clock_now_ms() - listens_ms;
	fwd_probe_stop(probe);
	close(fd);
	return took_ms;
}

START_TEST(a_guest_that_was_resumed_is_found_ready_at_once)
{
	bool prompt = false;

	for (unsigned i = 0; i < PROBES && !prompt; i++)
		prompt = probe_once() < PROMPT_MS;
	ck_assert(prompt);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("asleep");
	TCase *tcp = tcase_create("tcp"), *datagrams = tcase_create("udp"), *probe = tcase_create("probe");

	tcase_add_checked_fixture(tcp, setup, teardown);
	tcase_add_loop_test(tcp, main_is_told_of_the_first_client_alone_and_it_goes_on_after_the_resume, 0, 2);
	tcase_add_test(tcp, a_client_that_waits_already_is_told_as_often_as_main_waits_for_one);
	tcase_add_test(tcp, a_client_that_was_held_before_the_pause_counts);
	tcase_add_test(tcp, where_published_ports_wake_it_a_client_at_any_endpoint_counts);
	tcase_add_test(tcp, an_ignored_client_wakes_nobody_until_it_is_ignored_no_more);
	tcase_add_test(tcp, a_client_of_another_port_wakes_nobody_and_is_held_no_longer);
	tcase_add_test(tcp, a_client_whom_nobody_wakes_the_guest_for_is_reset_in_time);
	tcase_add_test(tcp, a_pause_of_a_former_run_is_as_old_as_it_is);
	tcase_add_test(tcp, where_nothing_wakes_the_guest_main_is_told_of_nobody);
	tcase_add_test(tcp, open_connections_wake_nobody_in_a_pause);
	tcase_add_loop_test(tcp, that_a_port_answers_is_told_again_after_a_resume_that_resets, 0, 2);
	suite_add_tcase(suite, tcp);
	tcase_add_checked_fixture(datagrams, setup_udp, teardown_udp);
	tcase_add_test(datagrams, a_datagram_for_a_sleeping_guest_is_told_and_kept_with_those_behind_it);
	tcase_add_test(datagrams, a_client_that_was_at_it_a_moment_ago_wakes_nobody);
	suite_add_tcase(suite, datagrams);
	tcase_add_checked_fixture(probe, setup, teardown);
	tcase_add_test(probe, a_guest_that_was_resumed_is_found_ready_at_once);
	suite_add_tcase(suite, probe);
	return run_suite(suite);
}
