/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/wire.h"

#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <netinet/in.h>
#include <string.h>

static struct config *config;
static struct problem problem;

static void setup(void)
{
	config = config_default();
	ck_assert_ptr_nonnull(config);
}

static void teardown(void)
{
	config_free(config);
}

static struct spec *read_text(const char *text)
{
	json_t *json = wire_parse_body(text, strlen(text), &problem);
	struct spec *spec = json ? wire_read_spec(json, config, &problem) : NULL;

	json_decref(json);
	return spec;
}

static struct spec *accepted(const char *text)
{
	struct spec *spec = read_text(text);

	ck_assert_msg(spec != NULL, "%s: %s: %s", text, problem.field, problem.detail);
	return spec;
}

/* A body that must be refused, and the field to blame. */
struct bad {
	const char *body, *field;
};

static void expect_bad(const struct bad *bad)
{
	struct spec *spec = read_text(bad->body);

	ck_assert_msg(spec == NULL, "accepted: %s", bad->body);
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
	ck_assert_msg(strcmp(problem.field, bad->field) == 0, "%s: blames \"%s\", not \"%s\" (%s)", bad->body,
		      problem.field, bad->field, problem.detail);
	ck_assert_str_ne(problem.detail, "");
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define THIRTEEN   "aaaaaaaaaaaaa"
#define SIXTY_FIVE THIRTEEN THIRTEEN THIRTEEN THIRTEEN THIRTEEN

static const struct bad malformed[] = {
	{ "{", "" },
	{ "{}x", "" },
	{ " ", "" },
	{ "[]", "" },
	{ "7", "" },
	{ "null", "" },
	{ "\"x\"", "" },
	{ "{\"ports\": [1,]}", "" },
	{ "{\"default\": True}", "" },
	{ "{\"ready_port\": 99999999999999999999}", "" },
	{ "{\"labels\": {\"a\": \"\xff\"}}", "" },
	{ "{\"labels\": {\"a\": \"\\ud800\"}}", "" },
	{ "{\"default\": true, \"default\": true}", "/default" },
	{ "{\"labels\": {\"a\": \"1\", \"a\": \"2\"}}", "/labels/a" },
	{ "{\"ports\": [1, {\"guest_port\": 2, \"guest_port\": 3}]}", "/ports/1/guest_port" },
	{ "{\"egress\": {\"internet\": true}, \"x\\\"{\": [], \"egress\": {}}", "/egress" },
	{ "{\"labels\": {\"a\": \"1\\u0000\"}}", "/labels/a" },
	{ "{\"ports\": [1, \"\\u0000\"]}", "/ports/1" },
};

static const struct bad fields[] = {
	{ "{\"port\": []}", "/port" },
	{ "{\"a/b~c\": []}", "/a~1b~0c" },
	{ "{\"\": 1}", "/" },
	{ "{\"default\": 1}", "/default" },
	{ "{\"default\": null}", "/default" },
	{ "{\"default\": \"true\"}", "/default" },
	{ "{\"ready_port\": 0}", "/ready_port" },
	{ "{\"ready_port\": 65536}", "/ready_port" },
	{ "{\"ready_port\": -1}", "/ready_port" },
	{ "{\"ready_port\": 80.0}", "/ready_port" },
	{ "{\"ready_port\": \"80\"}", "/ready_port" },
	{ "{\"tap_owner\": 5}", "/tap_owner" },
	{ "{\"tap_owner\": {\"uid\": 5}}", "/tap_owner/gid" },
	{ "{\"tap_owner\": {\"gid\": 5}}", "/tap_owner/uid" },
	{ "{\"tap_owner\": {\"uid\": -1, \"gid\": 1}}", "/tap_owner/uid" },
	{ "{\"tap_owner\": {\"uid\": 1, \"gid\": 4294967295}}", "/tap_owner/gid" },
	{ "{\"tap_owner\": {\"uid\": 1, \"gid\": 1, \"pid\": 1}}", "/tap_owner/pid" },
};

static const struct bad ports[] = {
	{ "{\"ports\": 49983}", "/ports" },
	{ "{\"ports\": {}}", "/ports" },
	{ "{\"ports\": [0]}", "/ports/0" },
	{ "{\"ports\": [1, 65536]}", "/ports/1" },
	{ "{\"ports\": [\"80\"]}", "/ports/0" },
	{ "{\"ports\": [null]}", "/ports/0" },
	{ "{\"ports\": [80, 80]}", "/ports/1" },
	{ "{\"ports\": [{}]}", "/ports/0/guest_port" },
	{ "{\"ports\": [{\"guest_port\": 0}]}", "/ports/0/guest_port" },
	{ "{\"ports\": [{\"guest_port\": 65536}]}", "/ports/0/guest_port" },
	{ "{\"ports\": [{\"guest_port\": 1, \"host_port\": 2}]}", "/ports/0/host_port" },
	{ "{\"ports\": [{\"guest_port\": 1, \"proto\": \"icmp\"}]}", "/ports/0/proto" },
	{ "{\"ports\": [{\"guest_port\": 1, \"proto\": 6}]}", "/ports/0/proto" },
	{ "{\"ports\": [{\"guest_port\": 1, \"via\": \"dnat\"}]}", "/ports/0/via" },
	{ "{\"ports\": [{\"guest_port\": 1, \"via\": \"nat\"}]}", "/ports/0/listen" },
	{ "{\"ports\": [{\"guest_port\": 1, \"via\": \"nat\", \"listen\": \"127.0.0.1:8000\"}]}", "/ports/0/listen" },
	{ "{\"ports\": [{\"guest_port\": 1, \"proxy_protocol\": \"v1\"}]}", "/ports/0/proxy_protocol" },
	{ "{\"ports\": [{\"guest_port\": 1, \"proxy_protocol\": true}]}", "/ports/0/proxy_protocol" },
	{ "{\"ports\": [{\"guest_port\": 1, \"proxy_protocol\": \"v2\", \"proto\": \"udp\"}]}",
	  "/ports/0/proxy_protocol" },
};

/* A value of "listen", and the end of the pointer to blame. */
static const struct bad listens[] = {
	{ "8080", "" },
	{ "null", "" },
	{ "\"\"", "" },
	{ "\"8080\"", "" },
	{ "\":8080\"", "" },
	{ "\"127.0.0.1\"", "" },
	{ "\"127.0.0.1:\"", "" },
	{ "\"127.0.0.1:0\"", "" },
	{ "\"127.0.0.1:65536\"", "" },
	{ "\"127.0.0.1:-1\"", "" },
	{ "\"127.0.0.1:8080 \"", "" },
	{ "\"127.0.0.01:8080\"", "" },
	{ "\"127.1:8080\"", "" },
	{ "\"[::1]8080\"", "" },
	{ "\"::1:8080\"", "" },
	{ "\"[fe80::1%lo]:8080\"", "" },
	{ "\"example.org:8080\"", "" },
	{ "\"localhost\"", "" },
	{ "\"localhost:\"", "" },
	{ "\"localhost:0\"", "" },
	{ "\"localhost:65536\"", "" },
	{ "\"localhost:80\"", "" },
	{ "\"127.0.0.1:1023\"", "" },
	{ "\"192.0.2.1:8080\"", "" },
	{ "\"0.0.0.0:8080\"", "" },
	{ "\"[::]:8080\"", "" },
	{ "\"[::ffff:127.0.0.1]:8080\"", "" },
	{ "[]", "" },
	{ "[8080]", "/0" },
	{ "[\"127.0.0.1:8080\", \"127.0.0.1:0\"]", "/1" },
	{ "[\"127.0.0.1:8080\", \"192.0.2.1:8080\"]", "/1" },
	{ "[\"127.0.0.1:8080\", \"[::1]:80\"]", "/1" },
	{ "[\"127.0.0.1:8080\", \"127.0.0.1:8080\"]", "/1" },
	{ "[\"127.0.0.1:8080\", \"localhost:8081\"]", "/1" },
	{ "[[\"127.0.0.1:8080\"]]", "/0" },
};

static const struct bad policies[] = {
	{ "{\"egress\": true}", "/egress" },
	{ "{\"egress\": {\"internet\": 1}}", "/egress/internet" },
	{ "{\"egress\": {\"isolated\": \"yes\"}}", "/egress/isolated" },
	{ "{\"egress\": {\"dscp\": 64}}", "/egress/dscp" },
	{ "{\"egress\": {\"dscp\": \"ef\"}}", "/egress/dscp" },
	{ "{\"egress\": {\"allowed\": []}}", "/egress/allowed" },
	{ "{\"egress\": {\"allow\": \"10.0.0.0/8\"}}", "/egress/allow" },
	{ "{\"egress\": {\"allow\": [\"10.0.0.0/33\"]}}", "/egress/allow/0" },
	{ "{\"egress\": {\"allow\": [\"10.0.0.0/8\", \"example.org\"]}}", "/egress/allow/1" },
	{ "{\"egress\": {\"deny\": [\"2001:db8::/32\"]}}", "/egress/deny/0" },
	{ "{\"egress\": {\"deny\": [5]}}", "/egress/deny/0" },
	{ "{\"egress\": {\"deny\": [{}]}}", "/egress/deny/0/cidr" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"port\": 1}]}}", "/egress/deny/0/port" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"any\"}]}}", "/egress/deny/0/proto" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"ports\": [1]}]}}", "/egress/deny/0/ports" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": 256}]}}", "/egress/deny/0/proto" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": -1}]}}", "/egress/deny/0/proto" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"47\"}]}}", "/egress/deny/0/proto" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": 47.5}]}}", "/egress/deny/0/proto" },
	{ "{\"egress\": {\"allow\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"gre\", \"ports\": [1]}]}}",
	  "/egress/allow/0/ports" },
	{ "{\"egress\": {\"allow\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": 132, \"ports\": [1]}]}}",
	  "/egress/allow/0/ports" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"90-80\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"-80\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80-\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"0-9\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80-65536\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80--90\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\" 80-90\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80-90x\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"80-90-100\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [\"+80-90\"]}]}}",
	  "/egress/deny/0/ports/0" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [90, \"80-90\"]}]}}",
	  "/egress/deny/0/ports/1" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": []}]}}",
	  "/egress/deny/0/ports" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [1, 0]}]}}",
	  "/egress/deny/0/ports/1" },
	{ "{\"egress\": {\"deny\": [{\"cidr\": \"10.0.0.0/8\", \"proto\": \"tcp\", \"ports\": [1, 1]}]}}",
	  "/egress/deny/0/ports/1" },
	{ "{\"bandwidth\": 5}", "/bandwidth" },
	{ "{\"bandwidth\": {\"up\": {}}}", "/bandwidth/up" },
	{ "{\"bandwidth\": {\"to_guest\": {}}}", "/bandwidth/to_guest/rate" },
	{ "{\"bandwidth\": {\"to_guest\": {\"rate\": -1}}}", "/bandwidth/to_guest/rate" },
	{ "{\"bandwidth\": {\"from_guest\": {\"rate\": 1.5}}}", "/bandwidth/from_guest/rate" },
	{ "{\"bandwidth\": {\"from_guest\": {\"rate\": 1, \"burst\": 4294967296}}}", "/bandwidth/from_guest/burst" },
	{ "{\"limits\": {\"connections\": -1}}", "/limits/connections" },
	{ "{\"limits\": {\"connect_deadline_ms\": 0}}", "/limits/connect_deadline_ms" },
	{ "{\"limits\": {\"idle_ms\": 604800001}}", "/limits/idle_ms" },
	{ "{\"limits\": {\"half_closed_ms\": \"1s\"}}", "/limits/half_closed_ms" },
	{ "{\"limits\": {\"keepalive_ms\": 32767001}}", "/limits/keepalive_ms" },
	{ "{\"limits\": {\"memory\": 1}}", "/limits/memory" },
	{ "{\"labels\": []}", "/labels" },
	{ "{\"labels\": {\"a\": 1}}", "/labels/a" },
	{ "{\"labels\": {\"\": \"x\"}}", "/labels/" },
	{ "{\"labels\": {\"a=b\": \"x\"}}", "/labels/a=b" },
	{ "{\"labels\": {\"a\": \"x\\ny\"}}", "/labels/a" },
	{ "{\"name\": 1}", "/name" },
	{ "{\"name\": [\"a\"]}", "/name" },
	{ "{\"name\": \".a\"}", "/name" },
	{ "{\"name\": \"a b\"}", "/name" },
	{ "{\"name\": \"a/b\"}", "/name" },
	{ "{\"name\": \"" SIXTY_FIVE "\"}", "/name" },
};

