/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/fabric/rules/nft_slot_lab.h"
#include "unit/run_suite.h"

#include "base/clock.h"
#include "kernel/conntrack.h"
#include "nft/read.h"

#include <check.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* ---- The guest's share of tracked flows ---- */

START_TEST(a_guest_has_only_so_many_flows)
{
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);
	struct packet inbound = from_host(IPPROTO_TCP, host_ip, 80);
	unsigned passed = 0, tracked;

	for (unsigned i = 0; i < 8400; i++) {
		packet.source_port = (uint16_t)(10000 + i);
		lab_guest_sends(&lab, &packet);
		passed += !lab_receives_nothing(lab.host);
	}
	ck_assert_uint_eq(passed, 8192);
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 8192);
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), 8400 - 8192);
	/* Others still come in. */
	while (!lab_receives_nothing(lab.guest))
		;
	passes_in(&inbound);
	OK(kern_conntrack_flush(-1, &err));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}
END_TEST

/* The next packet of the guest's flow to DESTINATION from SOURCE_PORT; one without an answer is `new` to the kernel. */
static bool leaves(uint32_t destination, uint16_t port, unsigned source_port)
{
	struct packet packet = from_guest(IPPROTO_UDP, destination, port);

	packet.source_port = (uint16_t)source_port;
	lab_guest_sends(&lab, &packet);
	return !lab_receives_nothing(lab.host);
}

enum { FLOWS = 20 };

/* Uses up the guest's share of flows into the world. */
static void fill_flows(void)
{
	for (unsigned i = 0; i < FLOWS; i++)
		ck_assert(leaves(ELSEWHERE, 53, 10000 + i));
	ck_assert(!leaves(ELSEWHERE, 53, 10000 + FLOWS));
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), 1);
}

START_TEST(with_all_flows_in_use_the_rest_of_the_policy_goes_on)
{
	struct egress_rule deny = { .cidr = { OTHER, 32 }, .any_proto = true };
	const struct egress egress = { .internet = true, .deny = &deny, .deny_count = 1 };
	const struct fabric_plan denies = { .slot = 1, .id = "a", .egress = &egress };
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };

	lab.config->egress.flows = FLOWS;
	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	OK(rules_slot_apply(-1, lab.config, &denies, &err));
	fill_flows();
	/* What is denied anyhow is so for its own reason. */
	ck_assert(!leaves(OTHER, 53, 1));
	ck_assert(!leaves(IP(10, 2, 2, 2), 53, 1));
	ck_assert_uint_eq(lab_counter("inet", "denied_policy"), 1);
	ck_assert_uint_eq(lab_counter("inet", "denied_private"), 1);
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), 1);
	/* Flows that were there go on. */
	ck_assert(leaves(ELSEWHERE, 53, 10000));
	/* DNS has as many flows of its own. */
	for (unsigned i = 0; i < FLOWS; i++)
		ck_assert(leaves(dns.ip, 53, 10000 + i));
	ck_assert(!leaves(dns.ip, 53, 9999));
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), 2);
}
END_TEST

static void note_element(void *context, const struct nft_read_element *element)
{
	bool *noted = context;

	(void)element;
	*noted = true;
}

/* Whether it is noted that the guest has all its flows, by which new ones are denied without a count. */
static bool is_noted_as_full(void)
{
	static const struct nft_set full = { .name = "guest_flows_full", .key = NFT_KEY_LINK };
	bool noted = false;

	OK(nft_read_elements(-1, NFPROTO_INET, &full, note_element, &noted, &err));
	return noted;
}

START_TEST(new_flows_beyond_the_limit_are_not_counted_one_by_one)
{
	unsigned denied = 1;

	lab.config->egress.flows = FLOWS;
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	fill_flows();
	/* A slow machine may read the note only after its time. */
	for (; !is_noted_as_full(); denied++) {
		ck_assert_uint_lt(denied, 100);
		ck_assert(!leaves(ELSEWHERE, 53, 20000 + denied));
	}
	for (unsigned i = 0; i < 500; i++)
		ck_assert(!leaves(ELSEWHERE, 53, 21000 + i));
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), denied + 500);
	/* Flows that end make room, soon. */
	OK(kern_conntrack_flush(-1, &err));
	uint64_t deadline = clock_now_ms() + LAB_TIMEOUT_MS;
	while (!leaves(ELSEWHERE, 53, 30000))
		ck_assert_uint_lt(clock_now_ms(), deadline);
}
END_TEST

