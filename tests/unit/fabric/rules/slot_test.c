/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/conntrack.h"
#include "unit/fabric/rules/nft_slot_lab.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The tables themselves ---- */

START_TEST(the_tables_that_were_made_are_those_that_are_checked_for)
{
	ck_assert(!is_intact(&plan));
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	ck_assert(is_intact(&plan));
}
END_TEST

START_TEST(their_listing_can_be_loaded_again_and_is_then_still_intact)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 };
	struct config_service service = { .address = addr_from_ipv4(IP(192, 0, 2, 1), 80) };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "ip daddr . meta l4proto . th dport @policy_allow_port return"));
	ck_assert_ptr_nonnull(strstr(listing, "192.0.2.0/24 . tcp . 443"));
	ck_assert_ptr_nonnull(strstr(listing, "10.1.1.1 . udp . 53"));
	ck_assert_ptr_nonnull(strstr(listing, "192.0.2.1 . tcp . 80"));
	free(listing);
	ck_assert(is_intact(&plan_some));
}
END_TEST

START_TEST(every_alteration_is_noticed_and_repaired)
{
	static const char *const alterations[] = {
		"nft flush ruleset",
		"nft delete table netdev weft",
		"nft delete table inet weft",
		"nft flush chain inet weft forward",
		"nft add rule inet weft forward accept",
		"nft insert rule inet weft input accept",
		"nft add rule netdev weft from_guest_rate accept",
		"nft add element inet weft policy_allow { 4.4.4.4 }",
		"nft delete element inet weft always_denied { 10.0.0.0/8 }",
		"nft add chain inet weft extra '{ type filter hook forward priority -1; policy accept; }'",
		"nft chain inet weft forward '{ policy accept; }'",
		"nft add table inet weft '{ flags dormant; }'",
		"nft replace rule inet weft prerouting handle "
		"$(nft -a list chain inet weft prerouting | sed -n 's/.*dnat.*handle //p') "
		"iifname eth0 ip daddr 10.11.0.1 dnat ip to 169.254.0.20",
	};

	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		lab_run("%s", alterations[i]);
		ck_assert_msg(!is_intact(&plan_some), "not noticed: %s", alterations[i]);
		OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
		ck_assert_msg(is_intact(&plan_some), "not repaired: %s", alterations[i]);
	}
}
END_TEST

START_TEST(another_plan_is_noticed)
{
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	ck_assert(!is_intact(&plan));
	ck_assert(!is_intact(&plan_closed));
}
END_TEST

