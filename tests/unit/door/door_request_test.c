/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "door/door_request.h"

#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>

#define TOKEN "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=" /* SHA-256 of "hello" */

static const uint8_t hello[DOOR_TOKEN_SIZE] = { 0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e, 0x26, 0xe8, 0x3b,
						0x2a, 0xc5, 0xb9, 0xe2, 0x9e, 0x1b, 0x16, 0x1e, 0x5c, 0x1f, 0xa7,
						0x42, 0x5e, 0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24 };

/* A header that is being written. */
struct header {
	uint8_t bytes[2048];
	size_t size;
};

static void put(struct header *header, const void *bytes, size_t size)
{
	memcpy(header->bytes + header->size, bytes, size);
	header->size += size;
	uint16_t length = htons((uint16_t)(header->size - DOOR_HEAD_SIZE));
	memcpy(header->bytes + 14, &length, sizeof(length));
}

static struct header begin(uint8_t version_command, uint8_t family)
{
	struct header header = { .size = DOOR_HEAD_SIZE };

	memcpy(header.bytes, "\r\n\r\n\0\r\nQUIT\n", 12);
	header.bytes[12] = version_command;
	header.bytes[13] = family;
	return header;
}

static void put_tlv(struct header *header, uint8_t type, const void *value, size_t size)
{
	uint8_t head[3] = { type, (uint8_t)(size >> 8), (uint8_t)size };

	put(header, head, sizeof(head));
	put(header, value, size);
}

/* From 192.0.2.7:4711 to 10.0.0.1:443. */
static struct header begin_ipv4(void)
{
	struct header header = begin(0x21, 0x11);

	put(&header, "\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb", 12);
	return header;
}

static struct header with_id(const char *id, size_t size)
{
	struct header header = begin_ipv4();

	put_tlv(&header, 0x05, id, size);
	return header;
}

/* Reads as the forwarder does: the size from the head, then the whole. NULL, or why it is refused. */
static const char *fault_of(const struct header *header, struct door_request *request)
{
	const char *fault = NULL;
	size_t size = door_request_size(header->bytes, &fault);

	ck_assert_int_eq(size == 0, fault != NULL);
	if (!size)
		return fault;
	ck_assert_uint_eq(size, header->size);
	int read = door_request_read(header->bytes, size, request, &fault);
	ck_assert_int_eq(read < 0, fault != NULL);
	return fault;
}

static struct door_request accepted(const struct header *header)
{
	struct door_request request;
	const char *fault = fault_of(header, &request);

	ck_assert_msg(!fault, "%s", fault);
	return request;
}

static void refused(const struct header *header, const char *why)
{
	struct door_request request;
	const char *fault = fault_of(header, &request);

	ck_assert_msg(fault, "accepted, in spite of: %s", why);
	ck_assert_msg(strstr(fault, why), "\"%s\", not: %s", fault, why);
}

static void refused_id(const char *id, size_t size, const char *why)
{
	struct header header = with_id(id, size);

	refused(&header, why);
}

START_TEST(a_client_of_http_is_read_whole)
{
	struct header header = with_id("h/box-1/8080/" TOKEN, strlen("h/box-1/8080/" TOKEN));
	struct door_request request = accepted(&header);
	char text[ADDR_TEXT_SIZE];

	ck_assert_int_eq(request.kind, DOOR_HTTP);
	ck_assert_str_eq(request.name, "box-1");
	ck_assert_uint_eq(request.port, 8080);
	ck_assert(request.token.given);
	ck_assert_mem_eq(request.token.sha256, hello, sizeof(hello));
	ck_assert_str_eq(addr_format(&request.client, text), "192.0.2.7:4711");
}
END_TEST

START_TEST(a_token_may_be_left_out)
{
	struct header header = with_id("g/a/1/", 6);
	struct door_request request = accepted(&header);

	ck_assert_int_eq(request.kind, DOOR_GRPC);
	ck_assert(!request.token.given);
	ck_assert_uint_eq(request.port, 1);
}
END_TEST

START_TEST(bytes_have_no_token)
{
	struct header header = with_id("t/a.b_c-d/65535", 15);
	struct door_request request = accepted(&header);

	ck_assert_int_eq(request.kind, DOOR_TCP);
	ck_assert_str_eq(request.name, "a.b_c-d");
	ck_assert(!request.token.given);
	refused_id("t/a/80/", 7, "token");
	refused_id("t/a/80/" TOKEN, 7 + 44, "token");
}
END_TEST

START_TEST(a_token_with_slashes_is_one_token)
{
	struct header header = with_id("h/a/80/"
				       "//////////////////////////////////////////8=",
				       7 + 44);
	struct door_request request = accepted(&header);

	for (size_t i = 0; i < sizeof(request.token.sha256); i++)
		ck_assert_uint_eq(request.token.sha256[i], 0xff);
}
END_TEST

