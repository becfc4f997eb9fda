/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front door as it may be found: what the check says, and how an answer is read.
 */
#include "health/front_door.h"
#include "unit/health/doctor_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char right[] = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 78\r\n\r\n"
			    "{\"sandboxId\":\"weftdoorcheck\",\"message\":\"The sandbox was not found\",\"code\":502}";
static const char refused[] = "HTTP/1.1 502 Bad Gateway\r\nWeft-Refused: not-found\r\nContent-Length: 0\r\n\r\n";

static struct health_door_answer answer_of(const char *text)
{
	struct health_door_answer answer;

	health_door_read_answer(text, strlen(text), &answer);
	return answer;
}

/* A door on which nothing is wrong. */
static void make_door(void)
{
	facts.door = (struct health_door){
		.looked = true,
		.installed = true,
		.enabled = true,
		.proxy = { .pid = 812, .of_unit = true, .files = "/usr/share/weft/door/haproxy.cfg" },
		.socket = { .path = "/run/weft/door.sock",
			    .mode = S_IFSOCK | 0660,
			    .group = 113,
			    .owners = "root:haproxy" },
		.group_name = "haproxy",
		.group = 113,
		.local = { .listens = true, .pid = 813, .name = "haproxy", .ours = true },
		.local6 = { .listens = true, .pid = 813, .name = "haproxy", .ours = true },
		.knock = answer_of(refused),
		.answer = answer_of(right),
	};
	facts.door.local.at = addr_from_ipv4(INADDR_LOOPBACK, HEALTH_DOOR_PORT);
	facts.door.local6.at = addr_loopback6(HEALTH_DOOR_PORT);
	facts.door.listens[0] = facts.door.local.at;
	facts.door.listens[1] = facts.door.local6.at;
	facts.door.listen_count = 2;
}

/* What is wrong with PART, which must be said with WORDS and the remedy FIX, by the doctor too. */
static void wrong(const char *part, const char *words, const char *fix)
{
	const struct health_finding *finding = found(check_door, HEALTH_FAIL, words);

	ck_assert_msg(strstr(finding->fix, fix), "%s", finding->fix);
	health_report_clear(&report);
	check_door_parts(&facts, &report);
	for (size_t i = 0; i < report.count; i++)
		if (strcmp(report.findings[i].check, part) == 0)
			ck_assert_msg(strstr(report.findings[i].detail, words), "%s", report.findings[i].detail);
}

START_TEST(a_host_without_a_door_lacks_nothing)
{
	found(check_door, HEALTH_OK, "no front door is in use");
	make_door();
	found(check_door, HEALTH_OK, "process 812");
	/* A package that was turned off. */
	facts.door.enabled = false;
	facts.door.proxy.pid = 0;
	facts.door.local = (struct health_door_holder){ .listens = true, .pid = 9, .name = "client-proxy" };
	found(check_door, HEALTH_OK, "no front door is in use");
	/* weftd's was. */
	make_door();
	facts.door.socket.path[0] = '\0';
	found(check_door, HEALTH_OK, "no front door is in use");
}
END_TEST

START_TEST(a_door_that_is_meant_to_run_and_does_not_is_a_fault)
{
	make_door();
	facts.door.proxy.pid = 0;
	facts.door.local = facts.door.local6 = (struct health_door_holder){ 0 };
	facts.door.answer = (struct health_door_answer){ 0 };
	wrong("haproxy", "weft-door.service does not run", "systemctl start weft-door");
}
END_TEST

START_TEST(who_has_the_doors_port_is_named)
{
	make_door();
	facts.door.proxy.pid = 0;
	facts.door.local.ours = facts.door.local6.ours = false;
	facts.door.local.pid = facts.door.local6.pid = 900;
	strcpy(facts.door.local.name, "client-proxy");
	facts.door.answer = (struct health_door_answer){ 0 };
	health_report_clear(&report);
	check_door(&facts, &report);
	ck_assert_uint_eq(report.count, 2);
	ck_assert_ptr_nonnull(strstr(report.findings[1].detail,
				     "127.0.0.1:3002 is taken: listened on by process 900 (client-proxy) of uid 0"));
	/* The door may have been told to listen elsewhere. */
	facts.door.proxy.pid = 812;
	ck_assert_ptr_nonnull(
	    strstr(found(check_door, HEALTH_WARN, "127.0.0.1:3002 is taken")->fix, "WEFT_DOOR_LISTEN"));
	facts.door.local = facts.door.local6 = (struct health_door_holder){ 0 };
	found(check_door, HEALTH_WARN, "does not listen on 127.0.0.1:3002");
	/* E2B's orchestrator on the node's port is no fault of the door's. */
	make_door();
	facts.door.node = (struct health_door_holder){ .listens = true, .pid = 901, .name = "orchestrator" };
	found(check_door, HEALTH_OK, "process 812");
	health_report_clear(&report);
	check_door_parts(&facts, &report);
	ck_assert_ptr_nonnull(strstr(report.findings[2].detail, "5007 is not the door's: process 901 (orchestrator)"));
}
END_TEST