START_TEST(claim_and_update_lead_to_what_apply_makes)
{
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	OK(rules_slot_claim(-1, &plan_some, &err));
	ck_assert(is_intact(&plan_some));
	OK(rules_slot_update(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
	OK(rules_slot_claim(-1, &plan_closed, &err));
	ck_assert(is_intact(&plan_closed));
	OK(rules_slot_update(-1, lab.config, &plan, NULL, &err));
	ck_assert(is_intact(&plan));
	/* As for one that wants ports of the host alone. */
	OK(rules_slot_claim(-1, &plan, &err));
	ck_assert(is_intact(&plan));
	OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
	ck_assert(is_intact(&plan_some));
}
END_TEST

static bool has_set(const char *name)
{
	char *sets = lab_output("nft -t list sets inet");
	char text[64];

	snprintf(text, sizeof(text), "set %s {", name);
	bool found = strstr(sets, text) != NULL;
	free(sets);
	return found;
}

START_TEST(a_policy_that_replaces_another_has_sets_of_its_own_and_those_of_the_former_go)
{
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	for (unsigned turn = 0; turn < 4; turn++) {
		ck_assert(has_set(turn % 2 ? "policy_allow2" : "policy_allow"));
		ck_assert(!has_set(turn % 2 ? "policy_allow" : "policy_allow2"));
		ck_assert(is_intact(&plan_some));
		OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
	}
}
END_TEST

/* As after a kill between the two batches. */
START_TEST(a_change_that_was_broken_off_is_noticed_and_the_next_one_clears_it_away)
{
	static const char *const sides[] = { "policy_deny2", "policy_deny" };

	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	for (unsigned turn = 0; turn < 2; turn++) {
		lab_run("nft add set inet weft %s '{ type ipv4_addr; flags interval; }'", sides[turn]);
		lab_run("nft add element inet weft %s { 4.4.4.4 }", sides[turn]);
		ck_assert(!is_intact(&plan_some));
		OK(rules_slot_update(-1, lab.config, &plan_some, NULL, &err));
		ck_assert(is_intact(&plan_some));
	}
}
END_TEST

/* A start after a kill must replace no table under traffic. */
START_TEST(of_a_policy_that_differs_the_repair_leaves_the_rest_alone)
{
	static const char *const alterations[] = {
		"nft add set inet weft policy_deny2 '{ type ipv4_addr; flags interval; }'",
		"nft flush chain inet weft guest_policy",
		"nft add element inet weft policy_allow { 4.4.4.4 }",
	};

	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	char *before = lab_output("nft -a list table inet weft | head -1");
	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		lab_run("%s", alterations[i]);
		OK(rules_slot_repair(-1, lab.config, &plan_some, NULL, &err));
		ck_assert(is_intact(&plan_some));
		char *after = lab_output("nft -a list table inet weft | head -1");
		ck_assert_str_eq(after, before);
		free(after);
	}
	free(before);
}
END_TEST

/* A rule made anew has another handle, and a full bucket. */
START_TEST(a_limit_that_stays_keeps_what_was_counted_against_it)
{
	static const char chain[] = "nft -a list chain netdev weft from_guest_rate";

	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	char *before = lab_output(chain);
	ck_assert_ptr_nonnull(strstr(before, "limit rate over"));
	OK(rules_slot_update(-1, lab.config, &plan_some, &plan_some, &err));
	char *kept = lab_output(chain);
	ck_assert_str_eq(kept, before);
	OK(rules_slot_update(-1, lab.config, &plan_some, &plan, &err));
	char *replaced = lab_output(chain);
	ck_assert_str_ne(replaced, before);
	ck_assert(is_intact(&plan_some));
	free(before);
	free(kept);
	free(replaced);
}
END_TEST

START_TEST(a_change_that_fails_halfway_leaves_the_former_policy_and_no_set)
{
	OK(rules_slot_apply(-1, lab.config, &plan_some, &err));
	lab_run("nft delete table netdev weft");
	char *before = lab_output("nft list ruleset");
	ck_assert_int_eq(rules_slot_update(-1, lab.config, &plan_some, NULL, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	char *after = lab_output("nft list ruleset");
	ck_assert_str_eq(after, before);
	free(before);
	free(after);
}
END_TEST

START_TEST(the_name_is_listed_and_can_be_replaced)
{
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	OK(rules_slot_comment(-1, "first", &err));
	OK(rules_slot_comment(-1, "second", &err));
	char *listing = lab_output("nft list chain inet weft sandbox");
	ck_assert_ptr_nonnull(strstr(listing, "comment \"second\""));
	free(listing);
	ck_assert(is_intact(&plan));
}
END_TEST

START_TEST(what_cannot_be_added_is_named_and_nothing_of_the_batch_is_left)
{
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	lab_run("nft add set inet weft policy_deny_port '{ type ipv4_addr; }'");
	char *before = lab_output("nft list ruleset");
	ck_assert_int_eq(rules_slot_claim(-1, &plan_some, &err), -1);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_str_eq(err.text, "policy of slot 1: nftables: new set policy_deny_port: File exists");
	char *after = lab_output("nft list ruleset");
	ck_assert_str_eq(after, before);
	free(before);
	free(after);
}
END_TEST

/* ---- Packets ---- */

START_TEST(the_guest_leaves_by_its_host_address_and_gets_replies)
{
	struct packet syn = from_guest(IPPROTO_TCP, ELSEWHERE, 443);

	syn.mss = 9000;
	struct packet out = passes_out(&syn);
	ck_assert_uint_eq(out.source, host_ip);
	ck_assert_uint_eq(out.mss, 1460);
	struct packet answer = reply_to(&out, TH_SYN | TH_ACK);
	answer.mss = 9000;
	struct packet in = passes_in(&answer);
	ck_assert_uint_eq(in.destination, guest_ip);
	ck_assert_uint_eq(in.mss, 1460);
}
END_TEST

START_TEST(the_host_address_leads_to_the_guest_with_all_protocols)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_GRE, 253 };

	for (size_t i = 0; i < sizeof(protos); i++) {
		struct packet packet = from_host(protos[i], host_ip, 1234);
		packet.payload = 16;
		struct packet in = passes_in(&packet);
		ck_assert_uint_eq(in.proto, protos[i]);
		ck_assert_uint_eq(in.source, veth_host_ip);
		ck_assert_uint_eq(in.destination, guest_ip);
	}
}
END_TEST

START_TEST(replies_to_private_clients_leave)
{
	struct packet syn = from_host(IPPROTO_TCP, host_ip, 8080);
	struct packet in = passes_in(&syn), answer = reply_to(&in, TH_SYN | TH_ACK);
	struct packet out = passes_out(&answer);

	ck_assert_uint_eq(out.source, host_ip);
	ck_assert_uint_eq(out.destination, veth_host_ip);
}
END_TEST

START_TEST(connections_made_inside_the_namespace_reach_the_guest)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(49983), .sin_addr.s_addr = htonl(guest_ip) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct packet syn;

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	ck_assert(lab_receives(lab.guest, &syn));
	ck_assert_uint_eq(syn.source, tap_ip);
	struct packet answer = reply_to(&syn, TH_SYN | TH_ACK);
	lab_guest_sends(&lab, &answer);
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	ck_assert_int_eq(poll(&writable, 1, LAB_TIMEOUT_MS), 1);
	ck_assert_int_eq(writable.revents, POLLOUT);
	close(fd);
}
END_TEST

