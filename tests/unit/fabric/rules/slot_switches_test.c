/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Proxies, isolation and DSCP in a slot's tables: what holds beside the lists of a policy. */
#include "unit/fabric/rules/nft_slot_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

static const struct egress isolated = { .internet = true, .isolated = true };
static const struct egress marked = { .internet = true, .dscp = 46 };
static const struct fabric_plan plan_isolated = { .slot = 1, .id = "a", .egress = &isolated };
static const struct fabric_plan plan_marked = { .slot = 1, .id = "a", .egress = &marked };

static struct config_redirect by_port[] = { { 80, 5016 }, { 443, 5017 }, { 0, 5018 } };

static void redirect(size_t count)
{
	lab.config->egress.redirect = (struct config_redirect_list){ .items = by_port, .count = count };
}

static uint8_t ttl_of(uint8_t proto, uint32_t destination, uint16_t port)
{
	struct packet packet = from_guest(proto, destination, port);

	return passes_out(&packet).ttl;
}

/* ---- Proxies ---- */

START_TEST(tcp_for_a_proxy_passes_whatever_the_lists_say_and_can_be_forwarded_by_nobody)
{
	redirect(3);
	OK(rules_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(ELSEWHERE, IPPROTO_TCP, 80, true, "redirect");
	ck_assert_str_eq(reach(ELSEWHERE, IPPROTO_TCP, 80).set, "redirect 80:5016");
	ck_assert_str_eq(reach(ELSEWHERE, IPPROTO_TCP, 22).set, "redirect *:5018");
	ck_assert_uint_eq(ttl_of(IPPROTO_TCP, ELSEWHERE, 22), 1);
	/* A listing shows it, and can be loaded again. */
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "meta l4proto tcp ip ttl set 1 goto guest_flows"));
	free(listing);
	ck_assert(is_intact(&plan_closed));
}
END_TEST

START_TEST(what_is_for_a_service_can_be_forwarded_by_nobody_and_dns_can)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };
	struct config_service service = { .address = addr_from_ipv4(IP(169, 254, 169, 254), 80) };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
	OK(rules_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(IP(169, 254, 169, 254), IPPROTO_TCP, 80, true, "allow_host");
	ck_assert_str_eq(reach(IP(169, 254, 169, 254), IPPROTO_TCP, 80).set, "allow_host 169.254.169.254:80");
	ck_assert_uint_eq(ttl_of(IPPROTO_TCP, IP(169, 254, 169, 254), 80), 1);
	ck_assert_uint_eq(ttl_of(IPPROTO_UDP, IP(169, 254, 169, 254), 80), 1);
	ck_assert_uint_eq(ttl_of(IPPROTO_UDP, dns.ip, 53), 63);
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "@host_services ip ttl set 1 goto guest_services"));
	free(listing);
	ck_assert(is_intact(&plan_closed));
}
END_TEST

START_TEST(the_lists_judge_what_is_not_for_a_proxy)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	redirect(2);
	OK(rules_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(ELSEWHERE, IPPROTO_TCP, 443, true, "redirect");
	expect(ELSEWHERE, IPPROTO_TCP, 22, false, "internet");
	expect(ELSEWHERE, IPPROTO_UDP, 443, false, "internet");
	expect(IP(203, 0, 113, 1), IPPROTO_UDP, 443, true, "allow");
	/* What no guest may reach is for no proxy, and a DNS server is one already. */
	expect(IP(10, 2, 2, 2), IPPROTO_TCP, 80, false, "private");
	expect(IP(10, 11, 0, 2), IPPROTO_TCP, 80, false, "sandbox");
	expect(dns.ip, IPPROTO_TCP, 53, true, "dns");
	ck_assert_uint_eq(ttl_of(IPPROTO_UDP, IP(203, 0, 113, 1), 444), 63);
}
END_TEST

/* ---- Isolation ---- */

