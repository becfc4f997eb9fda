/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/fabric/rules/nft_slot_lab.h"
#include "unit/run_suite.h"

#include "base/clock.h"
#include "kernel/conntrack.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
	struct fabric_denial items[64];
	size_t count;
};

static void take(void *context, const struct fabric_denial *denial)
{
	struct told *told = context;

	ck_assert_uint_lt(told->count, 64);
	told->items[told->count++] = *denial;
}

START_TEST(private_ranges_are_denied_at_once_and_recorded)
{
	static const uint32_t destinations[] = { IP(10, 1, 2, 3),    IP(100, 64, 0, 1),  IP(172, 31, 0, 1),
						 IP(192, 168, 1, 1), IP(169, 254, 1, 1), IP(169, 254, 169, 254) };
	struct told told = { .count = 0 };
	uint64_t since = 0;

	for (size_t i = 0; i < 6; i++) {
		expect(destinations[i], IPPROTO_TCP, 80, false, "private");
		expect(destinations[i], IPPROTO_UDP, 53, false, "private");
	}
	ck_assert_str_eq(reach(IP(10, 1, 2, 3), IPPROTO_TCP, 80).set, "always_denied 10.0.0.0-10.255.255.255");
	OK(rules_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 12);
	ck_assert_str_eq(told.items[0].rule, "private");
	ck_assert_uint_eq(lab_counter("inet", "denied_private"), 12);
}
END_TEST

START_TEST(the_ways_back_to_the_host_and_to_other_sandboxes_are_denied)
{
	expect(tap_ip, IPPROTO_TCP, 22, false, "gateway");
	expect(veth_host_ip, IPPROTO_TCP, 22, false, "sandbox");
	expect(IP(10, 11, 0, 2), IPPROTO_TCP, 49983, false, "sandbox");
	expect(host_ip, IPPROTO_TCP, 49983, false, "sandbox");
	expect(guest_ip - 1, IPPROTO_TCP, 80, false, "sandbox");

	/* By its number it is the namespace's own, which shows only on the packet's way. */
	struct packet packet = from_guest(IPPROTO_TCP, IP(10, 12, 0, 3), 22);
	is_denied(&packet);
	ck_assert_uint_eq(lab_counter("inet", "denied_gateway"), 2);
}
END_TEST

START_TEST(loopback_by_any_trick_is_denied)
{
	struct packet packet = from_guest(IPPROTO_TCP, IP(127, 0, 0, 1), 22);
	unsigned tracked;

	lab_guest_sends(&lab, &packet);
	ck_assert(lab_receives_nothing(lab.host));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}
END_TEST

START_TEST(allow_wins_over_deny_and_both_say_so)
{
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	expect(IP(203, 0, 113, 7), IPPROTO_TCP, 80, true, "allow");
	expect(IP(203, 0, 113, 200), IPPROTO_TCP, 25, true, "allow");
	expect(IP(198, 51, 100, 9), IPPROTO_UDP, 9, true, "allow");
	expect(IP(198, 51, 100, 9), IPPROTO_TCP, 9, true, "internet");
	expect(IP(192, 0, 2, 200), IPPROTO_TCP, 443, true, "allow");
	expect(IP(1, 2, 3, 4), IPPROTO_UDP, 80, false, "deny");
	expect(IP(9, 9, 9, 9), IPPROTO_TCP, 25, false, "deny");
	expect(IP(9, 9, 9, 9), IPPROTO_UDP, 25, true, "internet");
	expect(IP(5, 5, 5, 5), IPPROTO_UDP, 5, false, "deny");
	ck_assert_str_eq(reach(IP(192, 0, 2, 200), IPPROTO_TCP, 443).set, "policy_allow_port 192.0.2.0-192.0.2.255");
	ck_assert_uint_eq(lab_counter("inet", "denied_policy"), 3);
}
END_TEST