START_TEST(a_socket_that_haproxy_cannot_use_is_a_fault)
{
	make_door();
	facts.door.socket.error = ENOENT;
	wrong("socket", "/run/weft/door.sock: No such file", "systemctl start weftd");
	daemon_runs();
	wrong("socket", "/run/weft/door.sock: No such file", "weftctl status");
	make_door();
	facts.door.socket.mode = S_IFREG | 0644;
	wrong("socket", "another program's file", "move that file away");
	make_door();
	facts.door.group_error = ENOENT;
	wrong("socket", "the group haproxy of [door] group does not exist", "apt install haproxy");
	make_door();
	facts.door.socket.group = 0;
	wrong("socket", "is 0660 root:haproxy, and not 0660 root:haproxy", "systemctl restart weftd");
	make_door();
	facts.door.socket.mode = S_IFSOCK | 0600;
	wrong("socket", "is 0600", "systemctl restart weftd");
	make_door();
	facts.door.knock = (struct health_door_answer){ .result = HEALTH_DOOR_UNREACHED, .error = ECONNREFUSED };
	wrong("socket", "does not answer as weftd: Connection refused", "journalctl -u weftd");
}
END_TEST

START_TEST(what_is_not_visible_is_no_fault)
{
	make_door();
	facts.door.socket.error = EACCES;
	found(check_door, HEALTH_SKIPPED, "not visible from here");
	make_door();
	facts.door.knock = (struct health_door_answer){ .result = HEALTH_DOOR_UNREACHED, .error = EACCES };
	found(check_door, HEALTH_SKIPPED, "whether weftd answers is not visible");
}
END_TEST

START_TEST(another_answer_than_e2bs_is_a_fault)
{
	make_door();
	facts.door.answer = answer_of("HTTP/1.1 503 Service Unavailable\r\n\r\n<html>");
	wrong("answer", "status 503: <html>", "WEFT_DOOR_SOCKET");
	facts.door.answer = answer_of("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\n{}");
	wrong("answer", "status 502: {}", "compare HAProxy's files");
	facts.door.answer = (struct health_door_answer){ .result = HEALTH_DOOR_SILENT };
	wrong("answer", "no answer within 2 s", "weft-door");
	facts.door.answer = answer_of("SSH-2.0\x1b[31m\r\n\r\n");
	wrong("answer", "closed without an answer in HTTP", "weft-door");
}
END_TEST

START_TEST(an_old_haproxy_is_a_fault)
{
	make_door();
	strcpy(facts.door.proxy.version, "2.4.22");
	wrong("haproxy", "version 2.4.22", "2.6");
	strcpy(facts.door.proxy.version, "2.6.12");
	health_report_clear(&report);
	check_door_parts(&facts, &report);
	ck_assert_str_eq(report.findings[0].detail, "2.6.12, process 812, weft-door.service");
	ck_assert_str_eq(report.findings[1].detail, "/usr/share/weft/door/haproxy.cfg");
	ck_assert_str_eq(report.findings[2].detail, "127.0.0.1:3002, [::1]:3002");
	ck_assert_str_eq(report.findings[3].detail, "/run/weft/door.sock, 0660 root:haproxy, weftd answers");
	strcpy(facts.door.proxy.version, "3.0");
	found(check_door, HEALTH_OK, "process 812");
}
END_TEST

START_TEST(an_answer_is_read_up_to_its_end)
{
	struct health_door_answer answer = answer_of(right);
	char longer[sizeof(right) + 16], text[HEALTH_DOOR_TEXT_SIZE];

	ck_assert(health_door_is_right(&answer) && !health_door_is_weftd(&answer));
	snprintf(longer, sizeof(longer), "%s\nclosed\n", right);
	answer = answer_of(longer);
	ck_assert(health_door_is_right(&answer));
	answer = answer_of(refused);
	ck_assert(health_door_is_weftd(&answer) && !health_door_is_right(&answer));
	ck_assert_str_eq(answer.body, "");
	answer = answer_of("HTTP/1.1 200 OK\r\ncontent-length:  3 \r\n\r\n\x1b[m!");
	ck_assert_uint_eq(answer.status, 200);
	ck_assert_str_eq(health_door_describe(&answer, text), "status 200: ?[m");
	ck_assert_int_eq(answer_of("").result, HEALTH_DOOR_CLOSED);
	ck_assert_int_eq(answer_of("HTTP/1.1 502 Bad").result, HEALTH_DOOR_CLOSED);
	ck_assert_int_eq(answer_of("HTTP/2 502\r\n\r\n").result, HEALTH_DOOR_CLOSED);
	ck_assert_int_eq(answer_of("HTTP/1.1 502\r\nContent-Length: 99999999999999999999\r\n\r\n").result,
			 HEALTH_DOOR_ANSWERED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("door");
	TCase *tcase = tcase_create("door");

	tcase_add_checked_fixture(tcase, doctor_setup, doctor_teardown);
	tcase_add_test(tcase, a_host_without_a_door_lacks_nothing);
	tcase_add_test(tcase, a_door_that_is_meant_to_run_and_does_not_is_a_fault);
	tcase_add_test(tcase, who_has_the_doors_port_is_named);
	tcase_add_test(tcase, a_socket_that_haproxy_cannot_use_is_a_fault);
	tcase_add_test(tcase, what_is_not_visible_is_no_fault);
	tcase_add_test(tcase, another_answer_than_e2bs_is_a_fault);
	tcase_add_test(tcase, an_old_haproxy_is_a_fault);
	tcase_add_test(tcase, an_answer_is_read_up_to_its_end);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