START_TEST(the_longest_unique_id_fits)
{
	char id[2 + 64 + 1 + 5 + 1 + 44 + 1] = "h/";

	memset(id + 2, 'z', 64);
	memcpy(id + 66, "/65535/" TOKEN, 7 + 44 + 1);
	struct header header = with_id(id, strlen(id));
	struct door_request request = accepted(&header);

	ck_assert_uint_eq(strlen(id), 117);
	ck_assert_uint_eq(strlen(request.name), 64);
	memmove(id + 3, id + 2, 115);
	refused_id(id, 118, "sandbox");
}
END_TEST

START_TEST(ipv6_clients_are_read_and_mapped_ones_are_ipv4)
{
	static const char *const sources[][2] = {
		{ "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", "[2001:db8::7]:4711" },
		{ "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07", "192.0.2.7:4711" },
		{ "\0\0\0\0\0\0\0\0\0\0\0\0\xc0\x00\x02\x07", "[::192.0.2.7]:4711" },
	};
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < 3; i++) {
		struct header header = begin(0x21, 0x21);

		put(&header, sources[i][0], 16);
		put(&header, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x01\xbb", 20);
		put_tlv(&header, 0x05, "h/a/80/", 7);
		struct door_request request = accepted(&header);
		ck_assert_str_eq(addr_format(&request.client, text), sources[i][1]);
	}
}
END_TEST

START_TEST(clients_without_an_address_have_none)
{
	static const char block[216] = "/run/somebody.sock";
	struct header nothing = begin(0x21, 0x00), path = begin(0x21, 0x31);

	put_tlv(&nothing, 0x05, "h/a/80/", 7);
	put(&path, block, sizeof(block));
	put_tlv(&path, 0x05, "h/a/80/", 7);
	ck_assert_int_eq(accepted(&nothing).client.any.sa_family, AF_UNSPEC);
	ck_assert_int_eq(accepted(&path).client.any.sa_family, AF_UNSPEC);
}
END_TEST

START_TEST(other_tlvs_are_passed_over_before_and_behind)
{
	static const char long_value[300];
	struct header header = begin_ipv4();

	put_tlv(&header, 0x04, "", 0);
	put_tlv(&header, 0x01, "h2", 2);
	put_tlv(&header, 0x05, "h/a/80/", 7);
	put_tlv(&header, 0xe0, long_value, sizeof(long_value));
	put_tlv(&header, 0x04, "\0\0\0", 3);
	ck_assert_str_eq(accepted(&header).name, "a");
}
END_TEST

START_TEST(what_begins_otherwise_is_no_header)
{
	struct header header = with_id("h/a/80/", 7);

	for (size_t i = 0; i < 12; i++) {
		header.bytes[i] ^= 0x20;
		refused(&header, "does not begin");
		header.bytes[i] ^= 0x20;
	}
	header = begin(0x11, 0x11);
	refused(&header, "another version");
	header = begin(0x31, 0x11);
	refused(&header, "another version");
	memcpy(header.bytes, "PROXY TCP4 192.0", 16);
	refused(&header, "does not begin");
	memcpy(header.bytes, "GET / HTTP/1.1\r\n", 16);
	refused(&header, "does not begin");
}
END_TEST

START_TEST(the_whole_has_536_bytes_at_most)
{
	static const char filling[1024];
	struct header header = with_id("h/a/80/", 7);
	size_t left = DOOR_HEADER_MAX - header.size - 3;
	struct header longer = header;

	put_tlv(&header, 0x04, filling, left);
	ck_assert_uint_eq(header.size, DOOR_HEADER_MAX);
	accepted(&header);
	put_tlv(&longer, 0x04, filling, left + 1);
	refused(&longer, "too long");
	longer.bytes[14] = longer.bytes[15] = 0xff;
	refused(&longer, "too long");
}
END_TEST

START_TEST(local_and_unknown_commands_are_refused)
{
	for (uint8_t command = 0; command < 16; command++) {
		struct header header = with_id("h/a/80/", 7);

		header.bytes[12] = 0x20 | command;
		if (command != 1)
			refused(&header, "command");
	}
	struct header local = begin(0x20, 0x00);
	refused(&local, "command");
}
END_TEST

START_TEST(of_all_families_four_are_taken)
{
	for (unsigned family = 0; family < 256; family++) {
		struct header header = begin(0x21, (uint8_t)family);

		if (family == 0x00 || family == 0x11 || family == 0x21 || family == 0x31)
			continue;
		put_tlv(&header, 0x05, "h/a/80/", 7);
		refused(&header, "stream");
	}
}
END_TEST

START_TEST(addresses_that_are_cut_are_refused)
{
	static const struct {
		uint8_t family;
		size_t size;
	} blocks[] = { { 0x11, 12 }, { 0x21, 36 }, { 0x31, 216 } };
	static const char zeroes[216];

	for (size_t i = 0; i < 3; i++) {
		for (size_t size = 0; size < blocks[i].size; size++) {
			struct header header = begin(0x21, blocks[i].family);

			put(&header, zeroes, size);
			refused(&header, "addresses");
		}
	}
}
END_TEST