START_TEST(what_is_not_json_is_refused)
{
	expect_bad(&malformed[_i]);
}
END_TEST

START_TEST(a_bad_field_is_named)
{
	expect_bad(&fields[_i]);
}
END_TEST

START_TEST(a_bad_port_is_named)
{
	expect_bad(&ports[_i]);
}
END_TEST

START_TEST(a_bad_policy_is_named)
{
	expect_bad(&policies[_i]);
}
END_TEST

START_TEST(a_bad_address_is_named)
{
	char body[256], field[64];
	struct bad bad = { body, field };

	snprintf(body, sizeof(body), "{\"ports\": [5, {\"guest_port\": 1, \"listen\": %s}]}", listens[_i].body);
	snprintf(field, sizeof(field), "/ports/1/listen%s", listens[_i].field);
	expect_bad(&bad);
}
END_TEST

START_TEST(raw_nul_bytes_are_refused)
{
	static const char body[] = "{\"labels\": {\"a\": \"b\0c\"}}";

	ck_assert_ptr_null(wire_parse_body(body, sizeof(body) - 1, &problem));
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
	ck_assert_ptr_null(wire_parse_body("{}\0", 3, &problem));
}
END_TEST

START_TEST(an_empty_body_asks_for_the_defaults)
{
	struct spec *spec = accepted(""), *same = accepted("{}"), *fresh = registry_spec_new(config);

	ck_assert(registry_spec_equal(spec, same));
	ck_assert(registry_spec_equal(spec, fresh));
	ck_assert_uint_eq(spec->port_count, 0);
	ck_assert_uint_eq(spec->ready_port, 0);
	ck_assert(!spec->is_default);
	ck_assert(spec->egress.internet);
	ck_assert_uint_eq(spec->limits.connect_deadline_ms, 30000);
	registry_spec_free(spec);
	registry_spec_free(same);
	registry_spec_free(fresh);
}
END_TEST

