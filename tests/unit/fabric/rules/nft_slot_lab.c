/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/fabric/rules/nft_slot_lab.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

struct lab lab;
struct err err;
const struct fabric_plan plan = { .slot = 1, .id = "a" };

const uint32_t guest_ip = IP(169, 254, 0, 21), tap_ip = IP(169, 254, 0, 22), host_ip = IP(10, 11, 0, 1),
	       veth_host_ip = IP(10, 12, 0, 2);

void setup(void)
{
	err = (struct err){ 0 };
	lab = lab_open();
	lab_add_links(&lab);
}

void setup_with_tables(void)
{
	setup();
	OK(rules_slot_apply(-1, lab.config, &plan, &err));
}

bool is_intact(const struct fabric_plan *of)
{
	bool intact = false;

	OK(rules_slot_check(-1, lab.config, of, &intact, &err));
	return intact;
}

/* A policy with something in each set. */
static struct egress_rule allowed[] = {
	{ .cidr = { IP(203, 0, 113, 0), 24 }, .any_proto = true },
	{ .cidr = { IP(203, 0, 113, 128), 25 }, .any_proto = true }, /* within the first */
	{ .cidr = { IP(198, 51, 100, 0), 24 }, .ip_proto = IPPROTO_UDP },
	{ .cidr = { IP(192, 0, 2, 0), 24 },
	  .ip_proto = IPPROTO_TCP,
	  .ports = { { 443, 443 }, { 80, 80 } },
	  .port_count = 2 },
	{ .cidr = { IP(192, 0, 2, 0), 25 }, .ip_proto = IPPROTO_TCP, .ports = { { 443, 443 } }, .port_count = 1 },
	{ .cidr = { IP(192, 0, 0, 0), 16 }, .ip_proto = IPPROTO_TCP, .ports = { { 22, 22 } }, .port_count = 1 },
};
static struct egress_rule denied[] = {
	{ .cidr = { IP(1, 2, 3, 0), 24 }, .any_proto = true },
	{ .cidr = { IP(203, 0, 113, 7), 32 }, .any_proto = true }, /* allowed, which wins */
	{ .cidr = { 0, 0 }, .ip_proto = IPPROTO_TCP, .ports = { { 25, 25 } }, .port_count = 1 },
	{ .cidr = { IP(5, 0, 0, 0), 8 }, .ip_proto = IPPROTO_UDP },
};
static const struct egress some = {
	.internet = true, .allow = allowed, .allow_count = 6, .deny = denied, .deny_count = 4
};
static const struct egress closed = { .allow = allowed, .allow_count = 6 };
static const struct bandwidth slow = { .from_guest = { 1000, 1000 } };
const struct fabric_plan plan_some = { .slot = 1, .id = "a", .egress = &some, .bandwidth = &slow };
const struct fabric_plan plan_closed = { .slot = 1, .id = "a", .egress = &closed };

struct packet from_guest(uint8_t proto, uint32_t destination, uint16_t port)
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

struct packet from_host(uint8_t proto, uint32_t destination, uint16_t port)
{
	struct packet packet = from_guest(proto, destination, port);

	packet.source = veth_host_ip;
	return packet;
}

struct packet reply_to(const struct packet *packet, uint8_t tcp_flags)
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

struct packet passes_out(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_guest_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.host, &got), "did not come out");
	ck_assert_uint_eq(got.destination, packet->destination);
	return got;
}

struct packet passes_in(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_host_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.guest, &got), "did not come in");
	return got;
}

void is_denied(const struct packet *packet)
{
	struct packet got = { 0 };

	lab_guest_sends(&lab, packet);
	ck_assert_msg(lab_receives(lab.guest, &got), "no answer to a packet of protocol %u", packet->proto);
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

struct packet open_flow(uint32_t destination, uint16_t port)
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

struct fabric_reach reach(uint32_t destination, uint8_t proto, uint16_t port)
{
	struct fabric_reach answer;

	OK(rules_slot_reach(-1, lab.config, &lab.config->layout, destination, proto, port, &answer, &err));
	return answer;
}

void expect(uint32_t destination, uint8_t proto, uint16_t port, bool passes, const char *rule)
{
	struct packet packet = from_guest(proto, destination, port);
	struct fabric_reach said = reach(destination, proto, port);

	ck_assert_str_eq(said.rule, rule);
	ck_assert_int_eq(said.allowed, passes);
	/* Translation wants a header. */
	packet.payload = proto == IPPROTO_TCP || proto == IPPROTO_UDP ? 0 : 16;
	if (passes)
		passes_out(&packet);
	else
		is_denied(&packet);
}