START_TEST(ranges_of_ports_hold_where_they_cross)
{
	struct egress_rule allow[] = {
		{ .cidr = { IP(9, 0, 0, 0), 8 },
		  .ip_proto = IPPROTO_TCP,
		  .ports = { { 80, 90 }, { 8000, 8099 } },
		  .port_count = 2 },
		{ .cidr = { IP(9, 9, 0, 0), 16 },
		  .ip_proto = IPPROTO_TCP,
		  .ports = { { 85, 95 }, { 8050, 8050 } },
		  .port_count = 2 },
		{ .cidr = { IP(9, 9, 9, 9), 32 }, .ip_proto = IPPROTO_TCP, .ports = { { 1, 65535 } }, .port_count = 1 },
	};
	struct egress egress = { .allow = allow, .allow_count = 3 };
	const struct fabric_plan ranges = { .slot = 1, .id = "a", .egress = &egress };

	OK(rules_slot_apply(-1, lab.config, &ranges, &err));
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "9.0.0.0/8 . tcp . 8000-8099"));
	free(listing);
	ck_assert(is_intact(&ranges));
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 79, false, "internet");
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 80, true, "allow");
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 90, true, "allow");
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 91, false, "internet");
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 8099, true, "allow");
	expect(IP(9, 9, 1, 1), IPPROTO_TCP, 82, true, "allow");
	expect(IP(9, 9, 1, 1), IPPROTO_TCP, 95, true, "allow");
	expect(IP(9, 9, 1, 1), IPPROTO_TCP, 96, false, "internet");
	expect(IP(9, 9, 1, 1), IPPROTO_UDP, 82, false, "internet");
	expect(IP(9, 9, 9, 9), IPPROTO_TCP, 65535, true, "allow");
	expect(IP(9, 9, 9, 9), IPPROTO_TCP, 8070, true, "allow");

	allow[0].ports[1].last = 8098;
	ck_assert(!is_intact(&ranges));
	OK(rules_slot_update(-1, lab.config, &ranges, NULL, &err));
	ck_assert(is_intact(&ranges));
	expect(IP(9, 1, 1, 1), IPPROTO_TCP, 8099, false, "internet");
}
END_TEST

START_TEST(a_policy_of_the_largest_size_is_accepted)
{
	struct egress_rule *rules = calloc(SPEC_EGRESS_MAX, sizeof(*rules));
	struct egress egress = { .internet = true, .allow = rules, .allow_count = SPEC_EGRESS_MAX };
	const struct fabric_plan large = { .slot = 1, .id = "a", .egress = &egress };

	for (unsigned i = 0; i < SPEC_EGRESS_MAX; i++) {
		rules[i] = (struct egress_rule){ .cidr = { IP(20, 0, 0, 0) + (i << 8), 24 }, .port_count = 4 };
		for (uint16_t port = 0; port < 4; port++)
			rules[i].ports[port] =
			    (struct port_range){ (uint16_t)(port * 1000 + 80), (uint16_t)(port * 1000 + 99) };
	}
	OK(rules_slot_apply(-1, lab.config, &large, &err));
	ck_assert(is_intact(&large));
	for (unsigned i = 0; i < SPEC_EGRESS_MAX; i++)
		rules[i].any_proto = true;
	OK(rules_slot_update(-1, lab.config, &large, NULL, &err));
	ck_assert(is_intact(&large));
	free(rules);
}
END_TEST

START_TEST(without_internet_only_what_is_allowed_passes)
{
	OK(rules_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(IP(203, 0, 113, 7), IPPROTO_TCP, 80, true, "allow");
	expect(IP(192, 0, 2, 7), IPPROTO_TCP, 81, false, "internet");
	expect(ELSEWHERE, IPPROTO_UDP, 53, false, "internet");
	ck_assert_str_eq(reach(ELSEWHERE, IPPROTO_UDP, 53).set, "");
}
END_TEST

START_TEST(the_always_denied_win_over_allow_unless_they_are_opened)
{
	struct egress_rule all = { .cidr = { 0, 0 }, .any_proto = true };
	const struct egress egress = { .internet = true, .allow = &all, .allow_count = 1 };
	const struct fabric_plan wide = { .slot = 1, .id = "a", .egress = &egress };
	struct cidr4 open = { IP(10, 0, 0, 0), 8 };

	OK(rules_slot_apply(-1, lab.config, &wide, &err));
	expect(IP(10, 9, 1, 1), IPPROTO_TCP, 80, false, "private");
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	expect(IP(10, 9, 1, 1), IPPROTO_TCP, 80, true, "open");
	expect(IP(172, 16, 1, 1), IPPROTO_TCP, 80, false, "private");
	/* Not even so. */
	expect(IP(10, 11, 0, 2), IPPROTO_TCP, 80, false, "sandbox");
}
END_TEST

START_TEST(dns_and_services_of_the_host_pass_although_private)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };
	struct config_service service = { .address = addr_from_ipv4(IP(169, 254, 7, 7), 8080) };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
	OK(rules_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(IP(10, 1, 1, 1), IPPROTO_UDP, 53, true, "dns");
	expect(IP(10, 1, 1, 1), IPPROTO_TCP, 53, true, "dns");
	expect(IP(10, 1, 1, 1), IPPROTO_TCP, 80, false, "private");
	expect(IP(169, 254, 7, 7), IPPROTO_TCP, 8080, true, "allow_host");
	expect(IP(169, 254, 7, 7), IPPROTO_TCP, 8081, false, "private");
}
END_TEST