static const char full[] =
    "{\"ports\": [49983, {\"guest_port\": 8080, \"listen\": \"127.0.0.1:18080\", \"proto\": \"tcp\", \"via\": "
    "\"forwarder\","
    " \"proxy_protocol\": \"v2\"}, {\"guest_port\": 53, \"proto\": \"udp\", \"listen\": \"localhost:18053\"},"
    " {\"guest_port\": 9, \"listen\": [\"[::1]:18009\", \"127.0.0.9:18009\"]}],"
    " \"default\": true, \"ready_port\": 49983, \"tap_owner\": {\"uid\": 123, \"gid\": 100},"
    " \"egress\": {\"internet\": false, \"allow\": [\"203.0.113.5/24\", {\"cidr\": \"10.1.2.3/32\", \"proto\": \"tcp\","
    " \"ports\": [\"5432-5440\", 80]}, {\"cidr\": \"10.1.2.4\", \"proto\": \"udp\"}], \"deny\": [\"0.0.0.0/0\"],"
    " \"dscp\": 46, \"isolated\": true},"
    " \"bandwidth\": {\"to_guest\": {\"rate\": 12500000, \"burst\": 1000000}, \"from_guest\": {\"rate\": 1000}},"
    " \"limits\": {\"connections\": 1000, \"connect_deadline_ms\": 20000, \"idle_ms\": 5, \"half_closed_ms\": 6,"
    " \"keepalive_ms\": 7000}, \"labels\": {\"template\": \"base\", \"a/b\": \"\"}}";

