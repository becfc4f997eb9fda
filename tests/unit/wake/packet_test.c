/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which copies of packets are heard, and which of them may be sent again. */
#include "wake/packet.h"

#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

enum { IP_HEADER = 20, SIZE_MAX_HERE = 512 };

static uint8_t bytes[SIZE_MAX_HERE];
static size_t size;
static struct wake_packet packet;

static uint32_t sum(const uint8_t *at, size_t length, uint32_t start)
{
	for (size_t i = 0; i < length; i++)
		start += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static uint32_t pseudo_sum(void)
{
	return sum(bytes + 12, 8, bytes[9] + (uint32_t)(size - IP_HEADER));
}

static uint8_t *checksum(void)
{
	return bytes + IP_HEADER + (bytes[9] == 6 ? 16 : 6);
}

static void put(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static bool is_right(void)
{
	return sum(bytes + IP_HEADER, size - IP_HEADER, pseudo_sum()) == 0xffff && sum(bytes, IP_HEADER, 0) == 0xffff;
}

static void add_checksum(void)
{
	put(checksum(), 0);
	put(checksum(), ~sum(bytes + IP_HEADER, size - IP_HEADER, pseudo_sum()) & 0xffff);
}

/* From 192.0.2.9:40000 to 10.11.0.2:8080, of PROTO, with a HEADER of its own and DATA bytes behind it. */
static void make(uint8_t proto, const uint8_t *header, size_t header_size, size_t data)
{
	static const uint8_t ip[IP_HEADER] = { 0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 0, 0, 0, 192, 0, 2, 9, 10, 11, 0, 2 };

	size = IP_HEADER + header_size + data;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, ip, sizeof(ip));
	memcpy(bytes + IP_HEADER, header, header_size);
	put(bytes + 2, (uint32_t)size);
	bytes[9] = proto;
	if (proto == 17)
		put(bytes + IP_HEADER + 4, (uint32_t)(size - IP_HEADER));
	add_checksum();
}

static void make_syn(void)
{
	static const uint8_t header[] = { 0x9c, 0x40, 0x1f, 0x90, 1, 2, 3, 4, 0, 0, 0, 0,
					  0x60, 2,    0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4 };

	make(6, header, sizeof(header), 0);
}

static void make_udp(size_t data)
{
	static const uint8_t header[] = { 0x9c, 0x40, 0x1f, 0x90, 0, 0, 0, 0 };

	make(17, header, sizeof(header), data);
}

static int reads(void)
{
	return wake_packet_read(bytes, size, &packet);
}

START_TEST(a_syn_is_heard_and_may_be_sent_again)
{
	make_syn();
	ck_assert_int_eq(reads(), 0);
	ck_assert_int_eq(packet.proto, PROTO_TCP);
	ck_assert_uint_eq(packet.source, 0xc0000209);
	ck_assert_uint_eq(packet.source_port, 40000);
	ck_assert_uint_eq(packet.destination, 0x0a0b0002);
	ck_assert_uint_eq(packet.dest_port, 8080);
	ck_assert_uint_eq(packet.length, size);
	ck_assert(packet.sendable);
}
END_TEST

START_TEST(a_datagram_is_heard_and_may_be_sent_again)
{
	make_udp(5);
	ck_assert_int_eq(reads(), 0);
	ck_assert_int_eq(packet.proto, PROTO_UDP);
	ck_assert_uint_eq(packet.dest_port, 8080);
	ck_assert(packet.sendable);
	make_udp(0);
	ck_assert_int_eq(reads(), 0);
	ck_assert(packet.sendable);
}
END_TEST

START_TEST(a_syn_with_data_or_ecn_is_one)
{
	make_syn();
	bytes[IP_HEADER + 13] = 0xc2;
	add_checksum();
	ck_assert_int_eq(reads(), 0);
	ck_assert(packet.sendable);
}
END_TEST

START_TEST(what_belongs_to_a_connection_is_not_heard)
{
	static const uint8_t flags[] = { 0x10, 0x12, 0x04, 0x14, 0x01, 0x11, 0x18, 0x03, 0x06, 0x00 };

	make_syn();
	bytes[IP_HEADER + 13] = flags[_i];
	add_checksum();
	ck_assert_int_eq(reads(), -1);
}
END_TEST

START_TEST(no_packet_that_is_cut_is_sent_again)
{
	make_udp(100);
	for (size_t cut = 0; cut < size; cut++) {
		int result = wake_packet_read(bytes, cut, &packet);

		ck_assert_int_eq(result, cut < IP_HEADER + 8 ? -1 : 0);
		ck_assert(!packet.sendable);
	}
	/* And none that lacks nothing but bytes of its own. */
	ck_assert_int_eq(wake_packet_read(bytes, size + 4, &packet), 0);
	ck_assert(packet.sendable);
	ck_assert_uint_eq(packet.length, size);
}
END_TEST

START_TEST(a_checksum_left_to_a_card_is_as_good)
{
	if (_i)
		make_syn();
	else
		make_udp(7);
	put(checksum(), pseudo_sum());
	ck_assert_int_eq(reads(), 0);
	ck_assert(packet.sendable);
	wake_packet_direct(bytes, &packet, packet.destination, packet.dest_port);
	ck_assert(is_right());
}
END_TEST

START_TEST(a_datagram_may_have_no_checksum)
{
	make_udp(7);
	put(checksum(), 0);
	ck_assert_int_eq(reads(), 0);
	ck_assert(packet.sendable);
}
END_TEST

START_TEST(a_damaged_packet_is_heard_but_not_sent_again)
{
	make_udp(7);
	bytes[size - 1] ^= 0x20;
	ck_assert_int_eq(reads(), 0);
	ck_assert(!packet.sendable);
}
END_TEST

START_TEST(options_of_ip_are_not_sent_again)
{
	make_syn();
	memmove(bytes + IP_HEADER + 4, bytes + IP_HEADER, size - IP_HEADER);
	memcpy(bytes + IP_HEADER, "\x83\x03\x04\x00", 4); /* a loose source route */
	bytes[0] = 0x46;
	size += 4;
	put(bytes + 2, (uint32_t)size);
	ck_assert_int_eq(reads(), 0);
	ck_assert_uint_eq(packet.dest_port, 8080);
	ck_assert(!packet.sendable);
}
END_TEST

static const struct {
	size_t at;
	uint8_t value;
	bool udp;
} faults[] = {
	{ 0, 0x65, false },              /* IPv6 */
	{ 0, 0x44, false },              /* a header of 16 bytes */
	{ 0, 0x4f, true },               /* one beyond the packet */
	{ 2, 0xff, true },               /* a length that the datagram contradicts */
	{ 3, 0, false },                 /* no length */
	{ 6, 0x20, true },               /* more fragments */
	{ 7, 1, true },                  /* a later fragment */
	{ 9, 1, true },                  /* ICMP */
	{ 12, 0, true },                 /* from no address */
	{ 12, 0xe0, true },              /* from a multicast one */
	{ 16, 0xff, true },              /* to a reserved one */
	{ IP_HEADER + 12, 0x40, false }, /* a header of 16 bytes */
	{ IP_HEADER + 12, 0xf0, false }, /* one beyond the packet */
	{ IP_HEADER + 5, 7, true },      /* a datagram shorter than its header */
};

START_TEST(a_malformed_packet_is_not_heard)
{
	if (faults[_i].udp)
		make_udp(7);
	else
		make_syn();
	bytes[faults[_i].at] = faults[_i].value;
	ck_assert_int_eq(reads(), -1);
}
END_TEST

START_TEST(a_port_0_is_not_heard)
{
	make_udp(7);
	put(bytes + IP_HEADER + (_i ? 2 : 0), 0);
	ck_assert_int_eq(reads(), -1);
}
END_TEST

START_TEST(a_directed_packet_differs_in_its_destination_alone)
{
	uint8_t before[SIZE_MAX_HERE];

	if (_i)
		make_syn();
	else
		make_udp(8);
	memcpy(before, bytes, size);
	ck_assert_int_eq(reads(), 0);
	wake_packet_direct(bytes, &packet, 0xc0000201, 18080);
	ck_assert(is_right());
	ck_assert_int_eq(reads(), 0);
	ck_assert_uint_eq(packet.destination, 0xc0000201);
	ck_assert_uint_eq(packet.dest_port, 18080);
	ck_assert(packet.sendable);
	wake_packet_direct(bytes, &packet, 0x0a0b0002, 8080);
	memcpy(before + 10, bytes + 10, 2); /* the sum of the IP header, which had none */
	ck_assert_mem_eq(bytes, before, size);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wake_packet");
	TCase *reading = tcase_create("reading");

	tcase_add_test(reading, a_syn_is_heard_and_may_be_sent_again);
	tcase_add_test(reading, a_datagram_is_heard_and_may_be_sent_again);
	tcase_add_test(reading, a_syn_with_data_or_ecn_is_one);
	tcase_add_loop_test(reading, what_belongs_to_a_connection_is_not_heard, 0, 10);
	tcase_add_test(reading, no_packet_that_is_cut_is_sent_again);
	tcase_add_loop_test(reading, a_checksum_left_to_a_card_is_as_good, 0, 2);
	tcase_add_test(reading, a_datagram_may_have_no_checksum);
	tcase_add_test(reading, a_damaged_packet_is_heard_but_not_sent_again);
	tcase_add_test(reading, options_of_ip_are_not_sent_again);
	tcase_add_loop_test(reading, a_malformed_packet_is_not_heard, 0, sizeof(faults) / sizeof(faults[0]));
	tcase_add_loop_test(reading, a_port_0_is_not_heard, 0, 2);
	suite_add_tcase(suite, reading);
	TCase *directing = tcase_create("directing");
	tcase_add_loop_test(directing, a_directed_packet_differs_in_its_destination_alone, 0, 2);
	suite_add_tcase(suite, directing);
	return run_suite(suite);
}
