/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft_lab.h"

#include "base/clock.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

enum {
	ELSEWHERE = IP(1, 2, 3, 4), /* on the internet */
	OTHER = IP(1, 2, 4, 4),
};

static struct lab lab;
static struct err err;
static const struct fabric_plan plan = { .slot = 1, .id = "a" };

static const uint32_t guest_ip = IP(169, 254, 0, 21), tap_ip = IP(169, 254, 0, 22), host_ip = IP(10, 11, 0, 1),
		      veth_host_ip = IP(10, 12, 0, 2);

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static void setup(void)
{
	err = (struct err){ 0 };
	lab = lab_open();
	lab_add_links(&lab);
}

static void setup_with_tables(void)
{
	setup();
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
}

static bool is_intact(const struct fabric_plan *of)
{
	bool intact = false;

	OK(nft_slot_check(-1, lab.config, of, &intact, &err));
	return intact;
}

/* ---- The tables themselves ---- */

START_TEST(the_tables_that_were_made_are_those_that_are_checked_for)
{
	ck_assert(!is_intact(&plan));
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	ck_assert(is_intact(&plan));
}
END_TEST

/* A policy with something in each set. */
static struct egress_rule allowed[] = {
	{ .cidr = { IP(203, 0, 113, 0), 24 }, .any_proto = true },
	{ .cidr = { IP(203, 0, 113, 128), 25 }, .any_proto = true }, /* within the first */
	{ .cidr = { IP(198, 51, 100, 0), 24 }, .proto = PROTO_UDP },
	{ .cidr = { IP(192, 0, 2, 0), 24 }, .proto = PROTO_TCP, .ports = { 443, 80 }, .port_count = 2 },
	{ .cidr = { IP(192, 0, 2, 0), 25 }, .proto = PROTO_TCP, .ports = { 443 }, .port_count = 1 },
	{ .cidr = { IP(192, 0, 0, 0), 16 }, .proto = PROTO_TCP, .ports = { 22 }, .port_count = 1 },
};
static struct egress_rule denied[] = {
	{ .cidr = { IP(1, 2, 3, 0), 24 }, .any_proto = true },
	{ .cidr = { IP(203, 0, 113, 7), 32 }, .any_proto = true }, /* allowed, which wins */
	{ .cidr = { 0, 0 }, .proto = PROTO_TCP, .ports = { 25 }, .port_count = 1 },
	{ .cidr = { IP(5, 0, 0, 0), 8 }, .proto = PROTO_UDP },
};
static const struct egress some = { true, allowed, denied, 6, 4 };
static const struct egress closed = { false, allowed, NULL, 6, 0 };
static const struct bandwidth slow = { .from_guest = { 1000, 1000 } };
static const struct fabric_plan plan_some = { .slot = 1, .id = "a", .egress = &some, .bandwidth = &slow };
static const struct fabric_plan plan_closed = { .slot = 1, .id = "a", .egress = &closed };

START_TEST(their_listing_can_be_loaded_again_and_is_then_still_intact)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 };
	struct addr service = addr_from_ipv4(IP(192, 0, 2, 1), 80);

	lab.config->addresses.dns = (struct cidr4_list){ &dns, 1 };
	lab.config->egress.open = (struct cidr4_list){ &open, 1 };
	lab.config->egress.allow_host = (struct addr_list){ &service, 1 };
	OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "ip daddr . meta l4proto . th dport @policy_allow_port accept"));
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

	OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		lab_run("%s", alterations[i]);
		ck_assert_msg(!is_intact(&plan_some), "not noticed: %s", alterations[i]);
		OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
		ck_assert_msg(is_intact(&plan_some), "not repaired: %s", alterations[i]);
	}
}
END_TEST

START_TEST(another_plan_is_noticed)
{
	OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
	ck_assert(!is_intact(&plan));
	ck_assert(!is_intact(&plan_closed));
}
END_TEST

START_TEST(claim_and_update_lead_to_what_apply_makes)
{
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	OK(nft_slot_claim(-1, &plan_some, &err));
	ck_assert(is_intact(&plan_some));
	OK(nft_slot_update(-1, &plan_closed, &err));
	ck_assert(is_intact(&plan_closed));
	OK(nft_slot_update(-1, &plan, &err));
	ck_assert(is_intact(&plan));
	OK(nft_slot_update(-1, &plan_some, &err));
	ck_assert(is_intact(&plan_some));
}
END_TEST