static void expect_isolation(void)
{
	expect(ELSEWHERE, IPPROTO_TCP, 80, false, "isolated");
	expect(ELSEWHERE, IPPROTO_UDP, 80, false, "isolated");
	expect(ELSEWHERE, IPPROTO_ICMP, 0, false, "isolated");
	expect(IP(10, 1, 1, 1), IPPROTO_UDP, 53, false, "isolated");
	expect(IP(192, 0, 2, 1), IPPROTO_TCP, 80, false, "isolated");
	expect(IP(10, 2, 2, 2), IPPROTO_TCP, 80, false, "isolated");
}

START_TEST(an_isolated_guest_reaches_nothing_however_it_came_to_be_so)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };
	struct config_service service = { .address = addr_from_ipv4(IP(192, 0, 2, 1), 80) };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
	redirect(3);
	/* The kernel itself answers a peer only so often. */
	lab_run("sysctl -qw net.ipv4.icmp_ratemask=0");
	/* Claimed from the pool, changed, changed back and made so. */
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	OK(rules_slot_claim(-1, &plan_isolated, &err));
	ck_assert(is_intact(&plan_isolated));
	expect_isolation();
	OK(rules_slot_update(-1, lab.config, &plan, &plan_isolated, &err));
	ck_assert(is_intact(&plan));
	expect(IP(192, 0, 2, 1), IPPROTO_TCP, 80, true, "allow_host");
	OK(rules_slot_update(-1, lab.config, &plan_isolated, &plan, &err));
	ck_assert(is_intact(&plan_isolated));
	expect_isolation();
	OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
	ck_assert(is_intact(&plan_some));
	OK(rules_slot_apply(-1, lab.config, &plan_isolated, &err));
	expect_isolation();
	ck_assert_uint_ge(lab_counter("inet", "denied_isolated"), 6);
}
END_TEST

START_TEST(isolation_ends_what_the_guest_has_begun_and_nothing_else)
{
	struct packet in = from_host(IPPROTO_TCP, host_ip, 8080);

	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	struct packet next = open_flow(ELSEWHERE, 80), got = passes_in(&in), answer = reply_to(&got, TH_SYN | TH_ACK);
	OK(rules_slot_update(-1, lab.config, &plan_isolated, &plan, &err));
	is_denied(&next);
	lab_guest_sends(&lab, &answer);
	ck_assert(lab_receives(lab.host, &got));
	ck_assert_uint_eq(got.tcp_flags, TH_SYN | TH_ACK);
	ck_assert_uint_eq(got.destination, veth_host_ip);
}
END_TEST

static void take_denial(void *context, const struct fabric_denial *denial)
{
	*(struct fabric_denial *)context = *denial;
}

START_TEST(a_denial_tells_isolation)
{
	struct packet packet = from_guest(IPPROTO_TCP, ELSEWHERE, 80);
	struct fabric_denial denial = { .rule = "" };
	struct fabric_counts counts = { .slot = 1 };
	uint64_t since = 0;

	OK(rules_slot_apply(-1, lab.config, &plan_isolated, &err));
	is_denied(&packet);
	OK(rules_slot_denials(-1, &since, take_denial, &denial, &err));
	ck_assert_str_eq(denial.rule, "isolated");
	ck_assert_uint_eq(denial.destination, ELSEWHERE);
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.denied[FABRIC_RULE_ISOLATED], 1);
	ck_assert_uint_eq(counts.drops, 1);
}
END_TEST

/* ---- DSCP ---- */

/* What leaves the slot of a packet with TOS. */
static uint8_t tos_of(uint8_t tos)
{
	static uint16_t port = 1000;
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, port++);

	packet.tos = tos;
	return passes_out(&packet).tos;
}

enum { EF = 46 << 2, ECN = 2 };

