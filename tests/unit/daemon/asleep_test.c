/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A paused sandbox: what wakes it, how often the manager is asked, and what becomes of packets. */
#include "base/addr.h"
#include "base/clock.h"
#include "config/config.h"
#include "config/layout.h"
#include "daemon/asleep.h"
#include "daemon/follow.h"
#include "daemon/patch.h"
#include "daemon/pausing.h"
#include "daemon/tenant.h"
#include "unit/daemon/asleep_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct tenant_asleep *asleep(void)
{
	return &daemon_tenant_of(found())->asleep;
}

/* A packet for the guest's PORT. */
static void packet(enum proto proto, uint16_t port)
{
	const struct wake_heard heard = { .host_ip = config_host_ip(found()->layout, found()->slot),
					  .source = 0xc0000207,
					  .source_port = 40000,
					  .dest_port = port,
					  .proto = proto };

	rooms.watcher.heard(rooms.watcher.context, &heard);
}

/* A client of the forwarder's. */
static void client(uint16_t port, bool door)
{
	const struct fwd_asking asking = {
		.proto = PROTO_TCP, .guest_port = port, .client = addr_from_ipv4(0x7f000001, 5555), .door = door
	};

	rooms.asked(rooms.asked_context, &asking);
}

static void until_phase(enum asleep_phase phase)
{
	while (asleep()->phase != phase)
		event_base_loop(weftd.base, EVLOOP_ONCE);
}

static void until_awaited(void)
{
	while (!rooms.awaits)
		event_base_loop(weftd.base, EVLOOP_ONCE);
}

/* a1 sleeps, and its TCP port 80 wakes it. */
static void fall_asleep(void)
{
	have_sandbox();
	change("{\"wake\": {\"ports\": [80], \"min_awake_ms\": 0, \"timeout_ms\": 1000}, \"paused\": true}", 200);
	until_phase(ASLEEP_WAITING);
	rooms.events = 0;
}

/* TEXT is among the members of the last event, which is a wake. */
static void expect_event(const char *text)
{
	ck_assert_str_eq(rooms.event, "wake");
	ck_assert_msg(strstr(rooms.fields, text) != NULL, "no %s in %s", text, rooms.fields);
}

START_TEST(a_packet_for_a_listed_port_asks_the_manager_once)
{
	fall_asleep();
	packet(PROTO_TCP, 81);
	packet(PROTO_UDP, 80);
	ck_assert_uint_eq(rooms.events, 0);
	for (unsigned i = 0; i < 100; i++)
		packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.events, 1);
	ck_assert_uint_eq(rooms.tells, 1);
	expect_event("\"via\":\"kernel\"");
	expect_event("\"source\":\"192.0.2.7\"");
	expect_event("\"dest_port\":80");
	expect_event("\"attempt\":1");
	ck_assert_ptr_nonnull(strstr(rooms.told, "\"sandbox\":\"a1\""));
	ck_assert_ptr_nonnull(strstr(rooms.told, "\"type\":\"wake\""));
	ck_assert_str_eq(found()->wake_by, "80/tcp from 192.0.2.7");
	ck_assert_int_ne(found()->wake_asked_ms, 0);
}
END_TEST

START_TEST(a_client_of_the_forwarder_asks_too_and_again_when_it_is_time)
{
	fall_asleep();
	ck_assert(rooms.awaits);
	rooms.awaits = false;
	client(80, _i);
	expect_event(_i ? "\"via\":\"front-door\"" : "\"via\":\"forwarder\"");
	expect_event("\"source\":\"127.0.0.1\"");
	client(80, false);
	ck_assert_uint_eq(rooms.events, 1);
	until_awaited();
	client(80, false);
	ck_assert_uint_eq(rooms.events, 2);
	expect_event("\"attempt\":2");
	ck_assert_uint_eq(rooms.tells, 2);
}
END_TEST

/* To whichever port it leads: that is published by it. */
START_TEST(a_client_at_the_default_endpoint_counts_as_one_of_a_published_port)
{
	have_sandbox();
	change("{\"wake\": {\"min_awake_ms\": 0}, \"paused\": true}", 200);
	until_phase(ASLEEP_WAITING);
	ck_assert(rooms.route_wake.endpoints);
	packet(PROTO_TCP, 9);
	client(9, true);
	ck_assert_uint_eq(rooms.tells, 0);
	client(9, false);
	ck_assert_uint_eq(rooms.tells, 1);
	expect_event("\"dest_port\":9");
}
END_TEST