START_TEST(a_full_body_is_read_whole)
{
	struct spec *spec = accepted(full);
	char text[ADDR_TEXT_SIZE];

	ck_assert_uint_eq(spec->port_count, 4);
	ck_assert(spec->ports[0].automatic);
	ck_assert_uint_eq(spec->ports[0].listen_count, 0);
	ck_assert(spec->ports[1].proxy_protocol && !spec->ports[1].automatic);
	ck_assert_str_eq(addr_format(&spec->ports[1].listen[0], text), "127.0.0.1:18080");
	ck_assert_int_eq(spec->ports[2].proto, PROTO_UDP);
	ck_assert_uint_eq(spec->ports[2].listen_count, 2);
	ck_assert_str_eq(addr_format(&spec->ports[2].listen[0], text), "127.0.0.1:18053");
	ck_assert_str_eq(addr_format(&spec->ports[2].listen[1], text), "[::1]:18053");
	ck_assert_str_eq(addr_format(&spec->ports[3].listen[0], text), "[::1]:18009");
	ck_assert(spec->is_default && spec->tap_owner.set && !spec->egress.internet);
	ck_assert_uint_eq(spec->tap_owner.uid, 123);
	ck_assert_uint_eq(spec->tap_owner.gid, 100);
	ck_assert(spec->egress.isolated);
	ck_assert_uint_eq(spec->egress.dscp, 46);
	ck_assert_uint_eq(spec->egress.allow_count, 3);
	ck_assert_uint_eq(spec->egress.allow[0].cidr.ip, 0xcb007100);
	ck_assert(spec->egress.allow[0].any_proto);
	ck_assert_uint_eq(spec->egress.allow[1].port_count, 2);
	ck_assert_uint_eq(spec->egress.allow[1].ports[0].first, 80);
	ck_assert_uint_eq(spec->egress.allow[1].ports[0].last, 80);
	ck_assert_uint_eq(spec->egress.allow[1].ports[1].first, 5432);
	ck_assert_uint_eq(spec->egress.allow[1].ports[1].last, 5440);
	ck_assert_int_eq(spec->egress.allow[2].ip_proto, IPPROTO_UDP);
	ck_assert_uint_eq(spec->egress.allow[2].port_count, 0);
	ck_assert_uint_eq(spec->bandwidth.to_guest.burst, 1000000);
	ck_assert_uint_eq(spec->bandwidth.from_guest.burst, 65536);
	ck_assert_uint_eq(spec->limits.keepalive_ms, 7000);
	ck_assert_uint_eq(spec->label_count, 2);
	ck_assert_str_eq(spec->labels[0].key, "a/b");
	ck_assert_str_eq(spec->labels[1].value, "base");
	registry_spec_free(spec);
}
END_TEST

