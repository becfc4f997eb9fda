/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A slot whose sandbox sleeps, one whose flows were reset, and what counts as use. */
#include "fabric/rules/slot_rules.h"
#include "kernel/conntrack.h"
#include "unit/fabric/rules/nft_slot_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 8080 };

static struct fabric_plan asleep = { .slot = 1, .id = "a", .paused = true, .sleep = 7 };
static const struct fabric_plan strict = { .slot = 1, .id = "a", .strict = true };

static void turn_to(const struct fabric_plan *to)
{
	OK(rules_slot_turn(-1, lab.config, to, &err));
	ck_assert(is_intact(to));
}

static void fall_asleep(void)
{
	asleep.sleep++;
	turn_to(&asleep);
}

/* A client of the host opens a connection to the guest from SOURCE_PORT. Returns its next packet, with payload. */
static struct packet connect_to_guest(uint16_t source_port)
{
	struct packet syn = from_host(IPPROTO_TCP, host_ip, PORT);

	syn.source_port = source_port;
	struct packet in = passes_in(&syn), answer = reply_to(&in, TH_SYN | TH_ACK);
	passes_out(&answer);
	struct packet next = syn;
	next.tcp_flags = TH_ACK;
	next.sequence++;
	next.acknowledged = 501;
	passes_in(&next);
	next.payload = 100;
	return next;
}

static struct packet gets_back(int fd)
{
	struct packet got = { 0 };

	ck_assert_msg(lab_receives(fd, &got), "no answer");
	return got;
}

static void is_answered_as_unreachable(const struct packet *packet)
{
	lab_host_sends(&lab, packet);
	struct packet got = gets_back(lab.host);
	ck_assert_uint_eq(got.proto, IPPROTO_ICMP);
	ck_assert_mem_eq(got.icmp, "\3\1", 2);
	ck_assert_uint_eq(got.destination, packet->source);
	ck_assert(lab_receives_nothing(lab.guest));
}

/* The sender has a reset, and the other side nothing. */
static void is_reset(int sender, int other, const struct packet *packet)
{
	if (sender == lab.guest)
		lab_guest_sends(&lab, packet);
	else
		lab_host_sends(&lab, packet);
	struct packet got = gets_back(sender);
	ck_assert_uint_eq(got.proto, IPPROTO_TCP);
	ck_assert_uint_eq(got.tcp_flags & TH_RST, TH_RST);
	ck_assert_uint_eq(got.source, packet->destination);
	ck_assert_uint_eq(got.destination, packet->source);
	ck_assert_uint_eq(got.source_port, packet->destination_port);
	ck_assert_uint_eq(got.sequence, packet->acknowledged);
	ck_assert(lab_receives_nothing(other));
}

/* ---- asleep ---- */

START_TEST(a_kept_flow_is_answered_for_the_guest_until_it_wakes)
{
	struct packet kept = connect_to_guest(40001);

	fall_asleep();
	for (int i = 0; i < 3; i++)
		is_answered_as_unreachable(&kept);
	turn_to(&plan);
	passes_in(&kept);
}
END_TEST

START_TEST(what_begins_while_it_sleeps_reaches_the_tap_and_no_error_answers_it)
{
	struct packet kept = connect_to_guest(40001), datagram = from_host(IPPROTO_UDP, host_ip, 53);

	fall_asleep();
	/* Its VM runs already. */
	struct packet early = connect_to_guest(40002);
	passes_in(&early);
	passes_in(&datagram);
	is_answered_as_unreachable(&kept);
	/* The next time it is one of those that are kept. */
	turn_to(&plan);
	fall_asleep();
	is_answered_as_unreachable(&early);
}
END_TEST

START_TEST(a_first_segment_that_the_guest_has_not_answered_yet_is_no_kept_flow)
{
	struct packet syn = from_host(IPPROTO_TCP, host_ip, PORT);

	passes_in(&syn);
	fall_asleep();
	passes_in(&syn);
}
END_TEST

START_TEST(a_kept_flow_that_conntrack_has_lost_is_a_kept_one)
{
	struct packet kept = connect_to_guest(40001), answer = reply_to(&kept, TH_ACK);

	fall_asleep();
	OK(kern_conntrack_flush(-1, &err));
	passes_in(&kept);
	answer.source = guest_ip;
	answer.sequence = 501;
	answer.acknowledged = kept.sequence + 100;
	passes_out(&answer);
	kept.sequence += 100;
	is_answered_as_unreachable(&kept);
}
END_TEST

