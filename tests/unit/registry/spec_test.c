/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry/spec.h"

#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"
#include "wire/wire.h"

#include <check.h>
#include <string.h>

static struct config *config;

static void setup(void)
{
	config = config_default();
	ck_assert_ptr_nonnull(config);
}

static void teardown(void)
{
	config_free(config);
}

static struct spec *spec_of(const char *body)
{
	struct problem problem;
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec = json ? wire_read_spec(json, config, &problem) : NULL;

	ck_assert_msg(spec != NULL, "%s: %s: %s", body, problem.field, problem.detail);
	json_decref(json);
	return spec;
}

static bool equal(const char *left, const char *right)
{
	struct spec *a = spec_of(left), *b = spec_of(right);
	bool result = registry_spec_equal(a, b);

	ck_assert_int_eq(registry_spec_equal(b, a), result);
	registry_spec_free(a);
	registry_spec_free(b);
	return result;
}

static const struct {
	const char *left, *right;
} same[] = {
	{ "{}",
	  "{\"ports\": [], \"labels\": {}, \"egress\": {}, \"limits\": {}, \"bandwidth\": {}, \"default\": false}" },
	{ "{\"ports\": [80]}", "{\"ports\": [{\"guest_port\": 80, \"proto\": \"tcp\", \"via\": \"forwarder\"}]}" },
	{ "{\"ports\": [{\"guest_port\": 80, \"listen\": \"localhost:8080\"}]}",
	  "{\"ports\": [{\"guest_port\": 80, \"listen\": [\"127.0.0.1:8080\", \"[::1]:8080\"]}]}" },
	{ "{\"ports\": [{\"guest_port\": 80, \"listen\": \"[::1]:8080\"}]}",
	  "{\"ports\": [{\"guest_port\": 80, \"listen\": \"[0:0:0:0:0:0:0:1]:8080\"}]}" },
	{ "{\"labels\": {\"a\": \"1\", \"b\": \"2\"}}", "{\"labels\": {\"b\": \"2\", \"a\": \"1\"}}" },
	{ "{\"egress\": {\"allow\": [\"192.0.2.0/24\", {\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [1, "
	  "2]}]}}",
	  "{\"egress\": {\"allow\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [2, 1]}, "
	  "\"192.0.2.7/24\"]}}" },
	{ "{\"egress\": {\"deny\": [\"192.0.2.1\"]}}", "{\"egress\": {\"deny\": [\"192.0.2.1/32\"]}}" },
	{ "{\"limits\": {\"connect_deadline_ms\": 30000}}", "{}" },
	{ "{\"name\": \"web\"}", "{}" },
	{ "{\"name\": \"web\"}", "{\"name\": \"db\"}" },
	{ "{\"bandwidth\": {\"to_guest\": {\"rate\": 0, \"burst\": 5}}}", "{}" },
};

