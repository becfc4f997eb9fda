/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/addr.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

START_TEST(an_ipv4_address_is_one_however_it_is_written)
{
	static const struct {
		const char *text;
		uint32_t ip; /* 0: none */
	} cases[] = { { "192.0.2.7:80", 0xc0000207 },
		      { "[::ffff:192.0.2.7]:80", 0xc0000207 },
		      { "[2001:db8::1]:80", 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr addr;
		uint32_t ip = 0;

		ck_assert_int_eq(addr_parse(cases[i].text, &addr), 0);
		ck_assert_int_eq(addr_to_ipv4(&addr, &ip), cases[i].ip ? 0 : -1);
		ck_assert_uint_eq(ip, cases[i].ip);
	}
}
END_TEST

START_TEST(addresses_read_back_as_they_are_written)
{
	static const char *const texts[] = { "127.0.0.1:1", "0.0.0.0:65535", "[::1]:80", "[::]:49983",
					     "[2001:db8::7]:443" };
	char text[ADDR_TEXT_SIZE];
	struct addr addr;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(addr_parse(texts[i], &addr), 0);
		ck_assert_str_eq(addr_format(&addr, text), texts[i]);
	}
}
END_TEST

START_TEST(some_addresses_are_asked_by_nobody)
{
	static const char *const good[] = { "0.0.0.0:1", "127.0.0.1:1", "127.255.255.254:1", "10.0.0.255:1",
					    "[::]:1",    "[::1]:1",     "[fe80::1]:1" };
	static const char *const bad[] = { "127.0.0.0:1", "127.255.255.255:1", "0.0.0.1:1",   "224.0.0.1:1",
					   "240.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1", "[::ffff:127.0.0.1]:1" };
	struct addr addr;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(addr_parse(good[i], &addr), 0);
		ck_assert_msg(addr_can_be_asked(&addr), "%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(addr_parse(bad[i], &addr), 0);
		ck_assert_msg(!addr_can_be_asked(&addr), "%s", bad[i]);
	}
}
END_TEST

START_TEST(what_is_not_wholly_an_address_is_none)
{
	static const char *const texts[] = { "",
					     ":",
					     "127.0.0.1",
					     "127.0.0.1:",
					     "127.0.0.1:0",
					     "127.1:80",
					     "1.2.3.4:65536",
					     "1.2.3.4:080",
					     "1.2.3.4:8x",
					     "1.2.3.4: 80",
					     "1.2.3.4:+80",
					     "::1:80",
					     "[::1]",
					     "[::1]80",
					     "[::1%lo]:80",
					     "[1.2.3.4]:80",
					     "localhost:80",
					     "010.0.0.1:80",
					     "1.2.3.4:4294967376",
					     " 1.2.3.4:80" };
	struct addr addr;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(addr_parse(texts[i], &addr) == -1, "%s", texts[i]);
}
END_TEST

START_TEST(loopback_and_wildcard_are_distinguished)
{
	struct addr a = addr_from_ipv4(0x7f010203, 1), b = addr_loopback6(1), c = addr_from_ipv4(0x0a000001, 1);
	struct addr any;

	ck_assert(addr_is_loopback(&a));
	ck_assert(addr_is_loopback(&b));
	ck_assert(!addr_is_loopback(&c));
	ck_assert_int_eq(addr_parse("[::]:1", &any), 0);
	ck_assert(addr_is_wildcard(&any));
	ck_assert(!addr_is_wildcard(&b));
	ck_assert_int_eq(addr_parse("0.0.0.0:1", &any), 0);
	ck_assert(addr_is_wildcard(&any));
	ck_assert(!addr_is_loopback(&any));
}
END_TEST