/* Its host may have crashed since, and be up again: conntrack takes the SYN for one of the former connection. */
START_TEST(who_connects_anew_from_the_port_of_a_kept_flow_is_not_refused)
{
	struct packet kept = connect_to_guest(40001), syn = from_host(IPPROTO_TCP, host_ip, PORT);

	syn.source_port = 40001;
	syn.sequence = kept.sequence + 1000000;
	fall_asleep();
	passes_in(&syn);
	ck_assert(lab_receives_nothing(lab.host));
}
END_TEST

START_TEST(the_reset_of_a_kept_flow_reaches_the_tap)
{
	struct packet kept = connect_to_guest(40001), last = kept;

	last.tcp_flags = TH_RST | TH_ACK;
	last.payload = 0;
	fall_asleep();
	passes_in(&last);
	ck_assert(lab_receives_nothing(lab.host));
}
END_TEST

START_TEST(the_guest_itself_is_judged_as_ever)
{
	struct packet kept = connect_to_guest(40001), answer = reply_to(&kept, TH_ACK);
	struct packet opening = from_guest(IPPROTO_TCP, ELSEWHERE, 443),
		      private = from_guest(IPPROTO_TCP, IP(10, 1, 1, 1), 443);

	fall_asleep();
	answer.source = guest_ip;
	answer.sequence = 501;
	answer.acknowledged = 101;
	passes_out(&answer);
	passes_out(&opening);
	is_denied(&private);
}
END_TEST

START_TEST(more_than_a_sender_needs_is_not_answered_but_does_not_reach_the_guest_either)
{
	struct packet kept = connect_to_guest(40001);
	unsigned answers = 0;

	fall_asleep();
	lab_run("sysctl -qw net.ipv4.icmp_ratemask=6160");
	for (int i = 0; i < 4000; i++) {
		lab_host_sends(&lab, &kept);
		answers += !lab_receives_nothing(lab.host);
	}
	ck_assert(lab_receives_nothing(lab.guest));
	ck_assert_uint_ge(answers, 500);
}
END_TEST