/* ---- Protocols ---- */

static const uint8_t answered[] = { IPPROTO_GRE, IPPROTO_ESP, IPPROTO_AH };
/* The kernel takes them to have a checksum, as TCP has, and does not answer if it is wrong. */
static const uint8_t silent[] = { IPPROTO_IPIP, IPPROTO_IPV6, 0, 253 };

static void expect_no_rare_protocol(uint64_t denied_before)
{
	for (size_t i = 0; i < sizeof(answered); i++)
		expect(ELSEWHERE, answered[i], 0, false, "protocol");
	for (size_t i = 0; i < sizeof(silent); i++) {
		struct packet packet = from_guest(silent[i], ELSEWHERE, 0);

		lab_guest_sends(&lab, &packet);
		ck_assert(lab_receives_nothing(lab.host));
		ck_assert_str_eq(reach(ELSEWHERE, silent[i], 0).rule, "protocol");
	}
	ck_assert_uint_eq(lab_counter("inet", "denied_protocol"), denied_before + sizeof(answered) + sizeof(silent));
}

START_TEST(protocols_other_than_tcp_udp_and_icmp_leave_only_by_name)
{
	struct egress_rule allow[] = {
		{ .cidr = { ELSEWHERE, 32 }, .any_proto = true },
		{ .cidr = { OTHER, 32 }, .ip_proto = IPPROTO_GRE },
		{ .cidr = { OTHER, 32 }, .ip_proto = 253 },
	};
	struct egress_rule deny = { .cidr = { OTHER, 32 }, .any_proto = true };
	struct egress egress = { .internet = true };
	const struct fabric_plan by = { .slot = 1, .id = "a", .egress = &egress };
	uint16_t port = 9;

	/* The kernel itself answers a peer only so often. */
	lab_run("sysctl -qw net.ipv4.icmp_ratemask=0");
	OK(rules_slot_apply(-1, lab.config, &by, &err));
	for (unsigned turn = 0; turn < 2; turn++) {
		expect_no_rare_protocol(lab_counter("inet", "denied_protocol"));
		expect(ELSEWHERE, IPPROTO_ICMP, 0, true, turn ? "allow" : "internet");
		expect(ELSEWHERE, IPPROTO_TCP, port, true, turn ? "allow" : "internet");
		expect(ELSEWHERE, IPPROTO_UDP, port++, true, turn ? "allow" : "internet");
		/* Then with lists. */
		egress = (struct egress){ .allow = allow, .allow_count = 3, .deny = &deny, .deny_count = 1 };
		OK(rules_slot_update(-1, lab.config, &by, NULL, &err));
		OK(kern_conntrack_flush(-1, &err));
	}
	expect(OTHER, IPPROTO_GRE, 0, true, "allow");
	expect(OTHER, 253, 0, true, "allow");
	expect(OTHER, IPPROTO_ESP, 0, false, "protocol");
	expect(OTHER, IPPROTO_UDP, 9, false, "deny");
	ck_assert(is_intact(&by));
}
END_TEST

static void take_first(void *context, const struct fabric_denial *denial)
{
	struct fabric_denial *first = context;

	if (!first->rule[0])
		*first = *denial;
}

