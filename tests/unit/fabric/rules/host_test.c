/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's table itself, and the packets it lets out of sandboxes. */
#include "unit/fabric/rules/nft_host_lab.h"
#include "unit/run_suite.h"

#include "kernel/conntrack.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The table itself ---- */

START_TEST(the_table_that_was_made_is_the_one_that_is_checked_for)
{
	ck_assert(!is_intact());
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
}
END_TEST

START_TEST(its_listing_can_be_loaded_again_and_is_then_still_intact)
{
	struct cidr4 dns = { IP(10, 1, 1, 1), 32 }, open = { IP(10, 9, 0, 0), 16 }, allow = { IP(1, 0, 0, 0), 24 };
	struct config_service service = { .address = addr_from_ipv4(IP(192, 0, 2, 1), 80) };
	const struct fabric_nat nat[] = { { addr_from_ipv4(UPLINK_IP, 30888), PROTO_TCP, 8080 },
					  { addr_from_ipv4(0, 30889), PROTO_UDP, 53 } };

	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	lab.config->egress.allow_host = (struct config_service_list){ .items = &service, .count = 1 };
	lab.config->ingress.allow = (struct cidr4_list){ .items = &allow, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	OK(rules_host_publish(&lab.config->layout, 1, nat, 2, &err));
	char *listing = lab_round_trip();
	ck_assert_ptr_nonnull(strstr(listing, "1.0.0.2 . tcp . 30888 : 10.11.0.1 . 8080"));
	ck_assert_ptr_nonnull(strstr(listing, "udp . 30889 : 10.11.0.1 . 53"));
	ck_assert_ptr_nonnull(strstr(listing, "iifgroup 1874 fib saddr . iif oif missing"));
	free(listing);
	ck_assert(is_intact());
}
END_TEST

START_TEST(every_alteration_is_noticed_and_repaired_and_published_ports_stay)
{
	static const char *const alterations[] = {
		"nft flush chain inet weft from_sandbox",
		"nft insert rule inet weft to_sandbox accept",
		"nft delete element inet weft always_denied { 169.254.0.0/16 }",
		"nft add element inet weft ingress_sources { 1.2.3.4 }",
		"nft chain inet weft forward '{ policy drop; }'",
		"nft add table inet weft '{ flags dormant; }'",
	};
	const struct fabric_nat nat = { addr_from_ipv4(UPLINK_IP, 30888), PROTO_TCP, 8080 };

	OK(rules_host_apply(lab.config, &err));
	OK(rules_host_publish(&lab.config->layout, 1, &nat, 1, &err));
	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		lab_run("%s", alterations[i]);
		ck_assert_msg(!is_intact(), "not noticed: %s", alterations[i]);
		OK(rules_host_apply(lab.config, &err));
		ck_assert_msg(is_intact(), "not repaired: %s", alterations[i]);
		char *map = lab_output("nft list map inet weft published");
		ck_assert_ptr_nonnull(strstr(map, "1.0.0.2 . tcp . 30888 : 10.11.0.1 . 8080"));
		free(map);
	}
	lab_run("nft flush ruleset");
	ck_assert(!is_intact());
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
}
END_TEST

START_TEST(an_intact_table_is_left_alone)
{
	OK(rules_host_apply(lab.config, &err));
	char *before = lab_output("nft -a list table inet weft");
	OK(rules_host_apply(lab.config, &err));
	char *after = lab_output("nft -a list table inet weft");
	ck_assert_str_eq(after, before); /* handles would change */
	free(before);
	free(after);
}
END_TEST

START_TEST(tables_of_others_are_neither_compared_nor_removed)
{
	bool removed = false;

	lab_run("nft add table ip weft && nft add table inet other");
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
	OK(rules_host_remove(&removed, &err));
	ck_assert(removed);
	OK(rules_host_remove(&removed, &err));
	ck_assert(!removed);
	char *tables = lab_output("nft list tables");
	ck_assert_str_eq(tables, "table ip weft\ntable inet other\n");
	free(tables);
}
END_TEST

/* ---- From sandboxes ---- */