START_TEST(segments_of_no_flow_to_the_other_address_inside_are_denied_and_not_tracked)
{
	struct packet segment = from_guest(IPPROTO_TCP, config_veth_guest_ip(&lab.config->layout, 1), 80);
	unsigned tracked;

	segment.tcp_flags = TH_ACK;
	is_denied(&segment);
	ck_assert_uint_eq(lab_counter("inet", "denied_gateway"), 1);
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}
END_TEST

/* ---- Junk ---- */

struct frame {
	uint8_t to[6], from[6], type[2];
	uint8_t rest[64];
};

static struct frame frame_of(uint16_t type)
{
	struct frame frame = { .type = { (uint8_t)(type >> 8), (uint8_t)type } };

	memcpy(frame.to, lab.config->layout.tap_mac.octets, 6);
	memcpy(frame.from, lab.config->layout.guest_mac.octets, 6);
	return frame;
}

/* An ARP request. */
static struct frame arp_of(const struct mac *mac, uint32_t sender, uint32_t target)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	struct frame frame = frame_of(ETH_P_ARP);
	uint32_t ip;

	memset(frame.to, 0xff, 6);
	memcpy(frame.rest, head, sizeof(head));
	memcpy(frame.rest + 8, mac->octets, 6);
	ip = htonl(sender);
	memcpy(frame.rest + 14, &ip, 4);
	ip = htonl(target);
	memcpy(frame.rest + 24, &ip, 4);
	return frame;
}

static void send_frame(const struct frame *frame)
{
	lab_frame_sends(lab.guest, frame, sizeof(*frame));
}

START_TEST(honest_arp_is_answered)
{
	struct frame request = arp_of(&lab.config->layout.guest_mac, guest_ip, tap_ip), got = { 0 };

	send_frame(&request);
	do {
		struct pollfd readable = { .fd = lab.guest, .events = POLLIN };
		ck_assert_int_eq(poll(&readable, 1, LAB_TIMEOUT_MS), 1);
		ck_assert_int_gt(read(lab.guest, &got, sizeof(got)), 0);
	} while (memcmp(got.type, request.type, 2) != 0);
	ck_assert_int_eq(got.rest[7], 2);
	ck_assert_mem_eq(got.from, lab.config->layout.tap_mac.octets, 6);
	ck_assert_uint_eq(lab_counter("netdev", "drop_arp"), 0);
}
END_TEST

