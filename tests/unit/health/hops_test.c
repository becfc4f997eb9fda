/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "health/walk.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct config *config;
static struct diagnose_request request;
static struct diagnosis diagnosis;
static struct walk walk;
static struct hop hop;

enum { SANDBOX = 0x0a0b0001, PROXY = 0x7f000001, ELSEWHERE = 0xc6336401, UPLINK = 0xc0000202 };

static void begin(void)
{
	config = config_default();
	request = (struct diagnose_request){
		.config = config, .layout = &config->layout, .id = "a1", .slot = 1, .state = SANDBOX_READY
	};
	diagnosis = (struct diagnosis){ 0 };
	hop = (struct hop){ 0 };
	walk = (struct walk){ .request = &request, .diagnosis = &diagnosis, .netns = "ns-1", .veth = "veth-1" };
}

static void end(void)
{
	config_free(config);
}

static struct hop_port port(uint16_t number, bool required, enum probe_result result)
{
	return (struct hop_port){ .required = required, .probe = { .port = number, .result = result, .took_us = 300 } };
}

/* ---- asleep ---- */

static void sleep_for(uint64_t asked_age_ms)
{
	request.state = SANDBOX_PAUSED;
	request.sleep = (struct diagnose_sleep){ .asleep = true,
						 .wakers = "8080/tcp",
						 .asked = asked_age_ms > 0,
						 .asked_age_ms = asked_age_ms,
						 .timeout_ms = 60000,
						 .asked_by = "8080/tcp from 192.0.2.7" };
}

START_TEST(a_sleeper_is_no_fault_and_what_wakes_it_is_told)
{
	sleep_for(0);
	ck_assert_int_eq(hop_listen(&walk, &hop, false), HOP_OK);
	ck_assert_str_eq(hop.detail, "asleep: woken by 8080/tcp");
	request.connections_held = 2;
	hop_listen(&walk, &hop, false);
	ck_assert_str_eq(hop.detail, "2 held; asleep: woken by 8080/tcp");
	ck_assert_int_eq(hop_asleep_judge(&walk, &hop), HOP_SKIPPED);
	ck_assert_str_eq(diagnosis.cause, "");
}
END_TEST

START_TEST(a_manager_that_was_asked_has_its_time_and_is_the_cause_then)
{
	sleep_for(5000);
	hop_listen(&walk, &hop, false);
	ck_assert_str_eq(hop.detail,
			 "asleep: its manager was asked 5 s ago to resume it, because of 8080/tcp from 192.0.2.7");
	ck_assert_int_eq(hop_asleep_judge(&walk, &hop), HOP_SKIPPED);
	sleep_for(95000);
	ck_assert_int_eq(hop_asleep_judge(&walk, &hop), HOP_FAIL);
	ck_assert_ptr_nonnull(strstr(hop.detail, "95 s ago"));
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "because of 8080/tcp from 192.0.2.7, and has not"));
	request.sleep.asleep = false;
	ck_assert_int_eq(hop_asleep_judge(&walk, &hop), HOP_SKIPPED);
}
END_TEST

/* ---- tcp ---- */

START_TEST(a_required_port_that_refuses_is_a_fault)
{
	const struct hop_port ports[] = { port(80, false, PROBE_ANSWERED), port(49983, true, PROBE_REFUSED) };

	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, ports, 2), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "port 49983: connection refused");
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "49983"));
}
END_TEST

START_TEST(another_port_that_refuses_or_is_silent_is_idle)
{
	const struct hop_port ports[] = { port(49983, true, PROBE_ANSWERED), port(80, false, PROBE_REFUSED),
					  port(81, false, PROBE_SILENT), port(82, false, PROBE_REFUSED) };

	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, ports, 4), HOP_IDLE);
	ck_assert_str_eq(hop.detail, "49983 accepts in 0.3 ms; nothing listens on 80, 82; no answer from 81");
	ck_assert_str_eq(diagnosis.cause, "");
	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, &ports[1], 1), HOP_IDLE);
	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, ports, 1), HOP_OK);
}
END_TEST

START_TEST(a_port_that_could_not_be_tried_is_no_verdict)
{
	struct hop_port one = port(80, false, PROBE_FAILED);

	err_set(&one.probe.err, EMFILE, "socket");
	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, &one, 1), HOP_FAIL);
	ck_assert_str_eq(diagnosis.cause, "");
	ck_assert_ptr_nonnull(strstr(hop.detail, "Too many open files"));
}
END_TEST

/* More than the detail has room for. */
START_TEST(a_long_list_of_ports_ends_in_an_ellipsis)
{
	struct hop_port ports[200];

	for (unsigned i = 0; i < 200; i++)
		ports[i] = port((uint16_t)(10000 + i), false, i % 2 ? PROBE_REFUSED : PROBE_ANSWERED);
	ck_assert_int_eq(hop_tcp_judge(&walk, &hop, ports, 200), HOP_IDLE);
	ck_assert_str_eq(hop.detail + strlen(hop.detail) - 3, "...");
}
END_TEST