START_TEST(egress_is_masqueraded_and_replies_come_back)
{
	struct packet out = passes(first, uplink, syn(first_ip, ELSEWHERE, 443));

	ck_assert_uint_eq(out.source, UPLINK_IP);
	struct packet in = passes(uplink, first, reply_to(&out, TH_SYN | TH_ACK));
	ck_assert_uint_eq(in.destination, first_ip);
}
END_TEST

START_TEST(only_the_uplink_masquerades_where_it_is_named)
{
	static char name[] = "uplink";
	int other = lab_add_link("other", "2.0.0.2/24", "2.0.0.1", 0);
	char *none = lab.config->addresses.uplink;

	lab_run("ip route add 9.0.0.0/8 via 2.0.0.1");
	ck_assert_uint_eq(passes(first, other, syn(first_ip, IP(9, 9, 9, 9), 80)).source, IP(2, 0, 0, 2));
	lab.config->addresses.uplink = name;
	OK(rules_host_apply(lab.config, &err));
	ck_assert_uint_eq(passes(second, other, syn(second_ip, IP(9, 9, 9, 9), 80)).source, second_ip);
	ck_assert_uint_eq(passes(second, uplink, syn(second_ip, ELSEWHERE, 80)).source, UPLINK_IP);
	lab.config->addresses.uplink = none;
}
END_TEST

START_TEST(sandboxes_do_not_reach_each_other)
{
	struct cidr4 open = { IP(10, 0, 0, 0), 8 };

	is_denied(syn(first_ip, second_ip, 49983));
	is_denied(make(IPPROTO_ICMP, first_ip, second_ip, 0));
	is_denied(syn(first_ip, IP(10, 12, 0, 5), 80));
	is_denied(syn(first_ip, IP(10, 11, 7, 7), 80)); /* nobody's: no way out by the uplink */
	/* Not even where their ranges are opened with others. */
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	is_denied(syn(first_ip, second_ip, 49983));
}
END_TEST