START_TEST(what_is_written_reads_as_the_same)
{
	struct spec *spec = accepted(full);
	json_t *json = wire_write_spec(spec), *again;
	struct spec *copy = wire_read_stored_spec(json, config, &problem);

	ck_assert_msg(copy != NULL, "%s: %s", problem.field, problem.detail);
	ck_assert(registry_spec_equal(spec, copy));
	again = wire_write_spec(copy);
	ck_assert(json_equal(json, again));
	json_decref(json);
	json_decref(again);
	registry_spec_free(spec);
	registry_spec_free(copy);
}
END_TEST

START_TEST(protocols_are_written_by_name_or_number)
{
	struct spec *spec =
	    accepted("{\"egress\": {\"allow\": [{\"cidr\": \"192.0.2.1\", \"proto\": 6, \"ports\": [80]},"
		     "{\"cidr\": \"192.0.2.2\", \"proto\": \"gre\"}, {\"cidr\": \"192.0.2.3\", \"proto\": 253},"
		     "{\"cidr\": \"192.0.2.4\", \"proto\": 0}]}}");
	json_t *json = wire_write_spec(spec);
	const json_t *allow = json_object_get(json_object_get(json, "egress"), "allow");

	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(allow, 0), "proto")), "tcp");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(allow, 1), "proto")), "gre");
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(allow, 2), "proto")), 253);
	ck_assert(json_is_integer(json_object_get(json_array_get(allow, 3), "proto")));
	struct spec *copy = wire_read_stored_spec(json, config, &problem);
	ck_assert(registry_spec_equal(spec, copy));
	json_decref(json);
	registry_spec_free(spec);
	registry_spec_free(copy);
}
END_TEST