START_TEST(the_tables_of_one_that_sleeps_are_compared_repaired_and_listed)
{
	struct packet kept = connect_to_guest(40001);

	fall_asleep();
	ck_assert(!is_intact(&plan));
	ck_assert(!is_intact(&strict));
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "reject with icmpx host-unreachable"));
	free(listing);
	ck_assert(is_intact(&asleep));
	lab_run("nft flush ruleset");
	OK(rules_slot_repair(-1, lab.config, &asleep, NULL, &err));
	ck_assert(is_intact(&asleep));
	is_answered_as_unreachable(&kept);
	/* Rules alone differ: no packet is lost. */
	OK(rules_slot_repair(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
	passes_in(&kept);
}
END_TEST

START_TEST(a_policy_changes_while_it_sleeps)
{
	const struct fabric_plan other = { .slot = 1, .id = "a", .egress = plan_closed.egress, .paused = true };
	const struct fabric_plan awake = { .slot = 1, .id = "a", .egress = plan_closed.egress };

	fall_asleep();
	OK(rules_slot_update(-1, lab.config, &other, &asleep, &err));
	ck_assert(is_intact(&other));
	turn_to(&awake);
}
END_TEST

/* ---- strict ---- */

START_TEST(each_end_of_a_forgotten_connection_has_a_reset_with_its_next_segment)
{
	struct packet client = connect_to_guest(40001), guest = reply_to(&client, TH_ACK | TH_PUSH);

	fall_asleep();
	turn_to(&strict);
	OK(kern_conntrack_flush(-1, &err));
	guest.source = guest_ip;
	guest.destination = client.source;
	guest.payload = 10;
	is_reset(lab.host, lab.guest, &client);
	is_reset(lab.guest, lab.host, &guest);
	is_reset(lab.host, lab.guest, &client);
}
END_TEST

START_TEST(so_has_a_connection_that_the_guest_opened)
{
	struct packet next = open_flow(ELSEWHERE, 443);
	struct packet far = reply_to(&next, TH_ACK);

	turn_to(&strict);
	OK(kern_conntrack_flush(-1, &err));
	is_reset(lab.guest, lab.host, &next);
	far.destination = host_ip;
	is_reset(lab.host, lab.guest, &far);
}
END_TEST

START_TEST(a_last_segment_is_answered_by_a_reset_and_a_reset_by_nothing)
{
	struct packet client = connect_to_guest(40001);

	/* As it is in a slot. */
	lab_run("sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0");
	turn_to(&strict);
	OK(kern_conntrack_flush(-1, &err));
	client.payload = 0;
	client.tcp_flags = TH_FIN | TH_ACK;
	is_reset(lab.host, lab.guest, &client);
	client.tcp_flags = TH_RST | TH_ACK;
	lab_host_sends(&lab, &client);
	ck_assert(lab_receives_nothing(lab.host));
	ck_assert(lab_receives_nothing(lab.guest));
}
END_TEST

START_TEST(new_connections_of_a_strict_slot_live_on)
{
	turn_to(&strict);
	struct packet client = connect_to_guest(40001);
	passes_in(&client);
	struct packet next = open_flow(ELSEWHERE, 443);
	passes_out(&next);
	/* An old duplicate, far out of the window, ends nothing. */
	struct packet stray = client;
	stray.sequence -= 1000000;
	lab_host_sends(&lab, &stray);
	ck_assert(lab_receives_nothing(lab.host));
	client.sequence += 100;
	passes_in(&client);
	char *listing = lab_round_trip();
	free(listing);
	ck_assert(is_intact(&strict));
}
END_TEST

/* With payload and ECN; from both ends at once; and from the port of a connection that has just ended. */
START_TEST(all_ways_to_begin_a_connection_pass_a_strict_slot)
{
	struct packet syn = from_host(IPPROTO_TCP, host_ip, PORT);

	turn_to(&strict);
	syn.tcp_flags = TH_SYN | 0xc0;
	syn.payload = 10;
	struct packet in = passes_in(&syn), answer = reply_to(&in, TH_SYN | TH_ACK);
	passes_out(&answer);

	struct packet opening = from_guest(IPPROTO_TCP, ELSEWHERE, 443);
	struct packet out = passes_out(&opening), crossing = reply_to(&out, TH_SYN);
	passes_in(&crossing);

	struct packet client = connect_to_guest(40001), ending = client;
	ending.payload = 0;
	ending.tcp_flags = TH_FIN | TH_ACK;
	in = passes_in(&ending);
	answer = reply_to(&in, TH_FIN | TH_ACK);
	answer.sequence = 501;
	answer.acknowledged = in.sequence + 1;
	passes_out(&answer);
	ending.tcp_flags = TH_ACK;
	ending.sequence++;
	ending.acknowledged = 502;
	passes_in(&ending);
	client = connect_to_guest(40001);
	passes_in(&client);
}
END_TEST

START_TEST(the_next_sleep_ends_it)
{
	turn_to(&strict);
	struct packet kept = connect_to_guest(40001);
	fall_asleep();
	is_answered_as_unreachable(&kept);
	turn_to(&plan);
	OK(kern_conntrack_flush(-1, &err));
	passes_in(&kept);
}
END_TEST

/* ---- use ---- */

static uint64_t active(void)
{
	uint64_t packets = 0;

	OK(rules_slot_activity(-1, &packets, &err));
	ck_assert_uint_eq(packets, lab_counter("inet", RULES_COUNTER_ACTIVE));
	return packets;
}

START_TEST(payload_both_ways_is_use_and_what_keeps_a_connection_is_none)
{
	struct packet client = connect_to_guest(40001);

	ck_assert_uint_eq(active(), 0);
	struct packet probe = client;
	probe.payload = 1;
	probe.sequence--;
	passes_in(&probe);
	ck_assert_uint_eq(active(), 0);
	passes_in(&client);
	ck_assert_uint_eq(active(), 1);
	struct packet answer = reply_to(&client, TH_ACK);
	answer.source = guest_ip;
	answer.sequence = 501;
	answer.acknowledged = client.sequence + 100;
	passes_out(&answer);
	ck_assert_uint_eq(active(), 1);
	answer.payload = 100;
	passes_out(&answer);
	ck_assert_uint_eq(active(), 2);
}
END_TEST

START_TEST(datagrams_are_use_but_not_names_and_time_that_the_guest_asks_for)
{
	static const uint16_t ports[] = { 53, 123 };
	struct packet in = from_host(IPPROTO_UDP, host_ip, 53), ping = from_guest(IPPROTO_ICMP, ELSEWHERE, 0);

	for (int i = 0; i < 2; i++) {
		struct packet question = from_guest(IPPROTO_UDP, ELSEWHERE, ports[i]);
		struct packet out = passes_out(&question), answer = reply_to(&out, 0);
		passes_in(&answer);
	}
	ping.payload = 64;
	passes_out(&ping);
	ck_assert_uint_eq(active(), 0);
	struct packet other = from_guest(IPPROTO_UDP, ELSEWHERE, 5000);
	passes_out(&other);
	ck_assert_uint_eq(active(), 1);
	/* The guest is a server of names. */
	struct packet asked = passes_in(&in), answer = reply_to(&asked, 0);
	passes_out(&answer);
	ck_assert_uint_eq(active(), 3);
}
END_TEST

START_TEST(what_is_denied_reset_or_answered_for_the_guest_is_no_use)
{
	struct packet private = from_guest(IPPROTO_UDP, IP(10, 1, 1, 1), 5000);
	struct packet kept = connect_to_guest(40001);

	is_denied(&private);
	fall_asleep();
	is_answered_as_unreachable(&kept);
	turn_to(&strict);
	OK(kern_conntrack_flush(-1, &err));
	is_reset(lab.host, lab.guest, &kept);
	ck_assert_uint_eq(active(), 0);
}
END_TEST

START_TEST(the_count_goes_on_when_rules_are_repaired)
{
	struct packet datagram = from_guest(IPPROTO_UDP, ELSEWHERE, 5000);

	passes_out(&datagram);
	lab_run("nft add rule inet weft forward accept");
	OK(rules_slot_repair(-1, lab.config, &plan, NULL, &err));
	ck_assert_uint_eq(active(), 1);
}
END_TEST

START_TEST(tables_of_before_sleep_are_brought_up_to_date_without_losing_a_flow)
{
	struct packet kept = connect_to_guest(40001);

	/* As the versions before this one made them. */
	lab_run("nft delete chain inet weft activity && nft delete chain inet weft active_datagrams && "
		"nft delete counter inet weft active");
	ck_assert(!is_intact(&plan));
	OK(rules_slot_repair(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
	passes_in(&kept);
	ck_assert_uint_eq(active(), 1);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, setup_with_tables, NULL);
	tcase_set_timeout(tests, 120);
	suite_add_tcase(suite, tests);
	return tests;
}

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_slot_asleep");
	TCase *sleeping = add_case(suite, "asleep"), *forgotten = add_case(suite, "strict"),
	      *use = add_case(suite, "use");

	tcase_add_test(sleeping, a_kept_flow_is_answered_for_the_guest_until_it_wakes);
	tcase_add_test(sleeping, what_begins_while_it_sleeps_reaches_the_tap_and_no_error_answers_it);
	tcase_add_test(sleeping, a_first_segment_that_the_guest_has_not_answered_yet_is_no_kept_flow);
	tcase_add_test(sleeping, a_kept_flow_that_conntrack_has_lost_is_a_kept_one);
	tcase_add_test(sleeping, who_connects_anew_from_the_port_of_a_kept_flow_is_not_refused);
	tcase_add_test(sleeping, the_reset_of_a_kept_flow_reaches_the_tap);
	tcase_add_test(sleeping, the_guest_itself_is_judged_as_ever);
	tcase_add_test(sleeping, more_than_a_sender_needs_is_not_answered_but_does_not_reach_the_guest_either);
	tcase_add_test(sleeping, the_tables_of_one_that_sleeps_are_compared_repaired_and_listed);
	tcase_add_test(sleeping, a_policy_changes_while_it_sleeps);
	tcase_add_test(forgotten, each_end_of_a_forgotten_connection_has_a_reset_with_its_next_segment);
	tcase_add_test(forgotten, so_has_a_connection_that_the_guest_opened);
	tcase_add_test(forgotten, a_last_segment_is_answered_by_a_reset_and_a_reset_by_nothing);
	tcase_add_test(forgotten, new_connections_of_a_strict_slot_live_on);
	tcase_add_test(forgotten, all_ways_to_begin_a_connection_pass_a_strict_slot);
	tcase_add_test(forgotten, the_next_sleep_ends_it);
	tcase_add_test(use, payload_both_ways_is_use_and_what_keeps_a_connection_is_none);
	tcase_add_test(use, datagrams_are_use_but_not_names_and_time_that_the_guest_asks_for);
	tcase_add_test(use, what_is_denied_reset_or_answered_for_the_guest_is_no_use);
	tcase_add_test(use, the_count_goes_on_when_rules_are_repaired);
	tcase_add_test(use, tables_of_before_sleep_are_brought_up_to_date_without_losing_a_flow);
	return run_suite(suite);
}