/* ---- kernel ---- */

/* What a dial is seen like that the guest answers. */
static struct hop_kernel_seen dialed(enum probe_result result)
{
	struct hop_kernel_seen seen = { .served = true, .tracked = true };

	seen.dial.probe = (struct probe_port){ .port = 49983, .result = result, .took_us = 300 };
	seen.outside = (struct inspect_look_flow){ .confirmed = true, .answered = true, .reply.source = SANDBOX };
	seen.inside = (struct inspect_look_flow){ .confirmed = true, .answered = true };
	return seen;
}

static void judges_kernel(const struct hop_kernel_seen *seen, enum hop_status status, const char *detail,
			  enum ruleset_hook suspect)
{
	enum ruleset_hook found = HOOK_NONE;

	diagnosis = (struct diagnosis){ 0 };
	ck_assert_int_eq(hop_kernel_judge(&walk, &hop, seen, &found), status);
	ck_assert_msg(strstr(hop.detail, detail) != NULL, "%s is not in: %s", detail, hop.detail);
	ck_assert_int_eq(found, suspect);
	ck_assert_int_eq(diagnosis.cause[0] != '\0',
			 status == HOP_FAIL && suspect == HOOK_NONE && seen->dial.probe.result != PROBE_FAILED);
}

START_TEST(a_dial_that_the_guest_accepts_is_in_order)
{
	struct hop_kernel_seen seen = dialed(PROBE_ANSWERED);

	judges_kernel(&seen, HOP_OK, "accepts in 0.3 ms", HOOK_NONE);
	/* Where conntrack cannot be asked, the answer counts. */
	seen.tracked = false;
	seen.outside = seen.inside = (struct inspect_look_flow){ 0 };
	judges_kernel(&seen, HOP_OK, "accepts", HOOK_NONE);
}
END_TEST

START_TEST(an_answer_of_another_program_is_no_answer)
{
	struct hop_kernel_seen seen = dialed(PROBE_ANSWERED);

	seen.outside.reply.source = PROXY;
	seen.outside.reply.source_port = 3128;
	judges_kernel(&seen, HOP_FAIL, "redirected on the host, to 127.0.0.1:3128", HOOK_OUTPUT);
	seen = dialed(PROBE_ANSWERED);
	seen.inside.confirmed = false;
	judges_kernel(&seen, HOP_FAIL, "not by the guest", HOOK_NONE);
}
END_TEST

START_TEST(a_refusal_is_the_guests_own_where_nothing_is_served)
{
	struct hop_kernel_seen seen = dialed(PROBE_REFUSED);

	seen.outside = seen.inside = (struct inspect_look_flow){ 0 };
	judges_kernel(&seen, HOP_FAIL, "although the guest accepts", HOOK_OUTPUT);
	seen.served = false;
	judges_kernel(&seen, HOP_OK, "nothing listens there", HOOK_OUTPUT);
}
END_TEST

START_TEST(silence_is_traced_to_where_it_begins)
{
	struct hop_kernel_seen seen = dialed(PROBE_SILENT);

	judges_kernel(&seen, HOP_FAIL, "on their way back", HOOK_INPUT);
	seen.inside.answered = false;
	judges_kernel(&seen, HOP_FAIL, "the guest got the packets", HOOK_NONE);
	seen.served = false;
	judges_kernel(&seen, HOP_OK, "reaches the guest", HOOK_NONE);
	seen.inside.confirmed = false;
	judges_kernel(&seen, HOP_FAIL, "do not come through ns-1", HOOK_NONE);
	seen.outside.confirmed = false;
	judges_kernel(&seen, HOP_FAIL, "do not leave the host", HOOK_OUTPUT);
	seen.tracked = false;
	judges_kernel(&seen, HOP_FAIL, "no answer within", HOOK_OUTPUT);
}
END_TEST

START_TEST(a_dial_that_could_not_be_made_is_no_verdict)
{
	struct hop_kernel_seen seen = { .dial.probe.result = PROBE_FAILED };

	err_set(&seen.dial.probe.err, ENFILE, "socket");
	judges_kernel(&seen, HOP_FAIL, "Too many open files in system", HOOK_NONE);
}
END_TEST