START_TEST(the_dscp_is_set_on_what_leaves_and_ecn_stays)
{
	const struct egress low = { .internet = true, .dscp = 8 };
	const struct fabric_plan plan_low = { .slot = 1, .id = "a", .egress = &low };

	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	ck_assert_uint_eq(tos_of(0x20 | ECN), 0x20 | ECN);
	OK(rules_slot_claim(-1, &plan_marked, &err));
	ck_assert(is_intact(&plan_marked));
	ck_assert_uint_eq(tos_of(0), EF);
	ck_assert_uint_eq(tos_of(0x20 | ECN), EF | ECN);
	OK(rules_slot_update(-1, lab.config, &plan_low, &plan_marked, &err));
	ck_assert(is_intact(&plan_low));
	ck_assert_uint_eq(tos_of(EF), 8 << 2);
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "oifname \"eth0\" ip dscp set cs1"));
	free(listing);
	/* Zero is as the guest sets it. */
	OK(rules_slot_update(-1, lab.config, &plan, &plan_low, &err));
	ck_assert(is_intact(&plan));
	ck_assert_uint_eq(tos_of(0x20), 0x20);
	/* The former policy may not be known. */
	OK(rules_slot_update(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
	OK(rules_slot_update(-1, lab.config, &plan_marked, NULL, &err));
	OK(rules_slot_update(-1, lab.config, &plan_marked, NULL, &err));
	ck_assert(is_intact(&plan_marked));
}
END_TEST

START_TEST(answers_to_others_have_the_dscp_too_and_what_comes_in_has_not)
{
	struct packet in = from_host(IPPROTO_UDP, host_ip, 8080);

	OK(rules_slot_apply(-1, lab.config, &plan_marked, &err));
	struct packet got = passes_in(&in), answer = reply_to(&got, 0);
	ck_assert_uint_eq(got.tos, 0);
	lab_guest_sends(&lab, &answer);
	ck_assert(lab_receives(lab.host, &got));
	ck_assert_uint_eq(got.tos, EF);
}
END_TEST

START_TEST(an_alteration_of_either_is_noticed_and_repaired)
{
	static const char *const alterations[] = {
		"nft flush chain inet weft guest_dscp",
		"nft delete chain inet weft guest_dscp",
		"nft flush chain inet weft guest_egress",
	};
	const struct egress both = { .internet = true, .isolated = true, .dscp = 46 };
	const struct fabric_plan plan_both = { .slot = 1, .id = "a", .egress = &both };

	OK(rules_slot_apply(-1, lab.config, &plan_both, &err));
	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		lab_run("%s", alterations[i]);
		ck_assert_msg(!is_intact(&plan_both), "not noticed: %s", alterations[i]);
		OK(rules_slot_repair(-1, lab.config, &plan_both, NULL, &err));
		ck_assert_msg(is_intact(&plan_both), "not repaired: %s", alterations[i]);
	}
	/* As after a PATCH that was killed before it was stored. */
	ck_assert(!is_intact(&plan));
	OK(rules_slot_repair(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
}
END_TEST

int main(void)
{
	TCase *switches = tcase_create("switches");

	lab_require_root();
	tcase_add_checked_fixture(switches, setup, NULL);
	tcase_set_timeout(switches, 120);
	tcase_add_test(switches, tcp_for_a_proxy_passes_whatever_the_lists_say_and_can_be_forwarded_by_nobody);
	tcase_add_test(switches, what_is_for_a_service_can_be_forwarded_by_nobody_and_dns_can);
	tcase_add_test(switches, the_lists_judge_what_is_not_for_a_proxy);
	tcase_add_test(switches, an_isolated_guest_reaches_nothing_however_it_came_to_be_so);
	tcase_add_test(switches, isolation_ends_what_the_guest_has_begun_and_nothing_else);
	tcase_add_test(switches, a_denial_tells_isolation);
	tcase_add_test(switches, the_dscp_is_set_on_what_leaves_and_ecn_stays);
	tcase_add_test(switches, answers_to_others_have_the_dscp_too_and_what_comes_in_has_not);
	tcase_add_test(switches, an_alteration_of_either_is_noticed_and_repaired);
	Suite *suite = suite_create("nft_slot_switches");
	suite_add_tcase(suite, switches);
	return run_suite(suite);
}