START_TEST(nothing_wakes_it_shortly_after_the_pause_but_a_request)
{
	struct control_reply reply;

	have_sandbox();
	change("{\"wake\": {\"min_awake_ms\": 3600000, \"ports\": \"any\"}, \"paused\": true}", 200);
	rooms.events = 0;
	packet(PROTO_TCP, 80);
	client(80, false);
	ck_assert(!rooms.awaits);
	ck_assert_uint_eq(rooms.events, 0);
	daemon_asleep_ask(&weftd, fake_request(&reply, HTTP_POST, "a1"));
	assert_answered(&reply, 202);
	expect_event("\"via\":\"api\"");
	expect_event("\"source\":null");
	ck_assert_str_eq(found()->wake_by, "api");
	daemon_asleep_ask(&weftd, fake_request(&reply, HTTP_POST, "a1"));
	assert_answered(&reply, 202);
	ck_assert_uint_eq(rooms.events, 1);
}
END_TEST

/* Until the manager was asked so long ago. */
static void until_asked_for(unsigned ms)
{
	while (clock_now_ms() < asleep()->told_ms + ms) {
		event_base_loop(weftd.base, EVLOOP_NONBLOCK);
		poll(NULL, 0, 1);
	}
}

START_TEST(a_request_asks_again_when_the_manager_had_its_time)
{
	struct control_reply reply;

	fall_asleep();
	for (unsigned tells = 1; tells <= 2; tells++) {
		for (unsigned i = 0; i < 2; i++) {
			daemon_asleep_ask(&weftd, fake_request(&reply, HTTP_POST, "a1"));
			assert_answered(&reply, 202);
			ck_assert_uint_eq(rooms.tells, tells);
		}
		until_asked_for(1000);
	}
	expect_event("\"attempt\":2");
}
END_TEST

START_TEST(a_request_amid_a_resume_waits_for_its_end_and_asks_nobody)
{
	struct control_reply reply, asked;
	struct control_request *request;

	fall_asleep();
	request = fake_request(&reply, HTTP_PATCH, "a1");
	request->patch.has_paused = true;
	daemon_patch(&weftd, request);
	daemon_asleep_ask(&weftd, fake_request(&asked, HTTP_POST, "a1"));
	ck_assert_uint_eq(rooms.tells, 0);
	fake_turned(0);
	assert_answered(&reply, 200);
	assert_answered(&asked, 409);
	ck_assert_uint_eq(rooms.tells, 0);
}
END_TEST

START_TEST(what_does_not_sleep_cannot_be_woken)
{
	static const char *const bodies[] = { "{\"wake\": {}}", "{\"paused\": true}" };
	struct control_reply reply;

	have_sandbox();
	change(bodies[_i], 200);
	rooms.events = 0;
	packet(PROTO_TCP, 80);
	daemon_asleep_ask(&weftd, fake_request(&reply, HTTP_POST, "a1"));
	assert_answered(&reply, 409);
	ck_assert_uint_eq(rooms.events, 0);
	ck_assert(!rooms.keeps);
	ck_assert(!rooms.turns.woken_by_packets);
}
END_TEST

START_TEST(a_change_of_what_wakes_it_reaches_kernel_and_forwarder)
{
	fall_asleep();
	ck_assert_uint_eq(rooms.turns.wake_ports, 1);
	change("{\"wake\": {\"ports\": [80, \"5353/udp\"], \"min_awake_ms\": 0}}", 200);
	ck_assert_uint_eq(rooms.turns.wake_ports, 2);
	ck_assert_uint_eq(rooms.route_wake.port_count, 2);
	ck_assert_uint_eq(rooms.route_wake.timeout_ms, 60000);
	packet(PROTO_UDP, 5353);
	ck_assert_uint_eq(rooms.tells, 1);
	change("{\"wake\": null}", 200);
	ck_assert(!rooms.turns.woken_by_packets);
	ck_assert(!rooms.route_wakes);
	ck_assert(!rooms.keeps);
	ck_assert_int_eq(asleep()->phase, ASLEEP_AWAKE);
	ck_assert_int_eq(found()->state, SANDBOX_PAUSED);
	change("{\"wake\": {\"ports\": [81], \"min_awake_ms\": 0}}", 200);
	ck_assert_uint_eq(rooms.tells, 1);
	ck_assert_int_eq(found()->wake_asked_ms, 0);
	packet(PROTO_TCP, 81);
	ck_assert_uint_eq(rooms.tells, 2);
	expect_event("\"attempt\":1");
}
END_TEST

