/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forwarder/proxy_header.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static struct addr address(const char *text)
{
	struct addr addr;

	ck_assert_int_eq(addr_parse(text, &addr), 0);
	return addr;
}

START_TEST(an_ipv4_header_is_as_the_specification_has_it)
{
	static const char expected[] = "\r\n\r\n\0\r\nQUIT\n"
				       "\x21\x11\x00\x0c"
				       "\x7f\x00\x00\x02"
				       "\x7f\x00\x00\x01"
				       "\x30\x39\x1f\x90";
	struct addr client = address("127.0.0.2:12345"), listen = address("127.0.0.1:8080");
	char header[PROXY_HEADER_MAX];

	ck_assert_uint_eq(fwd_proxy_header_write(&client, &listen, header), sizeof(expected) - 1);
	ck_assert_mem_eq(header, expected, sizeof(expected) - 1);
}
END_TEST

START_TEST(an_ipv6_header_is_as_the_specification_has_it)
{
	static const char expected[] = "\r\n\r\n\0\r\nQUIT\n"
				       "\x21\x21\x00\x24"
				       "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02"
				       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
				       "\xff\xff\x00\x50";
	struct addr client = address("[fd00::2]:65535"), listen = address("[::1]:80");
	char header[PROXY_HEADER_MAX];

	ck_assert_uint_eq(fwd_proxy_header_write(&client, &listen, header), sizeof(expected) - 1);
	ck_assert_mem_eq(header, expected, sizeof(expected) - 1);
}
END_TEST

START_TEST(a_sandbox_is_named_behind_the_addresses)
{
	static const char expected[] = "\r\n\r\n\0\r\nQUIT\n"
				       "\x21\x11\x00\x18"
				       "\x0a\x0b\x00\x01"
				       "\xc0\x00\x02\x01"
				       "\x30\x39\x00\x50"
				       "\x05\x00\x02"
				       "a1"
				       "\xe0\x00\x04"
				       "i123";
	struct addr client = address("10.11.0.1:12345"), listen = address("192.0.2.1:80");
	char header[PROXY_HEADER_MAX];
	size_t size = fwd_proxy_header_write(&client, &listen, header);

	ck_assert_uint_eq(fwd_proxy_header_add_sandbox(header, size, "a1", "i123"), sizeof(expected) - 1);
	ck_assert_mem_eq(header, expected, sizeof(expected) - 1);
}
END_TEST

START_TEST(a_sandbox_without_a_name_has_its_id_alone)
{
	struct addr client = address("10.11.0.1:12345"), listen = address("192.0.2.1:80");
	char header[PROXY_HEADER_MAX];
	size_t size = fwd_proxy_header_write(&client, &listen, header);

	ck_assert_uint_eq(fwd_proxy_header_add_sandbox(header, size, "a1", ""), size + 5);
	ck_assert_int_eq(header[15], 12 + 5);
}
END_TEST

START_TEST(the_largest_header_fits)
{
	static const char text[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	struct addr client = address("[fd00::2]:65535"), listen = address("[::1]:80");
	char header[PROXY_HEADER_MAX];
	size_t size = fwd_proxy_header_write(&client, &listen, header);

	ck_assert_uint_eq(fwd_proxy_header_add_sandbox(header, size, text, text), PROXY_HEADER_MAX);
}
END_TEST

int main(void)
{
	TCase *writing = tcase_create("writing");
	tcase_add_test(writing, an_ipv4_header_is_as_the_specification_has_it);
	tcase_add_test(writing, an_ipv6_header_is_as_the_specification_has_it);
	tcase_add_test(writing, a_sandbox_is_named_behind_the_addresses);
	tcase_add_test(writing, a_sandbox_without_a_name_has_its_id_alone);
	tcase_add_test(writing, the_largest_header_fits);

	Suite *suite = suite_create("proxy_header");
	suite_add_tcase(suite, writing);

	return run_suite(suite);
}