START_TEST(a_socket_stands_in_the_way_of_those_that_it_overlaps)
{
	static const struct {
		const char *local, *wanted;
		bool in_the_way;
	} cases[] = {
		{ "127.0.0.1:80", "127.0.0.1:80", true },
		{ "127.0.0.1:80", "127.0.0.1:81", false },
		{ "127.0.0.2:80", "127.0.0.1:80", false },
		{ "0.0.0.0:80", "127.0.0.1:80", true },
		{ "127.0.0.1:80", "0.0.0.0:80", true },
		{ "[::]:80", "127.0.0.1:80", true },
		{ "[::]:80", "[::1]:80", true },
		{ "[::1]:80", "[::]:80", true },
		{ "[::1]:80", "127.0.0.1:80", false },
		{ "[::1]:80", "0.0.0.0:80", false },
		{ "127.0.0.1:80", "[::]:80", false },
		{ "0.0.0.0:80", "[::1]:80", false },
		{ "[::ffff:127.0.0.1]:80", "127.0.0.1:80", true },
		{ "[::ffff:127.0.0.2]:80", "127.0.0.1:80", false },
		{ "[::ffff:127.0.0.1]:80", "0.0.0.0:80", true },
		{ "[::ffff:0.0.0.0]:80", "127.0.0.1:80", true },
		{ "[::ffff:127.0.0.1]:80", "[::]:80", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr local, wanted;

		ck_assert_int_eq(addr_parse(cases[i].local, &local), 0);
		ck_assert_int_eq(addr_parse(cases[i].wanted, &wanted), 0);
		ck_assert_msg(addr_is_in_the_way(&local, &wanted) == cases[i].in_the_way, "%s, %s", cases[i].local,
			      cases[i].wanted);
	}
}
END_TEST

START_TEST(equality_looks_at_family_host_and_port)
{
	struct addr a = addr_from_ipv4(0x7f000001, 80), b = a, v6 = addr_loopback6(80);

	ck_assert(addr_equal(&a, &b));
	addr_set_port(&b, 81);
	ck_assert(!addr_equal(&a, &b));
	ck_assert(addr_same_host(&a, &b));
	ck_assert(!addr_same_host(&a, &v6));
	ck_assert_uint_eq(addr_port(&b), 81);
	addr_set_port(&v6, 65535);
	ck_assert_uint_eq(addr_port(&v6), 65535);
	ck_assert_uint_eq(addr_length(&a), sizeof(struct sockaddr_in));
	ck_assert_uint_eq(addr_length(&v6), sizeof(struct sockaddr_in6));
}
END_TEST

START_TEST(networks_keep_their_host_bits)
{
	char text[CIDR4_TEXT_SIZE];
	struct cidr4 cidr;

	ck_assert_int_eq(addr_cidr4_parse("169.254.0.21/30", &cidr), 0);
	ck_assert_str_eq(addr_cidr4_format(&cidr, text), "169.254.0.21/30");
	ck_assert_str_eq(addr_ipv4_format(addr_cidr4_first(&cidr), text), "169.254.0.20");
	ck_assert_str_eq(addr_ipv4_format(addr_cidr4_last(&cidr), text), "169.254.0.23");
	ck_assert_int_eq(addr_cidr4_parse("10.0.0.1", &cidr), 0);
	ck_assert_uint_eq(cidr.length, 32);
}
END_TEST

START_TEST(the_longest_and_the_shortest_prefix_work)
{
	struct cidr4 all, one;

	ck_assert_int_eq(addr_cidr4_parse("0.0.0.0/0", &all), 0);
	ck_assert_int_eq(addr_cidr4_parse("255.255.255.255/32", &one), 0);
	ck_assert_uint_eq(addr_cidr4_mask(&all), 0);
	ck_assert_uint_eq(addr_cidr4_mask(&one), UINT32_MAX);
	ck_assert(addr_cidr4_contains(&all, UINT32_MAX));
	ck_assert(addr_cidr4_overlaps(&all, &one));
	ck_assert(!addr_cidr4_contains(&one, 0));
}
END_TEST

START_TEST(networks_side_by_side_do_not_overlap)
{
	struct cidr4 a = { 0x0a0b0000, 16 }, b = { 0x0a0c0000, 16 }, inside = { 0x0a0bff00, 24 };

	ck_assert(!addr_cidr4_overlaps(&a, &b));
	ck_assert(addr_cidr4_overlaps(&a, &inside));
	ck_assert(addr_cidr4_overlaps(&inside, &a));
}
END_TEST

START_TEST(what_is_not_wholly_a_network_is_none)
{
	static const char *const texts[] = {
		"",         "/",           "10.0.0.0/", "10.0.0.0/33",  "10.0.0.0/-1", "10.0.0.0/8 ",
		"10.0.0/8", "10.0.0.0/08", "::/0",      "10.0.0.0.0/8", "a.b.c.d/8",   "10.0.0.256/8"
	};
	struct cidr4 cidr = { 7, 7 };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(addr_cidr4_parse(texts[i], &cidr) == -1, "%s", texts[i]);
	ck_assert_uint_eq(cidr.ip, 7);
	ck_assert_uint_eq(cidr.length, 7);
}
END_TEST

START_TEST(a_port_is_read_from_the_length_given)
{
	uint16_t port = 7;

	ck_assert_int_eq(addr_port_parse("65535", 5, &port), 0);
	ck_assert_uint_eq(port, 65535);
	ck_assert_int_eq(addr_port_parse("80-90", 2, &port), 0);
	ck_assert_uint_eq(port, 80);
}
END_TEST

START_TEST(what_is_not_wholly_a_port_is_none)
{
	static const char *const texts[] = { "", "0", "65536", "080", "000080", "-1", "+1", " 1", "1 ", "80-90" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		uint16_t port = 7;

		ck_assert_msg(addr_port_parse(texts[i], strlen(texts[i]), &port) < 0, "\"%s\" was taken", texts[i]);
		ck_assert_uint_eq(port, 7);
	}
}
END_TEST

START_TEST(a_port_does_not_end_at_a_nul)
{
	uint16_t port = 7;

	ck_assert_int_lt(addr_port_parse("80\0", 3, &port), 0);
	ck_assert_int_lt(addr_port_parse("8\0"
					 "0",
					 3, &port),
			 0);
	ck_assert_uint_eq(port, 7);
}
END_TEST

START_TEST(macs_are_read_in_either_case_and_written_in_one)
{
	char text[MAC_TEXT_SIZE];
	struct mac mac, same;

	ck_assert_int_eq(addr_mac_parse("02:fc:Ab:00:09:ff", &mac), 0);
	ck_assert_str_eq(addr_mac_format(&mac, text), "02:FC:AB:00:09:FF");
	ck_assert_int_eq(addr_mac_parse(text, &same), 0);
	ck_assert(addr_mac_equal(&mac, &same));
}
END_TEST

START_TEST(what_is_not_wholly_a_mac_is_none)
{
	static const char *const texts[] = { "",
					     "02:FC:00:00:00",
					     "02:FC:00:00:00:0",
					     "02:FC:00:00:00:05:",
					     "02-FC-00-00-00-05",
					     "+2:FC:00:00:00:05",
					     " 2:FC:00:00:00:05",
					     "02:0x:00:00:00:05",
					     "0G:FC:00:00:00:05",
					     "02:FC:00:00:00:5x" };
	struct mac mac;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(addr_mac_parse(texts[i], &mac) == -1, "%s", texts[i]);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("addr");

	tcase_add_test(cases, an_ipv4_address_is_one_however_it_is_written);
	tcase_add_test(cases, addresses_read_back_as_they_are_written);
	tcase_add_test(cases, some_addresses_are_asked_by_nobody);
	tcase_add_test(cases, what_is_not_wholly_an_address_is_none);
	tcase_add_test(cases, loopback_and_wildcard_are_distinguished);
	tcase_add_test(cases, a_socket_stands_in_the_way_of_those_that_it_overlaps);
	tcase_add_test(cases, equality_looks_at_family_host_and_port);
	tcase_add_test(cases, networks_keep_their_host_bits);
	tcase_add_test(cases, the_longest_and_the_shortest_prefix_work);
	tcase_add_test(cases, networks_side_by_side_do_not_overlap);
	tcase_add_test(cases, what_is_not_wholly_a_network_is_none);
	tcase_add_test(cases, a_port_is_read_from_the_length_given);
	tcase_add_test(cases, what_is_not_wholly_a_port_is_none);
	tcase_add_test(cases, a_port_does_not_end_at_a_nul);
	tcase_add_test(cases, macs_are_read_in_either_case_and_written_in_one);
	tcase_add_test(cases, what_is_not_wholly_a_mac_is_none);

	Suite *suite = suite_create("addr");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