/* One of them is answered by another program of the host. */
START_TEST(the_first_port_that_is_broken_is_named)
{
	struct hop_kernel_seen seen[] = { dialed(PROBE_ANSWERED), dialed(PROBE_ANSWERED), dialed(PROBE_ANSWERED) };

	for (uint16_t i = 0; i < 3; i++)
		seen[i].dial.probe.port = 80 + i;
	ck_assert_int_eq(hop_kernel_judge_all(&walk, &hop, seen, 3), HOP_OK);
	ck_assert_str_eq(hop.detail, "80 accepts in 0.3 ms; 81 accepts in 0.3 ms; 82 accepts in 0.3 ms");
	ck_assert_str_eq(diagnosis.cause, "");
	seen[1].inside.confirmed = seen[2].inside.confirmed = false;
	ck_assert_int_eq(hop_kernel_judge_all(&walk, &hop, seen, 3), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "port 81: answered, and not by the guest");
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "answers at this address"));
	/* One alone is named by the subject. */
	ck_assert_int_eq(hop_kernel_judge_all(&walk, &hop, seen, 1), HOP_OK);
	ck_assert_str_eq(hop.detail, "accepts in 0.3 ms");
}
END_TEST

START_TEST(a_list_of_dialed_ports_ends_in_an_ellipsis)
{
	struct hop_kernel_seen seen[HOP_PORTS_MAX];

	for (size_t i = 0; i < HOP_PORTS_MAX; i++)
		seen[i] = dialed(PROBE_ANSWERED);
	ck_assert_int_eq(hop_kernel_judge_all(&walk, &hop, seen, HOP_PORTS_MAX), HOP_OK);
	ck_assert_str_eq(hop.detail + strlen(hop.detail) - 3, "...");
}
END_TEST

/* ---- egress ---- */

static struct hop_egress_seen sent(void)
{
	struct hop_egress_seen seen = { .destination = ELSEWHERE, .link = "uplink0" };

	seen.inside.confirmed = true;
	seen.outside =
	    (struct inspect_look_flow){ .confirmed = true, .reply = { .source = ELSEWHERE, .destination = UPLINK } };
	return seen;
}

static void judges_egress(const struct hop_egress_seen *seen, enum hop_status status, const char *detail, bool suspects)
{
	bool found = false;

	diagnosis = (struct diagnosis){ 0 };
	ck_assert_int_eq(hop_egress_judge(&walk, &hop, seen, &found), status);
	ck_assert_msg(strstr(hop.detail, detail) != NULL, "%s is not in: %s", detail, hop.detail);
	ck_assert_int_eq(found, suspects);
	ck_assert_int_eq(diagnosis.cause[0] != '\0', status == HOP_FAIL && !suspects);
}

START_TEST(a_confirmed_datagram_has_passed)
{
	struct hop_egress_seen seen = sent();

	judges_egress(&seen, HOP_OK, "leaves by uplink0 as 192.0.2.2", false);
	/* A datagram tells nothing of TCP. */
	struct config_redirect proxies[] = { { 80, 5016 }, { 0, 5018 } };
	config->egress.redirect = (struct config_redirect_list){ .items = proxies, .count = 2 };
	judges_egress(&seen, HOP_OK, "as 192.0.2.2; TCP goes to proxies: 80:5016 *:5018", false);
	config->egress.redirect = (struct config_redirect_list){ .items = NULL };
	seen.to_host = true;
	seen.outside.reply.destination = SANDBOX;
	judges_egress(&seen, HOP_OK, "the host's own service", false);
}
END_TEST

START_TEST(a_datagram_that_nobody_confirms_was_dropped)
{
	struct hop_egress_seen seen = sent();

	seen.outside = (struct inspect_look_flow){ 0 };
	judges_egress(&seen, HOP_FAIL, "the host drops it", true);
	seen.inside.confirmed = false;
	judges_egress(&seen, HOP_FAIL, "ns-1 drops it", false);
}
END_TEST

START_TEST(a_datagram_that_leaves_otherwise_than_meant_is_a_fault)
{
	struct hop_egress_seen seen = sent();
	static char other[] = "uplink1";

	seen.outside.reply.source = PROXY;
	judges_egress(&seen, HOP_FAIL, "redirected on the host, to 127.0.0.1", true);
	seen = sent();
	seen.outside.reply.destination = SANDBOX;
	judges_egress(&seen, HOP_FAIL, "untranslated", false);
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "masquerading"));
	config->addresses.uplink = other;
	judges_egress(&seen, HOP_FAIL, "untranslated", false);
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "[addresses] uplink = uplink1"));
	config->addresses.uplink = NULL;
}
END_TEST

/* ---- door ---- */

static const char right[] = "HTTP/1.1 502 Bad Gateway\r\n\r\n"
			    "{\"sandboxId\":\"weftdoorcheck\",\"message\":\"The sandbox was not found\",\"code\":502}";

static void answered(struct health_door_answer *answer, const char *text)
{
	health_door_read_answer(text, strlen(text), answer);
}

/* A door through which clients come to port 8080. */
static struct hop_door_seen open_door(void)
{
	static struct door_policy policy;
	struct hop_door_seen seen = { .port = 8080 };

