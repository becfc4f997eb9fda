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
	ck_assert_uint_eq(sizeof(expected) - 1, PROXY_HEADER_MAX);
	ck_assert_mem_eq(header, expected, sizeof(expected) - 1);
}
END_TEST

int main(void)
{
	TCase *writing = tcase_create("writing");
	tcase_add_test(writing, an_ipv4_header_is_as_the_specification_has_it);
	tcase_add_test(writing, an_ipv6_header_is_as_the_specification_has_it);

	Suite *suite = suite_create("proxy_header");
	suite_add_tcase(suite, writing);

	return run_suite(suite);
}