START_TEST(a_policy_of_the_largest_size_is_accepted)
{
	struct egress_rule *rules = calloc(SPEC_EGRESS_MAX, sizeof(*rules));
	struct egress egress = { true, rules, NULL, SPEC_EGRESS_MAX, 0 };
	const struct fabric_plan large = { .slot = 1, .id = "a", .egress = &egress };

	for (unsigned i = 0; i < SPEC_EGRESS_MAX; i++) {
		rules[i] = (struct egress_rule){ .cidr = { IP(20, 0, 0, 0) + (i << 8), 24 }, .port_count = 4 };
		for (uint16_t port = 0; port < 4; port++)
			rules[i].ports[port] = (uint16_t)(port * 1000 + 80);
	}
	OK(nft_slot_apply(-1, lab.config, &large, &err));
	ck_assert(is_intact(&large));
	for (unsigned i = 0; i < SPEC_EGRESS_MAX; i++)
		rules[i].any_proto = true;
	OK(nft_slot_update(-1, &large, &err));
	ck_assert(is_intact(&large));
	free(rules);
}
END_TEST

START_TEST(the_name_is_listed_and_can_be_replaced)
{
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	OK(nft_slot_comment(-1, "first", &err));
	OK(nft_slot_comment(-1, "second", &err));
	char *listing = lab_output("nft list chain inet weft sandbox");
	ck_assert_ptr_nonnull(strstr(listing, "comment \"second\""));
	free(listing);
	ck_assert(is_intact(&plan));
}
END_TEST

START_TEST(what_cannot_be_added_is_named_and_nothing_of_the_batch_is_left)
{
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	lab_run("nft add set inet weft policy_deny_port '{ type ipv4_addr; }'");
	char *before = lab_output("nft list ruleset");
	ck_assert_int_eq(nft_slot_claim(-1, &plan_some, &err), -1);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_str_eq(err.text, "policy of slot 1: nftables: new set policy_deny_port: File exists");
	char *after = lab_output("nft list ruleset");
	ck_assert_str_eq(after, before);
	free(before);
	free(after);
}
END_TEST

/* ---- Packets ---- */

static struct packet from_guest(uint8_t proto, uint32_t destination, uint16_t port)
{
	return (struct packet){ .proto = proto,
				.source = guest_ip,
				.destination = destination,
				.source_port = 40000,
				.destination_port = port,
				.tcp_flags = TH_SYN,
				.sequence = 100,
				.icmp = { 8, 0 } };
}

static struct packet from_host(uint8_t proto, uint32_t destination, uint16_t port)
{
	struct packet packet = from_guest(proto, destination, port);

	packet.source = veth_host_ip;
	return packet;
}

/* What answers PACKET. */
static struct packet reply_to(const struct packet *packet, uint8_t tcp_flags)
{
	return (struct packet){ .proto = packet->proto,
				.source = packet->destination,
				.destination = packet->source,
				.source_port = packet->destination_port,
				.destination_port = packet->source_port,
				.tcp_flags = tcp_flags,
				.sequence = 500,
				.acknowledged = packet->sequence + 1 };
}

/* The guest sends it and the host gets it. */
static struct packet passes_out(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_guest_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.host, &got), "did not come out");
	ck_assert_uint_eq(got.destination, packet->destination);
	return got;
}

static struct packet passes_in(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_host_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.guest, &got), "did not come in");
	return got;
}

/* The guest sends it and gets a reset, or a prohibition, and nothing leaves. */
static void is_denied(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_guest_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.guest, &got), "no answer");
	if (packet->proto == IPPROTO_TCP) {
		ck_assert_uint_eq(got.proto, IPPROTO_TCP);
		ck_assert_uint_eq(got.tcp_flags & TH_RST, TH_RST);
		ck_assert_uint_eq(got.source, packet->destination);
	} else {
		ck_assert_uint_eq(got.proto, IPPROTO_ICMP);
		ck_assert_uint_eq(got.icmp[0], 3);
		ck_assert_uint_eq(got.icmp[1], 13);
	}
	ck_assert(lab_receives_nothing(lab.host));
}