START_TEST(forged_arp_is_dropped_and_makes_no_neighbours)
{
	const struct mac foreign = { { 2, 2, 2, 2, 2, 2 } }, *mine = &lab.config->layout.guest_mac;
	struct frame forged[] = { arp_of(&foreign, guest_ip, tap_ip), arp_of(mine, IP(1, 1, 1, 1), tap_ip),
				  arp_of(mine, guest_ip, IP(10, 12, 0, 3)) };

	for (size_t i = 0; i < 3; i++)
		send_frame(&forged[i]);
	ck_assert(lab_receives_nothing(lab.guest));
	ck_assert_uint_eq(lab_counter("netdev", "drop_arp"), 3);
	char *neighbours = lab_output("ip neigh show dev tap0");
	ck_assert_ptr_null(strstr(neighbours, "1.1.1.1"));
	ck_assert_ptr_nonnull(strstr(neighbours, "169.254.0.21 lladdr 02:fc:00:00:00:05 PERMANENT"));
	free(neighbours);
}
END_TEST

static void expect_junk(const char *counter, uint64_t packets)
{
	unsigned tracked;

	ck_assert(lab_receives_nothing(lab.host));
	ck_assert_uint_eq(lab_counter("netdev", counter), packets);
	ck_assert_uint_eq(lab_counter("netdev", "from_guest"), 0);
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}

START_TEST(spoofed_sources_are_dropped_before_conntrack)
{
	static const uint32_t sources[] = { IP(10, 11, 0, 2), IP(169, 254, 0, 22), IP(127, 0, 0, 1), IP(8, 8, 8, 8),
					    0 };

	for (size_t i = 0; i < 5; i++) {
		struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);
		packet.source = sources[i];
		lab_guest_sends(&lab, &packet);
	}
	expect_junk("drop_source", 5);
}
END_TEST

START_TEST(foreign_macs_are_dropped)
{
	struct frame frame = frame_of(ETH_P_IP);

	frame.from[5] = 9;
	send_frame(&frame);
	expect_junk("drop_mac", 1);
}
END_TEST

START_TEST(what_is_not_ipv4_is_dropped)
{
	struct frame six = frame_of(ETH_P_IPV6), vlan = frame_of(ETH_P_8021Q), lldp = frame_of(ETH_P_LLDP);

	send_frame(&six);
	expect_junk("drop_ipv6", 1);
	send_frame(&vlan);
	send_frame(&lldp);
	ck_assert_uint_eq(lab_counter("netdev", "drop_protocol"), 2);
}
END_TEST

/* ICMPv6 of TYPE: 40 bytes of IPv6 before it. */
static struct frame icmpv6_of(uint8_t type)
{
	struct frame frame = frame_of(ETH_P_IPV6);

	frame.rest[0] = 0x60;
	frame.rest[5] = 8; /* bytes */
	frame.rest[6] = IPPROTO_ICMPV6;
	frame.rest[7] = 255;
	frame.rest[40] = type;
	return frame;
}

START_TEST(questions_for_a_router_of_ipv6_are_no_drops)
{
	struct frame question = icmpv6_of(ND_ROUTER_SOLICIT), neighbour = icmpv6_of(ND_NEIGHBOR_SOLICIT);
	struct fabric_counts counts = { .slot = 1 };

	send_frame(&question);
	send_frame(&question);
	expect_junk("router_solicitations", 2);
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.drops, 0);
	ck_assert_uint_eq(counts.denied[FABRIC_RULE_SOLICITATION], 2);
	send_frame(&neighbour);
	expect_junk("drop_ipv6", 1);
	/* Forged, it is a drop like others. */
	question.from[5]++;
	send_frame(&question);
	expect_junk("drop_mac", 1);
	OK(rules_slot_counts(-1, &counts, &err));
	ck_assert_uint_eq(counts.drops, 2);
	ck_assert_uint_eq(counts.denied[FABRIC_RULE_SOLICITATION], 2);
}
END_TEST

