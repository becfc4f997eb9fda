/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The doctor's checks on made-up hosts, with facts that a namespace of the test's own cannot have.
 */
#include "unit/health/doctor_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(the_connection_table_is_judged_by_its_use)
{
	found(check_conntrack, HEALTH_SKIPPED, "not visible from here");
	file("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
	file("/proc/sys/net/netfilter/nf_conntrack_count", "1000\n");
	found(check_conntrack, HEALTH_OK, "1000 of 262144");
	files[1].text = "200000\n";
	found(check_conntrack, HEALTH_WARN, "200000 of 262144");
	files[1].text = "262000\n";
	found(check_conntrack, HEALTH_FAIL, "262000 of 262144");
	files[0].text = "8192\n";
	files[1].text = "1\n";
	ck_assert_ptr_nonnull(strstr(found(check_conntrack, HEALTH_WARN, "1 of 8192")->fix, "262144"));
}
END_TEST

START_TEST(the_connection_table_is_to_hold_what_all_guests_may_open)
{
	file("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
	file("/proc/sys/net/netfilter/nf_conntrack_count", "1000\n");
	facts.said.sandboxes = 32;
	found(check_conntrack, HEALTH_OK, "1000 of 262144");
	facts.said.sandboxes = 33;
	found(check_conntrack, HEALTH_WARN, "33 sandboxes may open 270336");
	/* DNS servers and services of the host have a share of their own. */
	struct cidr4 server = { 0x01010101, 32 };
	config->addresses.dns.items = &server;
	config->addresses.dns.count = 1;
	facts.said.sandboxes = 16;
	found(check_conntrack, HEALTH_OK, "1000 of 262144");
	facts.said.sandboxes = 17;
	const struct health_finding *finding = found(check_conntrack, HEALTH_WARN, "17 sandboxes may open 278528");
	ck_assert_ptr_nonnull(strstr(finding->fix, "nf_conntrack_max=393216"));
	ck_assert_ptr_nonnull(strstr(finding->fix, "[egress] flows = 5782"));
	config->egress.flows = 5782;
	found(check_conntrack, HEALTH_OK, "1000 of 262144");
	/* 0 sets no limit. */
	config->egress.flows = 8192;
	files[0].text = "0\n";
	found(check_conntrack, HEALTH_OK, "1000 of 0");
	config->addresses.dns.items = NULL;
	config->addresses.dns.count = 0;
}
END_TEST

START_TEST(descriptors_are_those_of_the_daemon_where_it_runs)
{
	file("/proc/sys/fs/file-nr", "2000\t0\t9223372036854775807\n");
	file("/proc/sys/fs/nr_open", "1048576\n");
	found(check_descriptors, HEALTH_OK, "1048576");
	daemon_runs();
	file("/proc/70/limits", "Limit                     Soft Limit           Hard Limit           Units\n"
				"Max open files            1024                 524288               files\n");
	ck_assert_ptr_nonnull(strstr(found(check_descriptors, HEALTH_WARN, "weftd may have 1024")->why,
				     "256 are kept for the control socket"));
	files[0].text = "95\t0\t100\n";
	found(check_descriptors, HEALTH_FAIL, "95 of the system's 100");
}
END_TEST

START_TEST(the_neighbour_table_matters_only_where_macs_are_learnt)
{
	found(check_neighbours, HEALTH_SKIPPED, "not visible from here");
	file("/proc/sys/net/ipv4/neigh/default/gc_thresh3", "1024\n");
	found(check_neighbours, HEALTH_OK, "exempt");
	config->layout.guest_mac_learn = true;
	found(check_neighbours, HEALTH_WARN, "1024");
	files[0].text = "32768\n";
	found(check_neighbours, HEALTH_OK, "32768");
}
END_TEST

START_TEST(forwarding_turned_off_under_a_daemon_is_a_fault)
{
	file("/proc/sys/net/ipv4/ip_forward", "0\n");
	found(check_ip_forward, HEALTH_WARN, "is 0");
	daemon_runs();
	ck_assert(!found(check_ip_forward, HEALTH_FAIL, "is 0")->ends_start);
	config->host.ip_forward = HOST_FORWARD_REQUIRE;
	ck_assert(found(check_ip_forward, HEALTH_FAIL, "is 0")->ends_start);
}
END_TEST

START_TEST(a_missing_way_out_matters_where_sandboxes_may_go_out)
{
	struct inspect_link links[] = { { .index = 2, .name = "eth0", .up = true, .carrier = true },
					{ .index = 3, .name = "eth1", .up = true } };
	struct inspect_route routes[] = { { .table = RT_TABLE_MAIN, .type = RTN_UNREACHABLE },
					  { .table = RT_TABLE_MAIN, .type = RTN_UNICAST, .link = 3 },
					  { .table = 7, .type = RTN_UNICAST, .link = 2 },
					  { .table = RT_TABLE_MAIN, .type = RTN_UNICAST } };
	struct inspect_rule rules[] = { { .table = RT_TABLE_MAIN }, { .table = 7 } };
	static char other[] = "eth2";

	found(check_uplink, HEALTH_SKIPPED, "not visible");
	facts.host = (struct inspect_host){ .links = links, .routes = routes, .rules = rules };
	facts.host.link_count = 2;
	facts.host.rule_count = 1;
	facts.host.route_count = 1;
	found(check_uplink, HEALTH_WARN, "no default route, and eth1 has no carrier");
	links[1].up = false;
	found(check_uplink, HEALTH_WARN, "no default route, and eth1 is down");
	config->addresses.uplink = links[0].name;
	found(check_uplink, HEALTH_WARN, "no default route");
	config->addresses.uplink = NULL;
	config->egress.internet = false;
	found(check_uplink, HEALTH_OK, "no default route");
	config->egress.internet = true;
	facts.host.route_count = 3;
	found(check_uplink, HEALTH_WARN, "eth1, which has no carrier");
	facts.host.rule_count = 2;
	found(check_uplink, HEALTH_OK, "by eth0");
	config->addresses.uplink = other;
	found(check_uplink, HEALTH_WARN, "by eth1, and [addresses] uplink = eth2");
	/* One of several links may be the right one. */
	facts.host.route_count = 4;
	found(check_uplink, HEALTH_OK, "by several links");
	config->addresses.uplink = NULL;
	facts.host = (struct inspect_host){ 0 };
}
END_TEST

START_TEST(a_kernel_that_refuses_is_a_fault)
{
	found(check_kernel, HEALTH_OK, "work");
	strcpy(facts.features_missing, "veth: Operation not supported");
	ck_assert(!found(check_kernel, HEALTH_FAIL, "veth: Operation not supported")->ends_start);
	strcat(facts.features_missing, "; nftables with nat, fib and ct: No such file or directory");
	ck_assert(found(check_kernel, HEALTH_FAIL, "nftables")->ends_start);
	strcpy(facts.features_error, "a network namespace: Operation not permitted");
	found(check_kernel, HEALTH_SKIPPED, "not visible from here");
}
END_TEST

START_TEST(sockets_are_read_from_procfs)
{
	health_add_sockets(
	    &facts,
	    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	    "   0: 0100007F:C33F 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 8 1 0\n"
	    "   1: 0100007F:C33F 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 9 1 0\n"
	    "nonsense\n",
	    false);
	health_add_sockets(&facts,
			   "   0: 00000000000000000000000001000000:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000     0        0 7 1 0\n",
			   true);
	char text[ADDR_TEXT_SIZE];
	ck_assert_uint_eq(facts.sockets.count, 3);
	ck_assert_str_eq(addr_format(&facts.sockets.items[0].local, text), "127.0.0.1:49983");
	ck_assert(facts.sockets.items[0].listening && !facts.sockets.items[1].listening);
	ck_assert_uint_eq(facts.sockets.items[0].inode, 8);
	ck_assert_str_eq(addr_format(&facts.sockets.items[2].local, text), "[::1]:49983");

	/* nginx has the port; weftd's own on ::1 is no fault. */
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	found(check_ports, HEALTH_FAIL,
	      "127.0.0.1:49983 of the default endpoint is taken: listened on by process 80 (nginx) of uid 33");
}
END_TEST

START_TEST(a_daemons_own_sockets_are_no_fault)
{
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	daemon_runs();
	health_add_sockets(
	    &facts,
	    "   0: 0100007F:C33F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0\n"
	    "   1: 0100007F:C33F 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 7 1 0\n"
	    "   2: 0100007F:C33F 0100007F:1F91 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n"
	    "   3: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0\n",
	    false);
	found(check_ports, HEALTH_OK, "nobody else");
}
END_TEST

START_TEST(a_port_is_taken_while_the_daemon_runs_without_it)
{
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	daemon_runs();
	health_add_sockets(
	    &facts,
	    "   0: 0100007F:C33F 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 8 1 0\n",
	    false);
	found(check_ports, HEALTH_FAIL, "listened on by process 80 (nginx) of uid 33");
}
END_TEST

START_TEST(an_ipv4_socket_of_ipv6_takes_a_port_of_ipv4)
{
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	daemon_runs();
	health_add_sockets(&facts,
			   "   0: 0000000000000000FFFF00000100007F:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000    33        0 8 1 0\n",
			   true);
	found(check_ports, HEALTH_FAIL, "listened on by process 80 (nginx) of uid 33");
}
END_TEST

START_TEST(a_strangers_socket_is_told_by_its_uid_where_no_process_is_visible)
{
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	daemon_runs();
	health_add_sockets(
	    &facts,
	    "   0: 0100007F:C33F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 99 1 0\n",
	    false);
	found(check_ports, HEALTH_FAIL, "a process of uid 1000 that is not visible");
}
END_TEST

START_TEST(a_socket_that_is_bound_and_does_not_listen_takes_a_port)
{
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	found(check_ports, HEALTH_FAIL,
	      "127.0.0.1:49983 of the default endpoint is taken: held by a process that is not visible from here");
	bound_pid = 812;
	found(check_ports, HEALTH_FAIL, "held by process 812 (bind) of uid 33");
	bound_pid = 0;
	/* A daemon that runs without the address makes it nobody's. */
	daemon_runs();
	health_add_sockets(&facts,
			   "   0: 00000000000000000000000001000000:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000     0        0 7 1 0\n"
			   "   1: 00000000000000000000000000000000:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000     0        0 7 1 0\n",
			   true);
	found(check_ports, HEALTH_FAIL, "held by a process that is not visible from here");
}
END_TEST

START_TEST(a_listener_on_all_of_ipv6_takes_a_port_of_ipv4_if_the_trial_says_so)
{
	health_add_sockets(&facts,
			   "   0: 00000000000000000000000000000000:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000    33        0 8 1 0\n",
			   true);
	trial_fails("[::1]:49983", EADDRINUSE);
	found(check_ports, HEALTH_FAIL, "[::1]:49983 of the default endpoint is taken: listened on by process 80");
	trial_fails("127.0.0.1:49983", EADDRINUSE);
	found(check_ports, HEALTH_FAIL, "127.0.0.1:49983 of the default endpoint is taken: listened on by process 80");
}
END_TEST

START_TEST(a_trial_that_fails_for_another_reason_is_no_fault)
{
	static const int errors[] = { EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EMFILE };

	health_add_sockets(&facts,
			   "   0: 00000000000000000000000000000000:C33F 00000000000000000000000000000000:0000 0A "
			   "00000000:00000000 00:00000000 00000000    33        0 8 1 0\n",
			   true);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		trial_fails("127.0.0.1:49983", errors[i]);
		found(check_ports, HEALTH_OK, "nobody else");
	}
	/* A listener that is certain to be in the way is told all the same. */
	health_add_sockets(
	    &facts,
	    "   0: 00000000:C33F 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 8 1 0\n",
	    false);
	found(check_ports, HEALTH_FAIL, "127.0.0.1:49983 of the default endpoint is taken: listened on by process 80");
}
END_TEST

static enum inspect_trial_result trial_result;
static unsigned trials;

static enum inspect_trial_result try_filter(const struct inspect_trial *asked, char *text, size_t size)
{
	trials++;
	ck_assert_int_eq(asked->answer->certainty, RULESET_PERHAPS);
	ck_assert(asked->spared_first == config->ports.first && asked->spared_last == config->ports.last);
	snprintf(text, size, "%s", trial_result == TRIAL_NONE ? "that takes root" : "tried: so it was");
	return trial_result;
}

/* A chain at HOOK that perhaps does VERDICT. */
static void doubtful_rule(enum ruleset_hook hook, enum ruleset_verdict verdict)
{
	struct ruleset_chain *chain = inspect_ruleset_add_chain(&facts.ruleset);
	struct ruleset_rule *rule = inspect_ruleset_add_rule(chain);

	strcpy(chain->family, "ip");
	strcpy(chain->table, "other");
	strcpy(chain->name, "doubt");
	chain->hook = hook;
	rule->verdict = verdict;
	inspect_ruleset_add_step(rule, &(struct ruleset_step){ .kind = STEP_DOUBT });
}

START_TEST(a_doubt_about_other_firewalls_is_tried)
{
	facts.try_filter = try_filter;
	doubtful_rule(HOOK_FORWARD, VERDICT_DROP);
	health_report_clear(&report);
	trial_result = TRIAL_PASSED;
	check_firewall(&facts, &report);
	ck_assert_uint_eq(report.count, 2);
	ck_assert_int_eq(health_report_worst(&report), HEALTH_OK);
	ck_assert_msg(strstr(report.findings[0].detail, "tried: so it was") != NULL, "%s", report.findings[0].detail);
	ck_assert_uint_eq(trials, 2);
	health_report_clear(&report);
	trial_result = TRIAL_CAUGHT;
	check_firewall(&facts, &report);
	ck_assert_int_eq(health_report_worst(&report), HEALTH_FAIL);
	ck_assert_msg(strstr(report.findings[0].detail, "are dropped in") &&
			  strstr(report.findings[0].detail, "so it was"),
		      "%s", report.findings[0].detail);
	health_report_clear(&report);
	trial_result = TRIAL_NONE;
	check_firewall(&facts, &report);
	ck_assert_int_eq(health_report_worst(&report), HEALTH_WARN);
	ck_assert_msg(strstr(report.findings[0].why, "not tried: that takes root") != NULL, "%s",
		      report.findings[0].why);
}
END_TEST

START_TEST(a_doubt_about_redirects_is_tried)
{
	facts.try_filter = try_filter;
	doubtful_rule(HOOK_PREROUTING, VERDICT_REDIRECT);
	trial_result = TRIAL_PASSED;
	found(check_redirects, HEALTH_OK, "pass a rule (dnat)");
	trial_result = TRIAL_CAUGHT;
	found(check_redirects, HEALTH_WARN, "are redirected");
	trial_result = TRIAL_NONE;
	found(check_redirects, HEALTH_WARN, "are perhaps redirected");
	/* Nothing can be tried: it says so. */
	facts.try_filter = NULL;
	ck_assert_ptr_nonnull(strstr(found(check_redirects, HEALTH_WARN, "perhaps")->why, "not tried: "));
}
END_TEST

START_TEST(the_last_of_the_mounts_on_a_place_counts)
{
	file("/proc/self/mountinfo", "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n"
				     "30 22 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n");
	found(check_mounts, HEALTH_OK, "/run,");
	files[0].text = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n"
			"30 22 0:25 / /run rw shared:5 - tmpfs tmpfs rw\n"
			"31 30 0:25 /netns /run/netns rw - tmpfs tmpfs rw\n"
			"32 30 0:26 / /run/net rw shared:9 - tmpfs tmpfs rw\n";
	found(check_mounts, HEALTH_WARN, "/run/netns, which is private");
	files[0].text = "22 1 254:0 / / rw shared:1 master:4 - ext4 /dev/vda rw\n";
	found(check_mounts, HEALTH_WARN, "slave");
	files[0].text = "garbage\n\n22 1\n";
	found(check_mounts, HEALTH_SKIPPED, "not visible");
}
END_TEST

START_TEST(a_daemon_with_mounts_of_its_own_is_named)
{
	static const char
	    host[] = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n"
		     "30 22 0:25 / /run/netns rw shared:5 - tmpfs tmpfs rw\n",
	    own[] = "90 1 0:80 / / rw - overlay overlay rw\n91 90 0:81 / /run/netns rw shared:6 - tmpfs tmpfs rw\n",
	    peer[] = "90 1 0:80 / / rw - overlay overlay rw\n91 90 0:25 / /run/netns rw shared:5 - tmpfs tmpfs rw\n";

	daemon_runs();
	file("/proc/self/mountinfo", host);
	found(check_mounts, HEALTH_OK, "which is shared"); /* it is not visible whether the daemon has others */
	file("/proc/70/mountinfo", peer);
	found(check_mounts, HEALTH_OK, "which is shared");

	forget_files();
	daemon_runs();
	file("/proc/self/mountinfo", host);
	file("/proc/70/mountinfo", own);
	ck_assert_ptr_nonnull(
	    strstr(found(check_mounts, HEALTH_WARN, "process 70, has a /run/netns of its own")->fix, "rshared"));
}
END_TEST

START_TEST(the_worst_finding_decides)
{
	health_add(&report, "a", HEALTH_SKIPPED, "x");
	ck_assert_int_eq(health_report_worst(&report), HEALTH_OK);
	health_add(&report, "b", HEALTH_FAIL, "x");
	health_add(&report, "c", HEALTH_WARN, "x");
	ck_assert_int_eq(health_report_worst(&report), HEALTH_FAIL);
}
END_TEST

int main(void)
{
	TCase *checks = tcase_create("checks");
	tcase_add_checked_fixture(checks, doctor_setup, doctor_teardown);
	tcase_add_test(checks, the_connection_table_is_judged_by_its_use);
	tcase_add_test(checks, the_connection_table_is_to_hold_what_all_guests_may_open);
	tcase_add_test(checks, descriptors_are_those_of_the_daemon_where_it_runs);
	tcase_add_test(checks, the_neighbour_table_matters_only_where_macs_are_learnt);
	tcase_add_test(checks, forwarding_turned_off_under_a_daemon_is_a_fault);
	tcase_add_test(checks, a_missing_way_out_matters_where_sandboxes_may_go_out);
	tcase_add_test(checks, a_kernel_that_refuses_is_a_fault);
	tcase_add_test(checks, sockets_are_read_from_procfs);
	tcase_add_test(checks, a_daemons_own_sockets_are_no_fault);
	tcase_add_test(checks, a_port_is_taken_while_the_daemon_runs_without_it);
	tcase_add_test(checks, an_ipv4_socket_of_ipv6_takes_a_port_of_ipv4);
	tcase_add_test(checks, a_socket_that_is_bound_and_does_not_listen_takes_a_port);
	tcase_add_test(checks, a_listener_on_all_of_ipv6_takes_a_port_of_ipv4_if_the_trial_says_so);
	tcase_add_test(checks, a_trial_that_fails_for_another_reason_is_no_fault);
	tcase_add_test(checks, a_strangers_socket_is_told_by_its_uid_where_no_process_is_visible);
	tcase_add_test(checks, a_doubt_about_other_firewalls_is_tried);
	tcase_add_test(checks, a_doubt_about_redirects_is_tried);
	tcase_add_test(checks, the_last_of_the_mounts_on_a_place_counts);
	tcase_add_test(checks, a_daemon_with_mounts_of_its_own_is_named);
	tcase_add_test(checks, the_worst_finding_decides);

	Suite *suite = suite_create("doctor");
	suite_add_tcase(suite, checks);

	return run_suite(suite);
}