START_TEST(tightening_cuts_the_flows_it_forbids_and_no_others)
{
	struct egress_rule deny = { .cidr = { ELSEWHERE, 32 }, .any_proto = true };
	const struct egress egress = { .internet = true, .deny = &deny, .deny_count = 1 };
	const struct fabric_plan tight = { .slot = 1, .id = "a", .egress = &egress };
	struct packet inbound = from_host(IPPROTO_TCP, host_ip, 8080);
	struct packet forbidden = open_flow(ELSEWHERE, 443), kept = open_flow(OTHER, 443);

	struct packet in = passes_in(&inbound), answer = reply_to(&in, TH_SYN | TH_ACK);
	passes_out(&answer);
	OK(rules_slot_update(-1, lab.config, &tight, NULL, &err));
	is_denied(&forbidden);
	passes_out(&kept);
	answer.tcp_flags = TH_ACK;
	answer.sequence++;
	passes_out(&answer);
}
END_TEST

START_TEST(denials_are_told_once)
{
	struct told told = { .count = 0 };
	struct packet ping = from_guest(IPPROTO_ICMP, IP(10, 1, 1, 1), 0);
	struct packet gre = from_guest(IPPROTO_GRE, IP(10, 1, 1, 1), 0);
	uint64_t since = 0;

	gre.payload = 8;
	is_denied(&ping);
	is_denied(&gre);
	OK(rules_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(told.items[i].destination, IP(10, 1, 1, 1));
		ck_assert_uint_eq(told.items[i].port, 0);
	}
	ck_assert(strcmp(told.items[0].proto, "icmp") == 0 || strcmp(told.items[1].proto, "icmp") == 0);
	ck_assert(strcmp(told.items[0].proto, "gre") == 0 || strcmp(told.items[1].proto, "gre") == 0);
	/* New denials come alone, once the reading has moved on by more than the clocks' slack. */
	for (uint64_t begun = clock_now_ms(); since < begun + 100;)
		OK(rules_slot_denials(-1, &since, take, &(struct told){ .count = 0 }, &err));
	told.count = 0;
	OK(rules_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 0);
	is_denied(&(struct packet){ .proto = IPPROTO_TCP,
				    .source = guest_ip,
				    .destination = IP(192, 168, 1, 1),
				    .destination_port = 22,
				    .tcp_flags = TH_SYN });
	OK(rules_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 1);
	ck_assert_str_eq(told.items[0].proto, "tcp");
	ck_assert_uint_eq(told.items[0].port, 22);
}
END_TEST

/* ---- Limits and accounts ---- */

START_TEST(what_the_guest_sends_is_limited_also_to_the_forwarder)
{
	struct packet packet = from_guest(IPPROTO_UDP, tap_ip, 9);

	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	packet.payload = 1372; /* 1,400 bytes in all */
	uint64_t begun = clock_now_ms();
	for (unsigned i = 0; i < 200; i++)
		lab_guest_sends(&lab, &packet);
	uint64_t seconds = (clock_now_ms() - begun) / 1000;
	uint64_t passed = lab_counter("netdev", "from_guest"), dropped = lab_counter("netdev", "drop_rate");
	ck_assert_uint_eq(passed + dropped, 200);
	/* The bucket: a second's bytes and at least 128 KiB; and less than one packet for each second of the test. */
	ck_assert_uint_ge(passed, 94);
	ck_assert_uint_le(passed, 96 + seconds);
}
END_TEST

START_TEST(counts_say_what_passed_and_survive_an_update)
{
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);
	struct fabric_counts counts = { .slot = 7 };

	packet.payload = 100;
	for (unsigned i = 0; i < 3; i++) {
		struct packet out = passes_out(&packet), answer = reply_to(&out, 0);
		answer.payload = 200;
		passes_in(&answer);
	}
	packet.source++;
	lab_guest_sends(&lab, &packet);
	OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.slot, 7);
	ck_assert_uint_eq(counts.packets_from_guest, 3);
	ck_assert_uint_eq(counts.bytes_from_guest, 3 * 128);
	ck_assert_uint_eq(counts.packets_to_guest, 3);
	ck_assert_uint_eq(counts.bytes_to_guest, 3 * 228);
	ck_assert_uint_eq(counts.connections, 1);
	ck_assert_uint_eq(counts.drops, 1);
}
END_TEST

START_TEST(a_reused_slot_starts_from_nothing)
{
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);
	struct fabric_counts counts;

	passes_out(&packet);
	OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.packets_from_guest, 0);
	ck_assert_uint_eq(counts.connections, 0);
	ck_assert(is_intact(&plan));
}
END_TEST