/* Longer, and shorter: clients of endpoints are awaited when the manager had its new time. */
START_TEST(another_timeout_counts_at_once_when_the_manager_was_asked)
{
	fall_asleep();
	packet(PROTO_TCP, 80);
	rooms.awaits = false;
	change("{\"wake\": {\"ports\": [80], \"timeout_ms\": 3600000}}", 200);
	until_asked_for(1100);
	ck_assert(!rooms.awaits);
	change("{\"wake\": {\"ports\": [80], \"timeout_ms\": 1500}}", 200);
	until_awaited();
	client(80, false);
	ck_assert_uint_eq(rooms.tells, 2);
}
END_TEST

/* The TAP of a1 has carrier, or loses it. */
static void carry(bool up)
{
	static int64_t downs;

	downs += !up;
	follow_watcher.carrier(&weftd, found()->slot, up, downs);
}

START_TEST(kept_packets_are_sent_again_to_a_guest_that_had_gone)
{
	have_sandbox();
	carry(true);
	change("{\"wake\": {\"ports\": [80]}, \"paused\": true}", 200);
	ck_assert(rooms.keeps);
	ck_assert(rooms.tap_open);
	if (_i) {
		carry(false);
		ck_assert(!rooms.tap_open);
		carry(true);
		ck_assert(rooms.tap_open);
	}
	change("{\"paused\": false}", 200);
	ck_assert_int_eq(found()->state, SANDBOX_READY);
	ck_assert(!rooms.keeps);
	ck_assert_int_eq(rooms.sent_again, _i);
	ck_assert_uint_eq(rooms.untells, 1);
}
END_TEST

START_TEST(kept_packets_wait_until_the_guest_is_ready)
{
	have_sandbox();
	carry(true);
	change("{\"wake\": {\"ports\": [80]}, \"paused\": true}", 200);
	carry(false);
	change("{\"paused\": false}", 200);
	ck_assert_int_eq(found()->state, SANDBOX_DETACHED);
	ck_assert(rooms.keeps);
	carry(true);
	ck_assert(!rooms.keeps);
	ck_assert(rooms.sent_again);
}
END_TEST

/* The next pause is of the kind that nothing ends, and this one ends as it began. */
START_TEST(a_resume_that_takes_its_wake_away_loses_no_packet)
{
	have_sandbox();
	carry(true);
	change("{\"wake\": {\"ports\": [80]}, \"paused\": true}", 200);
	carry(false);
	carry(true);
	change("{\"wake\": null, \"paused\": false}", 200);
	ck_assert(!rooms.keeps);
	ck_assert(rooms.sent_again);
	ck_assert_int_eq(asleep()->phase, ASLEEP_AWAKE);
}
END_TEST

START_TEST(an_end_while_it_is_asked_lets_go_of_all)
{
	struct control_reply reply;

	fall_asleep();
	packet(PROTO_TCP, 80);
	delete_it(&reply);
	ck_assert(!rooms.keeps);
	ck_assert(!rooms.sent_again);
	ck_assert_uint_eq(rooms.untells, 1);
	packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.tells, 1);
	settle();
	assert_answered(&reply, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(each_pause_is_a_sleep_of_its_own)
{
	fall_asleep();
	packet(PROTO_TCP, 80);
	change("{\"paused\": false}", 200);
	ck_assert_int_eq(found()->wake_asked_ms, 0);
	packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.tells, 1);
	change("{\"paused\": true}", 200);
	until_phase(ASLEEP_WAITING);
	packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.tells, 2);
	expect_event("\"attempt\":1");
}
END_TEST

START_TEST(a_manager_that_resumes_it_is_not_asked_to)
{
	struct control_reply reply;
	struct control_request *request;

	fall_asleep();
	request = fake_request(&reply, HTTP_PATCH, "a1");
	request->patch.has_paused = true;
	daemon_patch(&weftd, request);
	packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.tells, 0);
	fake_turned(0);
	assert_answered(&reply, 200);
	ck_assert(!rooms.route_paused);
}
END_TEST

/* As over a restart. */
START_TEST(who_wanted_it_is_still_known_when_the_manager_is_asked_anew)
{
	static const char *const written[] = { NULL, "", "from the moon" }, *const vias[] = { "front-door", "kernel",
											      "kernel" };
	char via[32];

	fall_asleep();
	client(80, true);
	if (written[_i])
		strcpy(found()->wake_via, written[_i]);
	follow_watcher.failed(&weftd, found()->slot, FAILURE_NAMESPACE, "gone");
	follow_watcher.recovered(&weftd, found()->slot);
	ck_assert_uint_eq(rooms.tells, 2);
	snprintf(via, sizeof(via), "\"via\":\"%s\"", vias[_i]);
	expect_event(via);
	expect_event("\"source\":\"127.0.0.1\"");
	expect_event("\"dest_port\":80");
}
END_TEST