	policy = (struct door_policy){ .is_public = true };
	request.door = &policy;
	seen.door.proxy.pid = 812;
	strcpy(seen.door.socket.path, "/run/weft/door.sock");
	answered(&seen.door.knock, "HTTP/1.1 502 Bad Gateway\r\nWeft-Refused: not-found\r\n\r\n");
	answered(&seen.door.answer, right);
	return seen;
}

START_TEST(a_door_tells_who_may_come_in)
{
	struct hop_door_seen seen = open_door();
	struct door_policy policy = { .is_public = false, .ports = { { 8080, DOOR_ACCESS_CLOSED } }, .port_count = 1 };

	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "open to everybody");
	answered(&seen.own, "HTTP/1.1 204 No Content\r\n\r\n");
	seen.own.took_us = 800;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "open to everybody, answers 204 in 0.8 ms");
	request.door = &policy;
	seen.own.result = HEALTH_DOOR_SILENT;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "closed to all");
	seen.port = 81;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "open to nobody, for it has no token");
	policy.has_token = true;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "open to those with the token");
	seen.port = DOOR_FREE_PORT;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
	ck_assert_str_eq(hop.detail, "open to everybody");
	ck_assert_str_eq(diagnosis.cause, "");
}
END_TEST

START_TEST(a_door_that_nobody_gets_through_is_broken)
{
	struct hop_door_seen seen = open_door();

	answered(&seen.door.answer, "HTTP/1.1 503 Service Unavailable\r\n\r\n");
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "HAProxy: status 503");
	ck_assert_ptr_nonnull(strstr(diagnosis.next_step, "weftctl door check"));
	seen.door.knock = (struct health_door_answer){ .result = HEALTH_DOOR_UNREACHED, .error = ECONNREFUSED };
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "/run/weft/door.sock: Connection refused");
	seen.door.socket.error = ENOENT;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "/run/weft/door.sock: No such file or directory");
	seen.door.proxy.pid = 0;
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_str_eq(diagnosis.cause, "weft-door.service does not run");
	seen.door.local = (struct health_door_holder){ .listens = true, .pid = 9, .name = "client-proxy" };
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_ptr_nonnull(strstr(diagnosis.cause, "process 9 (client-proxy) of uid 0 has port 3002"));
}
END_TEST

START_TEST(a_door_to_another_weftd_is_broken)
{
	struct hop_door_seen seen = open_door();

	answered(&seen.own, "HTTP/1.1 502 Bad Gateway\r\n\r\n"
			    "{\"sandboxId\":\"a1\",\"message\":\"The sandbox was not found\",\"code\":502}");
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_FAIL);
	ck_assert_str_eq(hop.detail, "it does not know this sandbox");
	/* A port on which nothing listens is the guest's matter. */
	answered(&seen.own, "HTTP/1.1 502 Bad Gateway\r\n\r\n{\"message\":\"The sandbox is running but port is not "
			    "open\"}");
	ck_assert_int_eq(hop_door_judge(&walk, &hop, &seen), HOP_OK);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("judgements");
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, a_sleeper_is_no_fault_and_what_wakes_it_is_told);
	tcase_add_test(tcase, a_manager_that_was_asked_has_its_time_and_is_the_cause_then);
	tcase_add_test(tcase, a_required_port_that_refuses_is_a_fault);
	tcase_add_test(tcase, another_port_that_refuses_or_is_silent_is_idle);
	tcase_add_test(tcase, a_port_that_could_not_be_tried_is_no_verdict);
	tcase_add_test(tcase, a_long_list_of_ports_ends_in_an_ellipsis);
	tcase_add_test(tcase, a_dial_that_the_guest_accepts_is_in_order);
	tcase_add_test(tcase, an_answer_of_another_program_is_no_answer);
	tcase_add_test(tcase, a_refusal_is_the_guests_own_where_nothing_is_served);
	tcase_add_test(tcase, silence_is_traced_to_where_it_begins);
	tcase_add_test(tcase, a_dial_that_could_not_be_made_is_no_verdict);
	tcase_add_test(tcase, the_first_port_that_is_broken_is_named);
	tcase_add_test(tcase, a_list_of_dialed_ports_ends_in_an_ellipsis);
	tcase_add_test(tcase, a_confirmed_datagram_has_passed);
	tcase_add_test(tcase, a_datagram_that_nobody_confirms_was_dropped);
	tcase_add_test(tcase, a_datagram_that_leaves_otherwise_than_meant_is_a_fault);
	tcase_add_test(tcase, a_door_tells_who_may_come_in);
	tcase_add_test(tcase, a_door_that_nobody_gets_through_is_broken);
	tcase_add_test(tcase, a_door_to_another_weftd_is_broken);

	Suite *suite = suite_create("hops");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