START_TEST(a_stored_request_is_not_held_against_todays_configuration)
{
	static const char body[] = "{\"ports\": [{\"guest_port\": 1, \"listen\": [\"192.0.2.1:80\"]}]}";
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec = wire_read_stored_spec(json, config, &problem);

	ck_assert_ptr_nonnull(spec);
	ck_assert_int_eq(registry_spec_check(spec, config, &problem), -1);
	ck_assert_str_eq(problem.field, "/ports/0/listen");
	json_decref(json);
	registry_spec_free(spec);
}
END_TEST

START_TEST(what_the_configuration_allows_is_accepted)
{
	/* Addresses at which no client can ask, though a socket can be bound to some. */
	static const char *const unheard[] = { "127.255.255.255:80", "127.0.0.0:80", "224.0.0.1:80",
					       "255.255.255.255:80", "0.0.0.1:80",   "240.0.0.1:80" };
	struct cidr4 all = { 0 };

	config->ports.allow_privileged = true;
	config->ports.allow_address.items = &all;
	config->ports.allow_address.count = 1;
	registry_spec_free(
	    accepted("{\"ports\": [{\"guest_port\": 1, \"listen\": \"0.0.0.0:80\", \"via\": \"nat\"}]}"));
	registry_spec_free(accepted("{\"ports\": [{\"guest_port\": 1, \"listen\": \"192.0.2.1:8080\"}]}"));
	expect_bad(
	    &(struct bad){ "{\"ports\": [{\"guest_port\": 1, \"listen\": \"[2001:db8::1]:80\"}]}", "/ports/0/listen" });
	expect_bad(&(struct bad){ "{\"ports\": [{\"guest_port\": 1, \"listen\": \"0.0.0.0:80\", \"via\": \"nat\", "
				  "\"proxy_protocol\": \"v2\"}]}",
				  "/ports/0/proxy_protocol" });
	expect_bad(&(struct bad){ "{\"ports\": [{\"guest_port\": 1, \"listen\": \"0.0.0.0:80\"}, {\"guest_port\": 2, "
				  "\"listen\": \"127.0.0.1:80\"}]}",
				  "/ports/1/listen" });
	for (size_t i = 0; i < sizeof(unheard) / sizeof(unheard[0]); i++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"ports\": [{\"guest_port\": 1, \"listen\": \"%s\"}]}", unheard[i]);
		expect_bad(&(struct bad){ text, "/ports/0/listen" });
	}
	config->ports.allow_address.items = NULL;
	config->ports.allow_address.count = 0;
}
END_TEST

