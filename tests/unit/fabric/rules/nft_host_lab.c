/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/fabric/rules/nft_host_lab.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

const uint32_t first_ip = IP(10, 11, 0, 1), second_ip = IP(10, 11, 0, 2), veth_ip = IP(10, 12, 0, 2);

struct lab lab;
struct err err;
int uplink, first, second;

void setup(void)
{
	err = (struct err){ 0 };
	lab = lab_open();
	lab_run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv4.ip_forward=1");
	uplink = lab_add_link("uplink", "1.0.0.2/24", "1.0.0.1", 0);
	first = lab_add_link("veth-1", "10.12.0.2/31", "10.12.0.3", 1874);
	second = lab_add_link("veth-2", "10.12.0.4/31", "10.12.0.5", 1874);
	lab_run("ip route add default via 1.0.0.1 && ip route add 10.11.0.1 via 10.12.0.3 && "
		"ip route add 10.11.0.2 via 10.12.0.5");
}

void setup_with_table(void)
{
	setup();
	OK(rules_host_apply(lab.config, &err));
}

bool is_intact(void)
{
	bool intact = false;

	OK(rules_host_check(lab.config, &intact, &err));
	return intact;
}

struct packet make(uint8_t proto, uint32_t source, uint32_t destination, uint16_t port)
{
	return (struct packet){ .proto = proto,
				.source = source,
				.destination = destination,
				.source_port = 40000,
				.destination_port = port,
				.tcp_flags = TH_SYN,
				.sequence = 100,
				.icmp = { 8, 0 } };
}

struct packet syn(uint32_t source, uint32_t destination, uint16_t port)
{
	return make(IPPROTO_TCP, source, destination, port);
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

/* Sends PACKET into one link, and receives it from another. */
struct packet passes(int from, int to, struct packet packet)
{
	struct packet got = { 0 };

	lab_sends(from, &packet);
	ck_assert_msg(lab_receives(to, &got), "did not pass");
	return got;
}

void nothing_anywhere(void)
{
	ck_assert(lab_receives_nothing(uplink));
	ck_assert(lab_receives_nothing(first));
	ck_assert(lab_receives_nothing(second));
}

/* The first sandbox sends it and gets an answer at once, and nothing goes anywhere else. */
void is_denied(struct packet packet)
{
	struct packet got = passes(first, first, packet);

	if (packet.proto == IPPROTO_TCP)
		ck_assert_uint_eq(got.tcp_flags & TH_RST, TH_RST);
	else
		ck_assert_mem_eq(got.icmp, "\3\15", 2);
	nothing_anywhere();
}

void is_dropped(int from, struct packet packet)
{
	lab_sends(from, &packet);
	nothing_anywhere();
}