START_TEST(tlvs_end_where_the_header_does)
{
	struct header whole = with_id("h/a/80/", 7);

	for (size_t cut = 1; cut < 3 + 7; cut++) {
		struct header header = begin_ipv4();

		put(&header, whole.bytes + header.size, 3 + 7 - cut);
		refused(&header, "TLV");
	}
	for (size_t more = 1; more < 3; more++) {
		struct header header = whole;

		put(&header, "\x04\0", more);
		refused(&header, "TLV");
	}
	put(&whole, "\x04\xff\xff", 3);
	refused(&whole, "TLV");
}
END_TEST

START_TEST(there_is_exactly_one_unique_id)
{
	char longest[129];
	struct header none = begin_ipv4(), nothing = begin(0x21, 0x00), twice = with_id("h/a/80/", 7);
	struct header empty_first = with_id("", 0);

	memset(longest, 'a', sizeof(longest));
	refused(&none, "no unique id");
	refused(&nothing, "no unique id");
	put_tlv(&twice, 0x05, "h/a/80/", 7);
	refused(&twice, "two unique ids");
	put_tlv(&empty_first, 0x05, "h/a/80/", 7);
	refused(&empty_first, "two unique ids");
	refused_id(longest, 129, "too long");
	refused_id(longest, 128, "kind");
}
END_TEST

START_TEST(unique_ids_have_one_form)
{
	static const struct {
		const char *id;
		const char *why;
	} ids[] = {
		{ "", "kind" },
		{ "h", "kind" },
		{ "/a/80/", "kind" },
		{ "x/a/80/", "kind" },
		{ "H/a/80/", "kind" },
		{ "hh/a/80/", "kind" },
		{ " h/a/80/", "kind" },
		{ "h/", "sandbox" },
		{ "h/a", "sandbox" },
		{ "h//80/", "sandbox" },
		{ "h/-a/80/", "sandbox" },
		{ "h/../80/", "sandbox" },
		{ "h/a b/80/", "sandbox" },
		{ "h/a%2f/80/", "sandbox" },
		{ "h/\xc3\xa4/80/", "sandbox" },
		{ "h/a/", "port" },
		{ "h/a//", "port" },
		{ "h/a/0/", "port" },
		{ "h/a/080/", "port" },
		{ "h/a/+80/", "port" },
		{ "h/a/-80/", "port" },
		{ "h/a/80 /", "port" },
		{ "h/a/0x50/", "port" },
		{ "h/a/65536/", "port" },
		{ "h/a/4294967376/", "port" },
		{ "h/a/b/80/", "port" },
		{ "h/a/80", "token" },
		{ "h/a/80//", "token" },
		{ "h/a/80/ ", "token" },
		{ "h/a/80/hello", "token" },
		{ "h/a/80/aGVsbG8=", "token" },
		{ "h/a/80/LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ", "token" },
		{ "h/a/80/LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCR=", "token" },
		{ "h/a/80/LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "token" },
		{ "h/a/80/LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmA==", "token" },
		{ "h/a/80/LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQk", "token" },
		{ "h/a/80/" TOKEN "/", "token" },
		{ "h/a/80/" TOKEN "\n", "token" },
		{ "h/a/80/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "token" },
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		refused_id(ids[i].id, strlen(ids[i].id), ids[i].why);
}
END_TEST

START_TEST(a_nul_is_refused_anywhere)
{
	static const char id[] = "h/abc/8080/" TOKEN;

	for (size_t at = 0; at < sizeof(id); at++) {
		char changed[sizeof(id)];

		memcpy(changed, id, sizeof(id));
		changed[at] = '\0';
		refused_id(changed, sizeof(id), "unique id");
		if (at < sizeof(id) - 1)
			refused_id(changed, sizeof(id) - 1, "unique id");
	}
}
END_TEST

static Suite *door_request_suite(void)
{
	TCase *reading = tcase_create("reading");
	TCase *refusing = tcase_create("refusing");
	Suite *suite = suite_create("door_request");

	tcase_add_test(reading, a_client_of_http_is_read_whole);
	tcase_add_test(reading, a_token_may_be_left_out);
	tcase_add_test(reading, bytes_have_no_token);
	tcase_add_test(reading, a_token_with_slashes_is_one_token);
	tcase_add_test(reading, the_longest_unique_id_fits);
	tcase_add_test(reading, ipv6_clients_are_read_and_mapped_ones_are_ipv4);
	tcase_add_test(reading, clients_without_an_address_have_none);
	tcase_add_test(reading, other_tlvs_are_passed_over_before_and_behind);
	tcase_add_test(refusing, what_begins_otherwise_is_no_header);
	tcase_add_test(refusing, the_whole_has_536_bytes_at_most);
	tcase_add_test(refusing, local_and_unknown_commands_are_refused);
	tcase_add_test(refusing, of_all_families_four_are_taken);
	tcase_add_test(refusing, addresses_that_are_cut_are_refused);
	tcase_add_test(refusing, tlvs_end_where_the_header_does);
	tcase_add_test(refusing, there_is_exactly_one_unique_id);
	tcase_add_test(refusing, unique_ids_have_one_form);
	tcase_add_test(refusing, a_nul_is_refused_anywhere);
	suite_add_tcase(suite, reading);
	suite_add_tcase(suite, refusing);
	return suite;
}

int main(void)
{
	return run_suite(door_request_suite());
}