/* By a reload. */
START_TEST(a_manager_that_gets_a_socket_is_told_there_of_what_is_asked)
{
	fall_asleep();
	if (_i)
		packet(PROTO_TCP, 80);
	free(weftd.config->wake.notify);
	weftd.config->wake.notify = NULL;
	daemon_asleep_reload(&weftd);
	ck_assert_uint_eq(rooms.tells, _i);
	weftd.config->wake.notify = strdup("/run/new.sock");
	for (unsigned i = 0; i < 2; i++) {
		daemon_asleep_reload(&weftd);
		ck_assert_uint_eq(rooms.tells, 2 * _i);
	}
}
END_TEST

START_TEST(a_failure_ends_the_sleep_and_its_end_begins_it_anew)
{
	fall_asleep();
	packet(PROTO_TCP, 80);
	follow_watcher.failed(&weftd, found()->slot, FAILURE_NAMESPACE, "gone");
	ck_assert_int_eq(asleep()->phase, ASLEEP_AWAKE);
	packet(PROTO_TCP, 80);
	ck_assert_uint_eq(rooms.tells, 1);
	follow_watcher.recovered(&weftd, found()->slot);
	ck_assert_int_eq(asleep()->phase, ASLEEP_ASKED);
	ck_assert_uint_eq(rooms.tells, 2);
	expect_event("\"source\":\"192.0.2.7\"");
}
END_TEST

START_TEST(a_route_without_memory_learns_later_what_wakes_the_guest)
{
	have_sandbox();
	rooms.route_wake_error = ENOMEM;
	change("{\"wake\": {\"ports\": [80], \"min_awake_ms\": 0}, \"paused\": true}", 200);
	until_phase(ASLEEP_WAITING);
	ck_assert(!rooms.route_wakes);
	rooms.route_wake_error = 0;
	until_awaited();
	ck_assert(rooms.route_wakes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon/asleep");
	TCase *wakes = tcase_create("wakes");

	tcase_add_checked_fixture(wakes, asleep_setup, asleep_teardown);
	tcase_add_test(wakes, a_packet_for_a_listed_port_asks_the_manager_once);
	tcase_add_loop_test(wakes, a_client_of_the_forwarder_asks_too_and_again_when_it_is_time, 0, 2);
	tcase_add_test(wakes, a_client_at_the_default_endpoint_counts_as_one_of_a_published_port);
	tcase_add_test(wakes, nothing_wakes_it_shortly_after_the_pause_but_a_request);
	tcase_add_test(wakes, a_request_asks_again_when_the_manager_had_its_time);
	tcase_add_test(wakes, a_request_amid_a_resume_waits_for_its_end_and_asks_nobody);
	tcase_add_loop_test(wakes, what_does_not_sleep_cannot_be_woken, 0, 2);
	tcase_add_test(wakes, a_change_of_what_wakes_it_reaches_kernel_and_forwarder);
	tcase_add_test(wakes, another_timeout_counts_at_once_when_the_manager_was_asked);
	tcase_add_loop_test(wakes, kept_packets_are_sent_again_to_a_guest_that_had_gone, 0, 2);
	tcase_add_test(wakes, kept_packets_wait_until_the_guest_is_ready);
	tcase_add_test(wakes, a_resume_that_takes_its_wake_away_loses_no_packet);
	tcase_add_test(wakes, an_end_while_it_is_asked_lets_go_of_all);
	tcase_add_test(wakes, each_pause_is_a_sleep_of_its_own);
	tcase_add_test(wakes, a_manager_that_resumes_it_is_not_asked_to);
	tcase_add_loop_test(wakes, who_wanted_it_is_still_known_when_the_manager_is_asked_anew, 0, 3);
	tcase_add_loop_test(wakes, a_manager_that_gets_a_socket_is_told_there_of_what_is_asked, 0, 2);
	tcase_add_test(wakes, a_failure_ends_the_sleep_and_its_end_begins_it_anew);
	tcase_add_test(wakes, a_route_without_memory_learns_later_what_wakes_the_guest);
	suite_add_tcase(suite, wakes);
	return run_suite(suite);
}