static const struct {
	const char *left, *right;
} different[] = {
	{ "{\"ports\": [80]}", "{}" },
	{ "{\"ports\": [80, 81]}", "{\"ports\": [81, 80]}" },
	{ "{\"ports\": [80]}", "{\"ports\": [{\"guest_port\": 80, \"proto\": \"udp\"}]}" },
	{ "{\"ports\": [80]}", "{\"ports\": [{\"guest_port\": 80, \"proxy_protocol\": \"v2\"}]}" },
	{ "{\"ports\": [80]}", "{\"ports\": [{\"guest_port\": 80, \"listen\": \"localhost:20000\"}]}" },
	{ "{\"ports\": [{\"guest_port\": 80, \"listen\": \"127.0.0.1:8080\"}]}",
	  "{\"ports\": [{\"guest_port\": 80, \"listen\": \"127.0.0.1:8081\"}]}" },
	{ "{\"default\": true}", "{}" },
	{ "{\"ready_port\": 80}", "{}" },
	{ "{\"tap_owner\": {\"uid\": 0, \"gid\": 0}}", "{}" },
	{ "{\"tap_owner\": {\"uid\": 1, \"gid\": 0}}", "{\"tap_owner\": {\"uid\": 1, \"gid\": 1}}" },
	{ "{\"labels\": {\"a\": \"1\"}}", "{\"labels\": {\"a\": \"2\"}}" },
	{ "{\"labels\": {\"a\": \"1\"}}", "{\"labels\": {\"b\": \"1\"}}" },
	{ "{\"egress\": {\"internet\": false}}", "{}" },
	{ "{\"egress\": {\"allow\": [\"192.0.2.0/24\"]}}", "{\"egress\": {\"deny\": [\"192.0.2.0/24\"]}}" },
	{ "{\"egress\": {\"allow\": [\"192.0.2.0/24\", \"10.0.0.0/8\"]}}",
	  "{\"egress\": {\"allow\": [\"192.0.2.0/24\", \"192.0.2.0/24\"]}}" },
	{ "{\"egress\": {\"allow\": [\"10.0.0.0/8\"]}}",
	  "{\"egress\": {\"allow\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\"}]}}" },
	{ "{\"bandwidth\": {\"to_guest\": {\"rate\": 5}}}", "{\"bandwidth\": {\"from_guest\": {\"rate\": 5}}}" },
	{ "{\"limits\": {\"connections\": 5}}", "{}" },
	{ "{\"limits\": {\"keepalive_ms\": 5}}", "{}" },
};

START_TEST(requests_that_ask_for_the_same_are_equal)
{
	ck_assert_msg(equal(same[_i].left, same[_i].right), "%s and %s differ", same[_i].left, same[_i].right);
}
END_TEST

START_TEST(requests_that_ask_for_something_else_are_not)
{
	ck_assert_msg(!equal(different[_i].left, different[_i].right), "%s and %s are equal", different[_i].left,
		      different[_i].right);
}
END_TEST

START_TEST(a_copy_is_equal_and_its_own)
{
	struct spec *spec =
	    spec_of("{\"ports\": [80], \"labels\": {\"a\": \"1\"}, \"egress\": {\"allow\": [\"10.0.0.0/8\"],"
		    " \"deny\": [\"192.0.2.0/24\"]}}");
	struct spec *copy = registry_spec_copy(spec);

	ck_assert(registry_spec_equal(spec, copy));
	copy->labels[0].value[0] = '2';
	copy->egress.deny[0].cidr.length = 25;
	copy->ports[0].guest_port = 81;
	ck_assert_str_eq(spec->labels[0].value, "1");
	ck_assert_uint_eq(spec->egress.deny[0].cidr.length, 24);
	ck_assert_uint_eq(spec->ports[0].guest_port, 80);
	registry_spec_free(spec);
	registry_spec_free(copy);
}
END_TEST

START_TEST(ids_are_what_the_interface_allows)
{
	char longest[SANDBOX_ID_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	longest[SANDBOX_ID_MAX + 1] = '\0';
	ck_assert(!registry_sandbox_id_is_valid(longest));
	longest[SANDBOX_ID_MAX] = '\0';
	ck_assert(registry_sandbox_id_is_valid(longest));
	ck_assert(registry_sandbox_id_is_valid("a"));
	ck_assert(registry_sandbox_id_is_valid("9"));
	ck_assert(registry_sandbox_id_is_valid("A-b_c.d"));
	ck_assert(registry_sandbox_id_is_valid("a.."));
	for (const char *const *bad = (const char *const[]){ "", ".", "..", "-a", "_a", "a b", "a/b", "a%2Fb", "a\n",
							     "\xc3\xa4", "a:b", NULL };
	     *bad; bad++)
		ck_assert_msg(!registry_sandbox_id_is_valid(*bad), "\"%s\" is accepted", *bad);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spec");
	TCase *tcase = tcase_create("spec");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, requests_that_ask_for_the_same_are_equal, 0, sizeof(same) / sizeof(same[0]));
	tcase_add_loop_test(tcase, requests_that_ask_for_something_else_are_not, 0,
			    sizeof(different) / sizeof(different[0]));
	tcase_add_test(tcase, a_copy_is_equal_and_its_own);
	tcase_add_test(tcase, ids_are_what_the_interface_allows);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