START_TEST(a_denied_protocol_is_told_by_its_name)
{
	const struct egress egress = { .internet = true };
	const struct fabric_plan by = { .slot = 1, .id = "a", .egress = &egress };
	struct packet packet = from_guest(IPPROTO_GRE, ELSEWHERE, 0);
	struct fabric_denial denial = { .rule = "" };
	struct fabric_counts counts = { .slot = 1 };
	uint64_t since = 0;

	OK(rules_slot_apply(-1, lab.config, &by, &err));
	is_denied(&packet);
	OK(rules_slot_denials(-1, &since, take_first, &denial, &err));
	ck_assert_str_eq(denial.rule, "protocol");
	ck_assert_str_eq(denial.proto, "gre");
	ck_assert_uint_eq(denial.destination, ELSEWHERE);
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.denied[FABRIC_RULE_PROTOCOL], 1);
	ck_assert_uint_eq(counts.drops, 1);
}
END_TEST

/* ---- Former rules ---- */

/* As an upgrade finds it. */
static void make_former_rules(void)
{
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	lab_run("nft -f - <<'END'\n"
		"flush chain inet weft guest_egress\n"
		"flush chain inet weft guest_policy\n"
		"flush chain inet weft guest_flows\n"
		"flush chain inet weft guest_flows_over\n"
		"delete chain inet weft guest_policy\n"
		"delete chain inet weft guest_flows\n"
		"delete chain inet weft guest_flows_over\n"
		"delete set inet weft guest_flows_full\n"
		"add chain inet weft guest_allow\n"
		"add rule inet weft guest_allow ip daddr @policy_allow accept\n"
		"add rule inet weft guest_allow ip daddr . meta l4proto @policy_allow_proto accept\n"
		"add chain inet weft guest_deny\n"
		"add rule inet weft guest_deny ip daddr @policy_deny counter name denied_policy goto denied\n"
		"add rule inet weft guest_egress ct state new ct count over 8192 goto denied\n"
		"add rule inet weft guest_egress jump guest_allow\n"
		"add rule inet weft guest_egress jump guest_deny\n"
		"add rule inet weft guest_egress accept\n"
		"END");
}

/* Neither the table nor its counters are made anew, nor is the guest shut off meanwhile. */
START_TEST(former_rules_are_replaced_in_place)
{
	static const char list[] = "nft -a list table inet weft | head -1";
	struct packet packet = from_guest(IPPROTO_TCP, IP(203, 0, 113, 7), 80);

	make_former_rules();
	passes_out(&packet);
	uint64_t count = lab_counter("netdev", "from_guest");
	char *before = lab_output(list);
	ck_assert(!is_intact(&plan_some));
	OK(rules_slot_repair(-1, lab.config, &plan_some, NULL, &err));
	ck_assert(is_intact(&plan_some));
	char *after = lab_output(list);
	ck_assert_str_eq(after, before);
	ck_assert_uint_eq(lab_counter("netdev", "from_guest"), count);
	packet.source_port++;
	passes_out(&packet);
	free(before);
	free(after);
}
END_TEST

/* In place, the rules would judge by wrong lists. */
START_TEST(former_rules_with_other_lists_are_replaced_whole)
{
	make_former_rules();
	lab_run("nft add element inet weft policy_allow { 4.4.4.4 }");
	OK(rules_slot_repair(-1, lab.config, &plan_some, NULL, &err));
	ck_assert(is_intact(&plan_some));
}
END_TEST

static void add_egress_tests(Suite *suite)
{
	TCase *egress = tcase_create("egress");

	tcase_add_checked_fixture(egress, setup_with_tables, NULL);
	tcase_set_timeout(egress, 120);
	tcase_add_test(egress, a_guest_has_only_so_many_flows);
	tcase_add_test(egress, with_all_flows_in_use_the_rest_of_the_policy_goes_on);
	tcase_add_test(egress, new_flows_beyond_the_limit_are_not_counted_one_by_one);
	tcase_add_test(egress, protocols_other_than_tcp_udp_and_icmp_leave_only_by_name);
	tcase_add_test(egress, a_denied_protocol_is_told_by_its_name);
	tcase_add_test(egress, former_rules_are_replaced_in_place);
	tcase_add_test(egress, former_rules_with_other_lists_are_replaced_whole);
	suite_add_tcase(suite, egress);
}

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_egress");
	add_egress_tests(suite);

	return run_suite(suite);
}