/* Opens a TCP flow, guest to DESTINATION. Returns what the guest sends next. */
static struct packet open_flow(uint32_t destination, uint16_t port)
{
	struct packet syn = from_guest(IPPROTO_TCP, destination, port);
	struct packet out = passes_out(&syn), answer = reply_to(&out, TH_SYN | TH_ACK);

	passes_in(&answer);
	struct packet next = syn;
	next.tcp_flags = TH_ACK;
	next.sequence++;
	next.acknowledged = 501;
	passes_out(&next);
	return next;
}

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
	ck_assert_int_eq(poll(&writable, 1, 1000), 1);
	ck_assert_int_eq(writable.revents, POLLOUT);
	close(fd);
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

	memcpy(frame.to, lab.config->addresses.tap_mac.octets, 6);
	memcpy(frame.from, lab.config->addresses.guest_mac.octets, 6);
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
	struct frame request = arp_of(&lab.config->addresses.guest_mac, guest_ip, tap_ip), got = { 0 };

	send_frame(&request);
	do {
		struct pollfd readable = { .fd = lab.guest, .events = POLLIN };
		ck_assert_int_eq(poll(&readable, 1, 1000), 1);
		ck_assert_int_gt(read(lab.guest, &got, sizeof(got)), 0);
	} while (memcmp(got.type, request.type, 2) != 0);
	ck_assert_int_eq(got.rest[7], 2);
	ck_assert_mem_eq(got.from, lab.config->addresses.tap_mac.octets, 6);
	ck_assert_uint_eq(lab_counter("netdev", "drop_arp"), 0);
}
END_TEST