START_TEST(private_ranges_are_denied_but_for_what_is_opened_and_dns)
{
	struct cidr4 open = { IP(172, 20, 0, 0), 16 }, dns = { IP(10, 1, 1, 1), 32 };

	is_denied(syn(first_ip, IP(10, 200, 0, 1), 80));
	is_denied(syn(first_ip, IP(169, 254, 169, 254), 80));
	is_denied(make(IPPROTO_UDP, first_ip, IP(192, 168, 0, 1), 53));
	is_denied(make(IPPROTO_UDP, first_ip, IP(172, 20, 0, 1), 53));
	is_denied(make(IPPROTO_UDP, first_ip, IP(10, 1, 1, 1), 53));
	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	lab.config->addresses.dns = (struct cidr4_list){ .items = &dns, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	passes(first, uplink, make(IPPROTO_UDP, first_ip, IP(172, 20, 0, 1), 53));
	passes(first, uplink, make(IPPROTO_UDP, first_ip, IP(10, 1, 1, 1), 53));
	is_denied(syn(first_ip, IP(10, 1, 1, 1), 80));
}
END_TEST

START_TEST(a_live_flow_ends_when_its_range_is_closed)
{
	struct cidr4 open = { IP(172, 20, 0, 0), 16 };

	lab.config->egress.open = (struct cidr4_list){ .items = &open, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	struct packet packet = syn(first_ip, IP(172, 20, 0, 1), 80);
	struct packet out = passes(first, uplink, packet);
	passes(uplink, first, reply_to(&out, TH_SYN | TH_ACK));
	lab.config->egress.open = (struct cidr4_list){ .items = NULL, .count = 0 };
	OK(rules_host_apply(lab.config, &err));
	packet.tcp_flags = TH_ACK;
	packet.sequence++;
	packet.acknowledged = 501;
	is_denied(packet);
}
END_TEST

/* A TCP socket that listens on all addresses. */
static int listen_on(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

START_TEST(no_address_of_the_host_is_reached)
{
	static const uint32_t addresses[] = { UPLINK_IP, IP(10, 12, 0, 2), IP(10, 12, 0, 4) };
	int fd = listen_on(22);

	for (size_t i = 0; i < 3; i++) {
		is_denied(syn(first_ip, addresses[i], 22));
		is_denied(make(IPPROTO_ICMP, first_ip, addresses[i], 0));
	}
	is_dropped(first, syn(first_ip, IP(127, 0, 0, 1), 22));
	is_dropped(first, make(IPPROTO_UDP, first_ip, IP(224, 0, 0, 1), 22));
	is_dropped(first, make(IPPROTO_UDP, first_ip, 0xffffffff, 22));
	ck_assert_uint_ge(lab_counter("inet", "denied_host"), 6);
	close(fd);
}
END_TEST

/*
 * Returns the answer of a service of the host to the first sandbox, and resets the connection, so that the answer is not
 * repeated.
 */
static struct packet answer_to(struct packet packet)
{
	struct packet answer = passes(first, first, packet);

	packet.tcp_flags = TH_RST;
	packet.sequence++;
	lab_sends(first, &packet);
	while (!lab_receives_nothing(first))
		;
	return answer;
}

START_TEST(services_of_the_host_are_reached_at_its_address_or_a_virtual_one)
{
	struct config_service services[] = { { .address = addr_from_ipv4(UPLINK_IP, 8081) },
					     { .address = addr_from_ipv4(IP(192, 0, 2, 1), 8080) } };
	int real = listen_on(8081), virtual = listen_on(8080);

	lab.config->egress.allow_host = (struct config_service_list){ .items = services, .count = 2 };
	OK(rules_host_apply(lab.config, &err));
	struct packet answer = answer_to(syn(first_ip, UPLINK_IP, 8081));
	ck_assert_uint_eq(answer.tcp_flags, TH_SYN | TH_ACK);
	answer = answer_to(syn(first_ip, IP(192, 0, 2, 1), 8080));
	ck_assert_uint_eq(answer.tcp_flags, TH_SYN | TH_ACK);
	ck_assert_uint_eq(answer.source, IP(192, 0, 2, 1));
	is_denied(syn(first_ip, UPLINK_IP, 8080));
	close(real);
	close(virtual);
}
END_TEST

START_TEST(spoofed_sources_do_not_reach_conntrack)
{
	static const uint32_t sources[] = { IP(10, 11, 0, 2), IP(169, 254, 0, 21), IP(8, 8, 4, 4), UPLINK_IP,
					    IP(127, 0, 0, 1) };
	unsigned tracked;

	for (size_t i = 0; i < 5; i++)
		is_dropped(first, make(IPPROTO_UDP, sources[i], ELSEWHERE, 53));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
	ck_assert_uint_ge(lab_counter("inet", "drop_source"), 3); /* the rest by the kernel's own checks */
}
END_TEST

static void add_table_tests(Suite *suite)
{
	TCase *table = tcase_create("table");

	tcase_add_checked_fixture(table, setup, NULL);
	tcase_set_timeout(table, 120);
	tcase_add_test(table, the_table_that_was_made_is_the_one_that_is_checked_for);
	tcase_add_test(table, its_listing_can_be_loaded_again_and_is_then_still_intact);
	tcase_add_test(table, every_alteration_is_noticed_and_repaired_and_published_ports_stay);
	tcase_add_test(table, an_intact_table_is_left_alone);
	tcase_add_test(table, tables_of_others_are_neither_compared_nor_removed);
	suite_add_tcase(suite, table);
}

static void add_packet_tests(Suite *suite)
{
	TCase *packets = tcase_create("packets");

	tcase_add_checked_fixture(packets, setup_with_table, NULL);
	tcase_set_timeout(packets, 120);
	tcase_add_test(packets, egress_is_masqueraded_and_replies_come_back);
	tcase_add_test(packets, only_the_uplink_masquerades_where_it_is_named);
	tcase_add_test(packets, sandboxes_do_not_reach_each_other);
	tcase_add_test(packets, private_ranges_are_denied_but_for_what_is_opened_and_dns);
	tcase_add_test(packets, a_live_flow_ends_when_its_range_is_closed);
	tcase_add_test(packets, no_address_of_the_host_is_reached);
	tcase_add_test(packets, services_of_the_host_are_reached_at_its_address_or_a_virtual_one);
	tcase_add_test(packets, spoofed_sources_do_not_reach_conntrack);
	suite_add_tcase(suite, packets);
}

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_host");
	add_table_tests(suite);
	add_packet_tests(suite);

	return run_suite(suite);
}