START_TEST(multicast_and_broadcast_are_dropped)
{
	static const uint32_t destinations[] = { IP(224, 0, 0, 251), IP(239, 1, 1, 1), IP(240, 0, 0, 1), 0xffffffff };
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);

	for (size_t i = 0; i < 4; i++) {
		struct packet junk = from_guest(IPPROTO_UDP, destinations[i], 5353);
		lab_guest_sends(&lab, &junk);
	}
	/* To a good address, but not to the gateway's MAC. */
	lab.config->layout.tap_mac = (struct mac){ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	lab_guest_sends(&lab, &packet);
	expect_junk("drop_multicast", 5);
}
END_TEST

START_TEST(with_learned_macs_any_mac_will_do_but_no_other_address)
{
	const struct mac chosen = { { 2, 7, 7, 7, 7, 7 } };
	struct packet good = from_guest(IPPROTO_UDP, ELSEWHERE, 53), bad = good;

	lab.config->layout.guest_mac_learn = true;
	lab.config->layout.guest_mac = chosen;
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
	ck_assert(is_intact(&plan));
	bad.source++;
	passes_out(&good);
	lab_guest_sends(&lab, &bad);
	struct frame arp = arp_of(&chosen, guest_ip + 1, tap_ip);
	memcpy(arp.from, chosen.octets, 6);
	send_frame(&arp);
	ck_assert(lab_receives_nothing(lab.host));
	ck_assert_uint_eq(lab_counter("netdev", "drop_source"), 1);
	ck_assert_uint_eq(lab_counter("netdev", "drop_arp"), 1);
}
END_TEST

static void add_table_tests(Suite *suite)
{
	TCase *tables = tcase_create("tables");

	tcase_add_checked_fixture(tables, setup, NULL);
	tcase_set_timeout(tables, 120);
	tcase_add_test(tables, the_tables_that_were_made_are_those_that_are_checked_for);
	tcase_add_test(tables, their_listing_can_be_loaded_again_and_is_then_still_intact);
	tcase_add_test(tables, every_alteration_is_noticed_and_repaired);
	tcase_add_test(tables, another_plan_is_noticed);
	tcase_add_test(tables, claim_and_update_lead_to_what_apply_makes);
	tcase_add_test(tables, a_policy_that_replaces_another_has_sets_of_its_own_and_those_of_the_former_go);
	tcase_add_test(tables, a_change_that_was_broken_off_is_noticed_and_the_next_one_clears_it_away);
	tcase_add_test(tables, of_a_policy_that_differs_the_repair_leaves_the_rest_alone);
	tcase_add_test(tables, a_limit_that_stays_keeps_what_was_counted_against_it);
	tcase_add_test(tables, a_change_that_fails_halfway_leaves_the_former_policy_and_no_set);
	tcase_add_test(tables, the_name_is_listed_and_can_be_replaced);
	tcase_add_test(tables, what_cannot_be_added_is_named_and_nothing_of_the_batch_is_left);
	suite_add_tcase(suite, tables);
}

static void add_packet_tests(Suite *suite)
{
	TCase *packets = tcase_create("packets");

	tcase_add_checked_fixture(packets, setup_with_tables, NULL);
	tcase_set_timeout(packets, 120);
	tcase_add_test(packets, the_guest_leaves_by_its_host_address_and_gets_replies);
	tcase_add_test(packets, the_host_address_leads_to_the_guest_with_all_protocols);
	tcase_add_test(packets, replies_to_private_clients_leave);
	tcase_add_test(packets, connections_made_inside_the_namespace_reach_the_guest);
	tcase_add_test(packets, segments_of_no_flow_to_the_other_address_inside_are_denied_and_not_tracked);
	tcase_add_test(packets, honest_arp_is_answered);
	tcase_add_test(packets, forged_arp_is_dropped_and_makes_no_neighbours);
	tcase_add_test(packets, spoofed_sources_are_dropped_before_conntrack);
	tcase_add_test(packets, foreign_macs_are_dropped);
	tcase_add_test(packets, what_is_not_ipv4_is_dropped);
	tcase_add_test(packets, questions_for_a_router_of_ipv6_are_no_drops);
	tcase_add_test(packets, multicast_and_broadcast_are_dropped);
	tcase_add_test(packets, with_learned_macs_any_mac_will_do_but_no_other_address);
	suite_add_tcase(suite, packets);
}

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_slot");
	add_table_tests(suite);
	add_packet_tests(suite);

	return run_suite(suite);
}