START_TEST(too_many_of_anything_is_refused)
{
	static const struct {
		const char *before, *item, *after, *field;
		int max;
	} cases[] = {
		{ "{\"egress\": {\"allow\": [", "\"10.0.0.%d/32\"", "]}}", "/egress/allow", SPEC_EGRESS_MAX },
		{ "{\"ports\": [", "%d", "]}", "/ports", SPEC_PORTS_MAX },
		{ "{\"labels\": {", "\"k%d\": \"\"", "}}", "/labels", SPEC_LABELS_MAX },
		{ "{\"ports\": [{\"guest_port\": 1, \"listen\": [", "\"127.0.0.1:%d\"", "]}]}", "/ports/0/listen",
		  SPEC_LISTEN_MAX },
	};
	char body[65536];

	for (int over = 0; over < 2; over++) {
		int count = cases[_i].max + over;
		size_t used = (size_t)sprintf(body, "%s", cases[_i].before);

		for (int i = 0; i < count; i++) {
			used += (size_t)sprintf(body + used, "%s", i ? ", " : "");
			used += (size_t)sprintf(body + used, cases[_i].item, _i == 0 ? i % 256 : i + 2000);
		}
		sprintf(body + used, "%s", cases[_i].after);
		if (over)
			expect_bad(&(struct bad){ body, cases[_i].field });
		else
			registry_spec_free(accepted(body));
	}
}
END_TEST

START_TEST(a_refusal_is_written_as_rfc_9457_has_it)
{
	json_t *json;

	registry_problem_set(&problem, PROBLEM_CONFLICT, "/ports/0/listen", "taken");
	json = wire_write_problem(&problem);
	ck_assert_str_eq(json_string_value(json_object_get(json, "title")), "Conflict");
	ck_assert_int_eq(json_integer_value(json_object_get(json, "status")), 409);
	ck_assert_str_eq(json_string_value(json_object_get(json, "detail")), "taken");
	ck_assert_str_eq(json_string_value(json_object_get(json, "field")), "/ports/0/listen");
	ck_assert_str_eq(json_string_value(json_object_get(json, "type")), "about:blank");
	json_decref(json);

	registry_problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "half a character: \xc3");
	json = wire_write_problem(&problem);
	ck_assert_str_eq(json_string_value(json_object_get(json, "detail")), "half a character: ?");
	ck_assert_ptr_null(json_object_get(json, "field"));
	json_decref(json);
}
END_TEST

START_TEST(a_long_field_name_comes_back_cut_and_readable)
{
	char body[1024] = "{\"";
	json_t *json;

	for (int i = 0; i < 300; i++)
		strcat(body, "\xc3\xa4");
	strcat(body, "\": 1}");
	ck_assert_ptr_null(read_text(body));
	json = wire_write_problem(&problem);
	ck_assert_ptr_nonnull(json);
	ck_assert_ptr_nonnull(json_object_get(json, "field"));
	ck_assert_ptr_nonnull(json_object_get(json, "detail"));
	json_decref(json);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = tcase_create("wire");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, what_is_not_json_is_refused, 0, COUNT(malformed));
	tcase_add_loop_test(tcase, a_bad_field_is_named, 0, COUNT(fields));
	tcase_add_loop_test(tcase, a_bad_port_is_named, 0, COUNT(ports));
	tcase_add_loop_test(tcase, a_bad_policy_is_named, 0, COUNT(policies));
	tcase_add_loop_test(tcase, a_bad_address_is_named, 0, COUNT(listens));
	tcase_add_test(tcase, raw_nul_bytes_are_refused);
	tcase_add_test(tcase, an_empty_body_asks_for_the_defaults);
	tcase_add_test(tcase, a_full_body_is_read_whole);
	tcase_add_test(tcase, what_is_written_reads_as_the_same);
	tcase_add_test(tcase, protocols_are_written_by_name_or_number);
	tcase_add_test(tcase, a_stored_request_is_not_held_against_todays_configuration);
	tcase_add_test(tcase, what_the_configuration_allows_is_accepted);
	tcase_add_loop_test(tcase, too_many_of_anything_is_refused, 0, 4);
	tcase_add_test(tcase, a_refusal_is_written_as_rfc_9457_has_it);
	tcase_add_test(tcase, a_long_field_name_comes_back_cut_and_readable);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
