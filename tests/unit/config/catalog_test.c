/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalogue in the configuration. */
#include "config/catalog_place.h"
#include "unit/config/config_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

#define NEEDED "address = 192.0.2.7\n"

static struct config_catalog_place place;

static void refuses(const char *text, const char *why)
{
	const char *fault = config_catalog_place_parse(text, &place);

	ck_assert_msg(fault && strstr(fault, why), "%s: %s", text, fault ? fault : "taken");
}

START_TEST(a_place_is_a_host_with_a_port_or_a_path)
{
	ck_assert_ptr_null(config_catalog_place_parse("127.0.0.1:6379", &place));
	ck_assert(place.is_numeric && !place.is_unix && place.port == 6379);
	ck_assert_str_eq(place.host, "127.0.0.1");
	ck_assert_ptr_null(config_catalog_place_parse("[2001:db8::1]:6380", &place));
	ck_assert(place.is_numeric && place.port == 6380);
	ck_assert_str_eq(place.host, "2001:db8::1");
	ck_assert_ptr_null(config_catalog_place_parse("redis-1.example:6379", &place));
	ck_assert(!place.is_numeric && place.port == 6379);
	ck_assert_str_eq(place.host, "redis-1.example");
	ck_assert_ptr_null(config_catalog_place_parse("unix:/run/redis/redis.sock", &place));
	ck_assert(place.is_unix);
	ck_assert_str_eq(place.path, "/run/redis/redis.sock");
}
END_TEST

START_TEST(what_is_no_place_is_refused_with_the_reason)
{
	char path[160] = "unix:/", host[300] = "";

	refuses("redis://127.0.0.1:6379", "URL");
	refuses("127.0.0.1", "no port");
	refuses("127.0.0.1:", "no port");
	refuses("127.0.0.1:0", "no port");
	refuses("127.0.0.1:65536", "no port");
	refuses(":6379", "no host");
	refuses("[]:6379", "not the name");
	refuses("::1:6379", "brackets");
	refuses("[127.0.0.1]:6379", "no IPv6 address");
	refuses("user@host:6379", "not the name");
	refuses("-host:6379", "not the name");
	refuses("unix:redis.sock", "not absolute");
	memset(path + 6, 'x', 120);
	refuses(path, "107");
	memset(host, 'x', 254);
	memcpy(host + 254, ":1", 3);
	refuses(host, "253");
}
END_TEST

START_TEST(mistakes_in_the_catalogue_are_told)
{
#ifdef HAVE_HIREDIS
	load("[catalog]\nredis = 127.0.0.1:6379\n" NEEDED);
	ck_assert_ptr_nonnull(config);
	config_teardown();
	expect_mistake("[catalog]\nredis = 127.0.0.1\n" NEEDED,
		       "weftd.conf:2: [catalog] redis = 127.0.0.1: no port behind the host; allowed: HOST:PORT or "
		       "unix:PATH");
	expect_mistake("[catalog]\nredis = 127.0.0.1:6379\n",
		       "weftd.conf: [catalog] address = : needed with redis; allowed: this host's address for edges");
#else
	expect_mistake("[catalog]\nredis = 127.0.0.1:6379\n" NEEDED,
		       "weftd.conf:2: [catalog] redis = 127.0.0.1:6379: this weftd was built without hiredis; allowed: "
		       "no value");
#endif
	expect_mistake("[catalog]\naddress = http://a\n",
		       "weftd.conf:2: [catalog] address = http://a: allowed: an address, or a name, without a port");
	expect_mistake("[catalog]\nhost_id = a\"b\n",
		       "weftd.conf:2: [catalog] host_id = a\"b: allowed: letters, digits, '_', '.', ':' and '-'");
	expect_mistake("[catalog]\npassword_file = secret\n",
		       "weftd.conf:2: [catalog] password_file = secret: not a plain absolute path; allowed: such as "
		       "/etc/weft/redis-password");
	expect_mistake("[catalog]\nttl = 900ms\n",
		       "weftd.conf:2: [catalog] ttl = 900ms: shorter than a second; allowed: 1s to 24h");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("catalog");
	TCase *tests = tcase_create("options");

	tcase_add_checked_fixture(tests, NULL, config_teardown);
	tcase_add_test(tests, a_place_is_a_host_with_a_port_or_a_path);
	tcase_add_test(tests, what_is_no_place_is_refused_with_the_reason);
	tcase_add_test(tests, mistakes_in_the_catalogue_are_told);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