START_TEST(forged_arp_is_dropped_and_makes_no_neighbours)
{
	const struct mac foreign = { { 2, 2, 2, 2, 2, 2 } }, *mine = &lab.config->addresses.guest_mac;
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
	OK(conntrack_count(-1, &tracked, &err));
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

START_TEST(multicast_and_broadcast_are_dropped)
{
	static const uint32_t destinations[] = { IP(224, 0, 0, 251), IP(239, 1, 1, 1), IP(240, 0, 0, 1), 0xffffffff };
	struct packet packet = from_guest(IPPROTO_UDP, ELSEWHERE, 53);

	for (size_t i = 0; i < 4; i++) {
		struct packet junk = from_guest(IPPROTO_UDP, destinations[i], 5353);
		lab_guest_sends(&lab, &junk);
	}
	/* To a good address, but not to the gateway's MAC. */
	lab.config->addresses.tap_mac = (struct mac){ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	lab_guest_sends(&lab, &packet);
	expect_junk("drop_multicast", 5);
}
END_TEST

START_TEST(with_learned_macs_any_mac_will_do_but_no_other_address)
{
	const struct mac chosen = { { 2, 7, 7, 7, 7, 7 } };
	struct packet good = from_guest(IPPROTO_UDP, ELSEWHERE, 53), bad = good;

	lab.config->addresses.guest_mac_learn = true;
	lab.config->addresses.guest_mac = chosen;
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
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

/* ---- Policy ---- */

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

static struct fabric_reach reach(uint32_t destination, enum proto proto, uint16_t port)
{
	struct fabric_reach answer;

	OK(nft_slot_reach(-1, lab.config, destination, proto, port, &answer, &err));
	return answer;
}

/* What the kernel does with a packet, and what it is said to do, agree. */
static void expect(uint32_t destination, enum proto proto, uint16_t port, bool passes, const char *rule)
{
	struct packet packet = from_guest(proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP, destination, port);
	struct fabric_reach said = reach(destination, proto, port);

	ck_assert_str_eq(said.rule, rule);
	ck_assert_int_eq(said.allowed, passes);
	if (passes)
		passes_out(&packet);
	else
		is_denied(&packet);
}

START_TEST(private_ranges_are_denied_at_once_and_recorded)
{
	static const uint32_t destinations[] = { IP(10, 1, 2, 3),    IP(100, 64, 0, 1),  IP(172, 31, 0, 1),
						 IP(192, 168, 1, 1), IP(169, 254, 1, 1), IP(169, 254, 169, 254) };
	struct told told = { .count = 0 };
	uint64_t since = 0;

	for (size_t i = 0; i < 6; i++) {
		expect(destinations[i], PROTO_TCP, 80, false, "private");
		expect(destinations[i], PROTO_UDP, 53, false, "private");
	}
	ck_assert_str_eq(reach(IP(10, 1, 2, 3), PROTO_TCP, 80).set, "always_denied 10.0.0.0-10.255.255.255");
	OK(nft_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 12);
	ck_assert_str_eq(told.items[0].rule, "private");
	ck_assert_uint_eq(lab_counter("inet", "denied_private"), 12);
}
END_TEST

START_TEST(the_ways_back_to_the_host_and_to_other_sandboxes_are_denied)
{
	expect(tap_ip, PROTO_TCP, 22, false, "gateway");
	expect(veth_host_ip, PROTO_TCP, 22, false, "sandbox");
	expect(IP(10, 11, 0, 2), PROTO_TCP, 49983, false, "sandbox");
	expect(host_ip, PROTO_TCP, 49983, false, "sandbox");
	expect(guest_ip - 1, PROTO_TCP, 80, false, "sandbox");

	/* By its number it is the namespace's own, which only the packet's way shows. */
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
	OK(conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}
END_TEST

START_TEST(allow_wins_over_deny_and_both_say_so)
{
	OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
	expect(IP(203, 0, 113, 7), PROTO_TCP, 80, true, "allow");
	expect(IP(203, 0, 113, 200), PROTO_TCP, 25, true, "allow");
	expect(IP(198, 51, 100, 9), PROTO_UDP, 9, true, "allow");
	expect(IP(198, 51, 100, 9), PROTO_TCP, 9, true, "internet");
	expect(IP(192, 0, 2, 200), PROTO_TCP, 443, true, "allow");
	expect(IP(1, 2, 3, 4), PROTO_UDP, 80, false, "deny");
	expect(IP(9, 9, 9, 9), PROTO_TCP, 25, false, "deny");
	expect(IP(9, 9, 9, 9), PROTO_UDP, 25, true, "internet");
	expect(IP(5, 5, 5, 5), PROTO_UDP, 5, false, "deny");
	ck_assert_str_eq(reach(IP(192, 0, 2, 200), PROTO_TCP, 443).set, "policy_allow_port 192.0.2.0-192.0.2.255");
	ck_assert_uint_eq(lab_counter("inet", "denied_policy"), 3);
}
END_TEST

START_TEST(without_internet_only_what_is_allowed_passes)
{
	OK(nft_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(IP(203, 0, 113, 7), PROTO_TCP, 80, true, "allow");
	expect(IP(192, 0, 2, 7), PROTO_TCP, 81, false, "internet");
	expect(ELSEWHERE, PROTO_UDP, 53, false, "internet");
	ck_assert_str_eq(reach(ELSEWHERE, PROTO_UDP, 53).set, "");
}
END_TEST

START_TEST(the_always_denied_win_over_allow_unless_they_are_opened)
{
	struct egress_rule all = { .cidr = { 0, 0 }, .any_proto = true };
	const struct egress egress = { true, &all, NULL, 1, 0 };
	const struct fabric_plan wide = { .slot = 1, .id = "a", .egress = &egress };
	struct cidr4 open = { IP(10, 0, 0, 0), 8 };

	OK(nft_slot_apply(-1, lab.config, &wide, &err));
	expect(IP(10, 9, 1, 1), PROTO_TCP, 80, false, "private");
	lab.config->egress.open = (struct cidr4_list){ &open, 1 };
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	expect(IP(10, 9, 1, 1), PROTO_TCP, 80, true, "open");
	expect(IP(172, 16, 1, 1), PROTO_TCP, 80, false, "private");
	/* Not even so. */
	expect(IP(10, 11, 0, 2), PROTO_TCP, 80, false, "sandbox");
}
END_TEST

START_TEST(dns_and_services_of_the_host_pass_although_private)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 };
	struct addr service = addr_from_ipv4(IP(169, 254, 7, 7), 8080);

	lab.config->addresses.dns = (struct cidr4_list){ &dns, 1 };
	lab.config->egress.allow_host = (struct addr_list){ &service, 1 };
	OK(nft_slot_apply(-1, lab.config, &plan_closed, &err));
	expect(IP(10, 1, 1, 1), PROTO_UDP, 53, true, "dns");
	expect(IP(10, 1, 1, 1), PROTO_TCP, 53, true, "dns");
	expect(IP(10, 1, 1, 1), PROTO_TCP, 80, false, "private");
	expect(IP(169, 254, 7, 7), PROTO_TCP, 8080, true, "allow_host");
	expect(IP(169, 254, 7, 7), PROTO_TCP, 8081, false, "private");
}
END_TEST

START_TEST(tightening_cuts_the_flows_it_forbids_and_no_others)
{
	struct egress_rule deny = { .cidr = { ELSEWHERE, 32 }, .any_proto = true };
	const struct egress egress = { true, NULL, &deny, 0, 1 };
	const struct fabric_plan tight = { .slot = 1, .id = "a", .egress = &egress };
	struct packet inbound = from_host(IPPROTO_TCP, host_ip, 8080);
	struct packet forbidden = open_flow(ELSEWHERE, 443), kept = open_flow(OTHER, 443);

	struct packet in = passes_in(&inbound), answer = reply_to(&in, TH_SYN | TH_ACK);
	passes_out(&answer);
	OK(nft_slot_update(-1, &tight, &err));
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
	OK(nft_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(told.items[i].destination, IP(10, 1, 1, 1));
		ck_assert_uint_eq(told.items[i].port, 0);
	}
	ck_assert(strcmp(told.items[0].proto, "icmp") == 0 || strcmp(told.items[1].proto, "icmp") == 0);
	ck_assert(strcmp(told.items[0].proto, "47") == 0 || strcmp(told.items[1].proto, "47") == 0);
	/* What is new comes alone, once the reading is further than the clocks may differ. */
	for (uint64_t begun = clock_now_ms(); since < begun + 100;) {
		told.count = 0;
		OK(nft_slot_denials(-1, &since, take, &told, &err));
	}
	ck_assert_uint_eq(told.count, 0);
	is_denied(&(struct packet){ .proto = IPPROTO_TCP,
				    .source = guest_ip,
				    .destination = IP(192, 168, 1, 1),
				    .destination_port = 22,
				    .tcp_flags = TH_SYN });
	OK(nft_slot_denials(-1, &since, take, &told, &err));
	ck_assert_uint_eq(told.count, 1);
	ck_assert_str_eq(told.items[0].proto, "tcp");
	ck_assert_uint_eq(told.items[0].port, 22);
}
END_TEST

/* ---- Limits and accounts ---- */

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
	OK(conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 8192);
	ck_assert_uint_eq(lab_counter("inet", "denied_connections"), 8400 - 8192);
	/* Others still come in. */
	while (!lab_receives_nothing(lab.guest))
		;
	passes_in(&inbound);
	OK(conntrack_flush(-1, &err));
	OK(conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}
END_TEST

START_TEST(what_the_guest_sends_is_limited_also_to_the_forwarder)
{
	struct packet packet = from_guest(IPPROTO_UDP, tap_ip, 9);

	OK(nft_slot_apply(-1, lab.config, &plan_some, &err));
	packet.payload = 1372; /* 1,400 bytes in all */
	for (unsigned i = 0; i < 200; i++)
		lab_guest_sends(&lab, &packet);
	uint64_t passed = lab_counter("netdev", "from_guest"), dropped = lab_counter("netdev", "drop_rate");
	ck_assert_uint_eq(passed + dropped, 200);
	/* The bucket: a second's worth and at least 128 KiB. */
	ck_assert_uint_ge(passed, 94);
	ck_assert_uint_le(passed, 96);
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
	OK(nft_slot_update(-1, &plan_some, &err));
	OK(nft_slot_counts(-1, &counts, &err));
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
	OK(nft_slot_update(-1, &plan_some, &err));
	OK(nft_slot_apply(-1, lab.config, &plan, &err));
	OK(nft_slot_counts(-1, &counts, &err));
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
	OK(nft_slot_counts(-1, &before, &err));
	OK(nft_slot_repair(-1, lab.config, &plan, NULL, &err));
	OK(nft_slot_counts(-1, &after, &err));
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_uint_eq(after.packets_from_guest, 1);
	ck_assert_uint_eq(after.drops, 1);
	ck_assert(is_intact(&plan));
	/* With nothing left to read, from what is known. */
	lab_run("nft flush ruleset");
	before.drops = 7;
	OK(nft_slot_repair(-1, lab.config, &plan, &before, &err));
	OK(nft_slot_counts(-1, &after, &err));
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

START_TEST(the_generation_changes_with_the_rules_and_not_with_packets)
{
	struct packet packet = from_guest(IPPROTO_TCP, IP(10, 1, 1, 1), 53);
	uint32_t first, second;

	OK(nft_generation(-1, &first, &err));
	ck_assert_uint_ne(first, 0);
	is_denied(&packet); /* and recorded, in a set */
	OK(nft_generation(-1, &second, &err));
	ck_assert_uint_eq(first, second);
	lab_run("nft add rule inet weft input accept");
	OK(nft_generation(-1, &second, &err));
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
	ck_assert_int_eq(nft_slot_counts(-1, &counts, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(nft_slot_reach(-1, lab.config, ELSEWHERE, PROTO_TCP, 1, &answer, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(nft_slot_denials(-1, &since, take, &told, &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

static void add_table_tests(Suite *suite)
{
	TCase *tables = tcase_create("tables");

	tcase_add_checked_fixture(tables, setup, NULL);
	tcase_set_timeout(tables, 30);
	tcase_add_test(tables, the_tables_that_were_made_are_those_that_are_checked_for);
	tcase_add_test(tables, their_listing_can_be_loaded_again_and_is_then_still_intact);
	tcase_add_test(tables, every_alteration_is_noticed_and_repaired);
	tcase_add_test(tables, another_plan_is_noticed);
	tcase_add_test(tables, claim_and_update_lead_to_what_apply_makes);
	tcase_add_test(tables, a_policy_of_the_largest_size_is_accepted);
	tcase_add_test(tables, the_name_is_listed_and_can_be_replaced);
	tcase_add_test(tables, what_cannot_be_added_is_named_and_nothing_of_the_batch_is_left);
	suite_add_tcase(suite, tables);
}

static void add_packet_tests(Suite *suite)
{
	TCase *packets = tcase_create("packets");

	tcase_add_checked_fixture(packets, setup_with_tables, NULL);
	tcase_set_timeout(packets, 30);
	tcase_add_test(packets, the_guest_leaves_by_its_host_address_and_gets_replies);
	tcase_add_test(packets, the_host_address_leads_to_the_guest_with_all_protocols);
	tcase_add_test(packets, replies_to_private_clients_leave);
	tcase_add_test(packets, connections_made_inside_the_namespace_reach_the_guest);
	tcase_add_test(packets, honest_arp_is_answered);
	tcase_add_test(packets, forged_arp_is_dropped_and_makes_no_neighbours);
	tcase_add_test(packets, spoofed_sources_are_dropped_before_conntrack);
	tcase_add_test(packets, foreign_macs_are_dropped);
	tcase_add_test(packets, what_is_not_ipv4_is_dropped);
	tcase_add_test(packets, multicast_and_broadcast_are_dropped);
	tcase_add_test(packets, with_learned_macs_any_mac_will_do_but_no_other_address);
	suite_add_tcase(suite, packets);
}

static void add_policy_tests(Suite *suite)
{
	TCase *policy = tcase_create("policy");

	tcase_add_checked_fixture(policy, setup_with_tables, NULL);
	tcase_set_timeout(policy, 30);
	tcase_add_test(policy, private_ranges_are_denied_at_once_and_recorded);
	tcase_add_test(policy, the_ways_back_to_the_host_and_to_other_sandboxes_are_denied);
	tcase_add_test(policy, loopback_by_any_trick_is_denied);
	tcase_add_test(policy, allow_wins_over_deny_and_both_say_so);
	tcase_add_test(policy, without_internet_only_what_is_allowed_passes);
	tcase_add_test(policy, the_always_denied_win_over_allow_unless_they_are_opened);
	tcase_add_test(policy, dns_and_services_of_the_host_pass_although_private);
	tcase_add_test(policy, tightening_cuts_the_flows_it_forbids_and_no_others);
	tcase_add_test(policy, denials_are_told_once);
	tcase_add_test(policy, a_guest_has_only_so_many_flows);
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
	Suite *suite = suite_create("nft_slot");
	add_table_tests(suite);
	add_packet_tests(suite);
	add_policy_tests(suite);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