START_TEST(a_repaired_slot_goes_on_counting)
{
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);
	struct fabric_counts before = { .slot = 1 }, after = { .slot = 1 };

	struct packet out = passes_out(&packet), answer = reply_to(&out, 0);
	passes_in(&answer);
	packet.source++;
	lab_guest_sends(&lab, &packet);
	OK(rules_slot_counts(-1, &before, &err));
	OK(rules_slot_repair(-1, lab.config, &plan, NULL, &err));
	OK(rules_slot_counts(-1, &after, &err));
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_uint_eq(after.packets_from_guest, 1);
	ck_assert_uint_eq(after.drops, 1);
	ck_assert(is_intact(&plan));
	/* With nothing left to read, the known counts serve. */
	lab_run("nft flush ruleset");
	before.drops = 7;
	/* The counts by rule begin again. */
	memset(before.denied, 0, sizeof(before.denied));
	OK(rules_slot_repair(-1, lab.config, &plan, &before, &err));
	OK(rules_slot_counts(-1, &after, &err));
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

START_TEST(the_generation_changes_with_the_rules_and_not_with_packets)
{
	struct packet packet = from_guest(IPPROTO_TCP, IP(10, 1, 1, 1), 53);
	uint32_t first, second;

	OK(rules_generation(-1, &first, &err));
	ck_assert_uint_ne(first, 0);
	is_denied(&packet); /* and recorded, in a set */
	OK(rules_generation(-1, &second, &err));
	ck_assert_uint_eq(first, second);
	lab_run("nft add rule inet weft input accept");
	OK(rules_generation(-1, &second, &err));
	ck_assert_uint_ne(first, second);
}
END_TEST

START_TEST(what_does_not_fit_into_the_record_is_denied_all_the_same)
{
	struct packet packet = from_guest(IPPROTO_UDP, IP(10, 1, 1, 1), 1);

	for (uint16_t port = 1; port <= 300; port++) {
		packet.destination_port = port;
		lab_guest_sends(&lab, &packet);
	}
	ck_assert(lab_receives_nothing(lab.host));
	ck_assert_uint_eq(lab_counter("inet", "denied_private"), 300);
	char *elements = lab_output("nft list set inet weft denied_ports | grep -o expires | wc -l");
	ck_assert_int_eq(atoi(elements), 128);
	free(elements);
}
END_TEST

START_TEST(without_tables_reading_is_an_error)
{
	struct fabric_counts counts = { 0 };
	struct fabric_reach answer;
	struct told told = { .count = 0 };
	uint64_t since = 0;

	lab_run("nft flush ruleset");
	ck_assert_int_eq(rules_slot_counts(-1, &counts, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(
	    rules_slot_reach(-1, lab.config, &lab.config->layout, ELSEWHERE, IPPROTO_TCP, 1, &answer, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(rules_slot_denials(-1, &since, take, &told, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

static void add_policy_tests(Suite *suite)
{
	TCase *policy = tcase_create("policy");

	tcase_add_checked_fixture(policy, setup_with_tables, NULL);
	tcase_set_timeout(policy, 120);
	tcase_add_test(policy, private_ranges_are_denied_at_once_and_recorded);
	tcase_add_test(policy, the_ways_back_to_the_host_and_to_other_sandboxes_are_denied);
	tcase_add_test(policy, loopback_by_any_trick_is_denied);
	tcase_add_test(policy, allow_wins_over_deny_and_both_say_so);
	tcase_add_test(policy, ranges_of_ports_hold_where_they_cross);
	tcase_add_test(policy, a_policy_of_the_largest_size_is_accepted);
	tcase_add_test(policy, without_internet_only_what_is_allowed_passes);
	tcase_add_test(policy, the_always_denied_win_over_allow_unless_they_are_opened);
	tcase_add_test(policy, dns_and_services_of_the_host_pass_although_private);
	tcase_add_test(policy, tightening_cuts_the_flows_it_forbids_and_no_others);
	tcase_add_test(policy, denials_are_told_once);
	tcase_add_test(policy, what_the_guest_sends_is_limited_also_to_the_forwarder);
	tcase_add_test(policy, counts_say_what_passed_and_survive_an_update);
	tcase_add_test(policy, a_reused_slot_starts_from_nothing);
	tcase_add_test(policy, a_repaired_slot_goes_on_counting);
	tcase_add_test(policy, the_generation_changes_with_the_rules_and_not_with_packets);
	tcase_add_test(policy, what_does_not_fit_into_the_record_is_denied_all_the_same);
	tcase_add_test(policy, without_tables_reading_is_an_error);
	suite_add_tcase(suite, policy);
}

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_policy");
	add_policy_tests(suite);

	return run_suite(suite);
}
