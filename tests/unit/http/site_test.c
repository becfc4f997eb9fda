/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/head.h"
#include "http/site.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *fields;
	enum http_sender sender;
} requests[] = {
	{ "", SENDER_PROGRAM },
	{ "User-Agent: curl/7.88.1\r\n", SENDER_PROGRAM },
	{ "User-Agent: Mozilla/5.0 (X11)\r\n", SENDER_OWN },
	{ "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n", SENDER_OWN },
	{ "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", SENDER_OWN },
	{ "Origin: http://localhost:9477\r\n", SENDER_OWN },
	{ "Origin: https://LOCALHOST:9477\r\n", SENDER_OWN },
	{ "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n", SENDER_FOREIGN },
	{ "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n", SENDER_FOREIGN },
	{ "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n", SENDER_FOREIGN },
	{ "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", SENDER_LINK },
	{ "Sec-Fetch-Site: nonsense\r\n", SENDER_FOREIGN },
	{ "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: none\r\n", SENDER_FOREIGN },
	{ "Origin: http://evil.example\r\n", SENDER_FOREIGN },
	{ "Origin: http://localhost:9478\r\n", SENDER_FOREIGN },
	{ "Origin: ftp://localhost:9477\r\n", SENDER_FOREIGN },
	{ "Origin: null\r\n", SENDER_FOREIGN },
	{ "Origin:\r\n", SENDER_FOREIGN },
	{ "Origin: http://evil.example\r\nOrigin: http://localhost:9477\r\n", SENDER_FOREIGN },
	{ "Origin: http://localhost:9477\r\nSec-Fetch-Site: cross-site\r\n", SENDER_FOREIGN },
};

START_TEST(a_request_is_known_by_its_fields)
{
	char text[1024];
	struct head head;

	snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\nHost: localhost:9477\r\n%s\r\n", requests[_i].fields);
	ck_assert_int_eq(http_head_read(text, strlen(text), &head), HEAD_COMPLETE);
	ck_assert_int_eq(http_site_judge(&head.site, head.host), requests[_i].sender);
}
END_TEST

START_TEST(an_origin_that_is_too_long_is_foreign)
{
	char text[SITE_ORIGIN_MAX + 200];
	struct head head;

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://%0*d\r\n\r\n", SITE_ORIGIN_MAX, 1);
	ck_assert_int_eq(http_head_read(text, strlen(text), &head), HEAD_COMPLETE);
	ck_assert_int_eq(http_site_judge(&head.site, head.host), SENDER_FOREIGN);
}
END_TEST

START_TEST(a_name_that_can_lead_anywhere_is_no_address)
{
	static const char *const good[] = { "",      "localhost", "LocalHost:9477", "127.0.0.1", "127.0.0.1:80",
					    "[::1]", "[::1]:9477" };
	static const char *const bad[] = { "evil.example",
					   "evil.example:9477",
					   "localhost.evil.example",
					   "localhost:",
					   "localhost:x",
					   "127.0.0.1.nip.io",
					   "1.2.3",
					   "[::1",
					   "[::1]x",
					   "::1",
					   "[]",
					   "[127.0.0.1]",
					   ":80",
					   "[::1]:" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(http_site_is_address(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!http_site_is_address(bad[i]), "%s", bad[i]);
}
END_TEST

int main(void)
{
	TCase *sites = tcase_create("sites");
	tcase_add_loop_test(sites, a_request_is_known_by_its_fields, 0, sizeof(requests) / sizeof(requests[0]));
	tcase_add_test(sites, an_origin_that_is_too_long_is_foreign);
	tcase_add_test(sites, a_name_that_can_lead_anywhere_is_no_address);

	Suite *suite = suite_create("site");
	suite_add_tcase(suite, sites);

	return run_suite(suite);
}
