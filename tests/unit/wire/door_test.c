/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may come through the door: read, kept, compared, changed and shown.
 */
#include "wire/wire.h"

#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "registry/registry.h"
#include "registry/spec_patch.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SHA-256 of "secret". */
#define TOKEN "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="
#define GIVEN "\"token_sha256\": \"" TOKEN "\""

static struct config *config;
static struct registry *registry;
static struct problem problem;

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
}

static void teardown(void)
{
	registry_free(registry);
	config_free(config);
}

static json_t *parse(const char *text)
{
	json_t *json = wire_parse_body(text, strlen(text), &problem);

	ck_assert_msg(json != NULL, "%s: %s", text, problem.detail);
	return json;
}

static struct spec *read_spec(const char *text)
{
	json_t *json = parse(text);
	struct spec *spec = wire_read_spec(json, config, &problem);

	json_decref(json);
	return spec;
}

static struct spec *spec_of(const char *text)
{
	struct spec *spec = read_spec(text);

	ck_assert_msg(spec != NULL, "%s: %s: %s", text, problem.field, problem.detail);
	return spec;
}

static struct sandbox *registered(const char *id, const char *text)
{
	struct sandbox *sandbox = registry_add(registry, id, spec_of(text), &problem);

	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
	return sandbox;
}

static json_t *shown_door(const struct sandbox *sandbox)
{
	json_t *shown = wire_write_sandbox(sandbox, config), *door = json_incref(json_object_get(shown, "door"));

	json_decref(shown);
	return door;
}

static void expect_door(const struct sandbox *sandbox, const char *text)
{
	json_t *door = shown_door(sandbox), *expected = parse(text);
	char *told = json_dumps(door, 0);

	ck_assert_msg(json_equal(door, expected), "%s", told);
	free(told);
	json_decref(door);
	json_decref(expected);
}

START_TEST(without_a_door_all_ports_are_public)
{
	struct sandbox *sandbox = registered("ip5a2vh1q14ne170jpah6", "{}");

	ck_assert(sandbox->spec->door.is_public);
	ck_assert(!sandbox->spec->door.has_token);
	ck_assert_uint_eq(sandbox->spec->door.port_count, 0);
	expect_door(
	    sandbox,
	    "{\"public\": true, \"token_sha256\": null, \"ports\": {}, \"host_label\": \"ip5a2vh1q14ne170jpah6\"}");
}
END_TEST

START_TEST(a_door_is_read_and_shown_with_its_ports_in_order)
{
	struct sandbox *sandbox =
	    registered("A", "{\"door\": {\"public\": false, " GIVEN ", \"ports\": {\"65535\": \"token\", "
			    "\"49983\": \"closed\", \"80\": \"public\"}}}");
	const struct door_policy *door = &sandbox->spec->door;
	json_t *shown = shown_door(sandbox);
	char *ports = json_dumps(json_object_get(shown, "ports"), JSON_PRESERVE_ORDER);

	ck_assert(!door->is_public);
	ck_assert(door->has_token);
	ck_assert_uint_eq(door->token_sha256[0], 0x2b);
	ck_assert_uint_eq(door->token_sha256[31], 0x5b);
	ck_assert_uint_eq(door->port_count, 3);
	ck_assert_uint_eq(door->ports[0].port, 80);
	ck_assert_int_eq(door->ports[0].access, DOOR_ACCESS_PUBLIC);
	ck_assert_int_eq(door->ports[1].access, DOOR_ACCESS_CLOSED);
	ck_assert_int_eq(door->ports[2].access, DOOR_ACCESS_TOKEN);
	ck_assert_str_eq(json_string_value(json_object_get(shown, "token_sha256")), TOKEN);
	ck_assert(json_is_false(json_object_get(shown, "public")));
	ck_assert(json_is_null(json_object_get(shown, "host_label")));
	ck_assert_str_eq(ports, "{\"80\": \"public\", \"49983\": \"closed\", \"65535\": \"token\"}");
	free(ports);
	json_decref(shown);
}
END_TEST

START_TEST(as_many_ports_as_there_may_be_are_read)
{
	char text[4096] = "{\"door\": {\"ports\": {";
	size_t used = strlen(text);
	struct spec *spec;

	for (unsigned i = 0; i <= DOOR_PORTS_MAX; i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"%u\": \"closed\"", i ? ", " : "",
					 10000 - i);
		if (i + 1 < DOOR_PORTS_MAX)
			continue;
		snprintf(text + used, sizeof(text) - used, "}}}");
		spec = read_spec(text);
		if (i == DOOR_PORTS_MAX)
			break;
		ck_assert_ptr_nonnull(spec);
		ck_assert_uint_eq(spec->door.port_count, DOOR_PORTS_MAX);
		registry_spec_free(spec);
	}
	ck_assert_ptr_null(spec);
	ck_assert_str_eq(problem.field, "/door/ports");
}
END_TEST

static const struct {
	const char *door, *field;
} bad[] = {
	{ "null", "/door" },
	{ "[]", "/door" },
	{ "{\"open\": true}", "/door/open" },
	{ "{\"host_label\": \"a\"}", "/door/host_label" },
	{ "{\"public\": 1}", "/door/public" },
	{ "{\"public\": false}", "/door/token_sha256" },
	{ "{\"public\": false, \"token_sha256\": null}", "/door/token_sha256" },
	{ "{\"ports\": {\"1\": \"public\", \"80\": \"token\"}}", "/door/token_sha256" },
	{ "{\"token_sha256\": 1}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"secret\"}", "/door/token_sha256" },
	/* Without the padding, with one character more, with bits beyond the bytes, of the other alphabet, of 31 bytes. */
	{ "{\"token_sha256\": \"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\\n\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unolt=\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"K7gNU3sdo-OL0wNhqoVWhr3g6s1xYv72ol_pe_Unols=\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unog==\"}", "/door/token_sha256" },
	{ "{\"token_sha256\": \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}",
	  "/door/token_sha256" },
	{ "{\"ports\": [8080]}", "/door/ports" },
	{ "{\"ports\": {\"\": \"public\"}}", "/door/ports/" },
	{ "{\"ports\": {\"0\": \"public\"}}", "/door/ports/0" },
	{ "{\"ports\": {\"080\": \"public\"}}", "/door/ports/080" },
	{ "{\"ports\": {\"+80\": \"public\"}}", "/door/ports/+80" },
	{ "{\"ports\": {\"80 \": \"public\"}}", "/door/ports/80 " },
	{ "{\"ports\": {\"65536\": \"public\"}}", "/door/ports/65536" },
	{ "{\"ports\": {\"80/tcp\": \"public\"}}", "/door/ports/80~1tcp" },
	{ "{\"ports\": {\"8000-8099\": \"public\"}}", "/door/ports/8000-8099" },
	{ "{\"ports\": {\"80\": true}}", "/door/ports/80" },
	{ "{\"ports\": {\"80\": \"open\"}}", "/door/ports/80" },
	{ "{\"ports\": {\"80\": \"Public\"}}", "/door/ports/80" },
	{ "{" GIVEN ", \"ports\": {\"49983\": \"token\"}}", "/door/ports/49983" },
};

START_TEST(a_bad_door_is_refused_with_its_place)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"door\": %s}", bad[_i].door);
	ck_assert_ptr_null(read_spec(text));
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
	ck_assert_str_eq(problem.field, bad[_i].field);
}
END_TEST

START_TEST(a_bad_door_in_a_patch_is_refused_with_its_place)
{
	struct spec_patch patch;
	char text[512];

	snprintf(text, sizeof(text), "{\"door\": %s}", bad[_i].door);
	json_t *json = parse(text);
	ck_assert_int_eq(wire_read_patch(json, config, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, bad[_i].field);
	registry_spec_patch_clear(&patch);
	json_decref(json);
}
END_TEST

START_TEST(a_token_need_not_be_given_where_it_is_the_configuration_that_asks)
{
	struct spec *spec;

	config->door.is_public = false;
	spec = spec_of("{}");
	ck_assert(!spec->door.is_public);
	registry_spec_free(spec);
	spec = spec_of("{\"door\": {\"ports\": {\"80\": \"public\"}}}");
	ck_assert(!spec->door.is_public);
	ck_assert_uint_eq(spec->door.port_count, 1);
	registry_spec_free(spec);
	spec = spec_of("{\"door\": {\"public\": true}}");
	ck_assert(spec->door.is_public);
	registry_spec_free(spec);
	ck_assert_ptr_null(read_spec("{\"door\": {\"public\": false}}"));
}
END_TEST

START_TEST(what_is_kept_reads_back_as_the_same)
{
	static const char *const doors[] = {
		"{}",
		"{\"door\": {" GIVEN "}}",
		"{\"door\": {\"public\": false, " GIVEN ", \"ports\": {\"1\": \"token\", \"49983\": \"closed\"}}}",
	};

	for (unsigned i = 0; i < 6; i++) {
		config->door.is_public = i < 3;
		struct spec *spec = spec_of(doors[i % 3]);
		json_t *kept = wire_write_spec(spec);

		config->door.is_public = i >= 3; /* a start with another configuration */
		struct spec *again = wire_read_stored_spec(kept, config, &problem);
		ck_assert_msg(again != NULL, "%s: %s", problem.field, problem.detail);
		ck_assert(registry_spec_equal(spec, again));
		registry_spec_free(spec);
		registry_spec_free(again);
		json_decref(kept);
	}
}
END_TEST

START_TEST(a_file_without_a_door_has_that_of_the_configuration)
{
	json_t *kept = parse("{\"ports\": [80]}");
	struct spec *spec;

	config->door.is_public = false;
	spec = wire_read_stored_spec(kept, config, &problem);
	ck_assert(!spec->door.is_public);
	registry_spec_free(spec);
	json_decref(kept);
}
END_TEST

START_TEST(doors_are_compared)
{
	static const char *const differing[] = {
		"{}",
		"{\"door\": {" GIVEN "}}",
		"{\"door\": {\"token_sha256\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}}",
		"{\"door\": {\"ports\": {\"80\": \"closed\"}}}",
		"{\"door\": {\"ports\": {\"80\": \"public\"}}}",
		"{\"door\": {\"ports\": {\"81\": \"closed\"}}}",
		"{\"door\": {\"ports\": {\"80\": \"closed\", \"81\": \"closed\"}}}",
		"{\"door\": {\"public\": false, " GIVEN "}}",
	};
	enum { COUNT = sizeof(differing) / sizeof(differing[0]) };

	for (size_t i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < COUNT; j++) {
			struct spec *a = spec_of(differing[i]), *b = spec_of(differing[j]);

			ck_assert_msg(registry_spec_equal(a, b) == (i == j), "%zu and %zu", i, j);
			registry_spec_free(a);
			registry_spec_free(b);
		}
	}
	struct spec *a = spec_of("{\"door\": {\"ports\": {\"80\": \"closed\", \"81\": \"public\"}}}"),
		    *b = spec_of("{\"door\": {\"ports\": {\"81\": \"public\", \"80\": \"closed\"}}}");
	ck_assert(registry_spec_equal(a, b));
	registry_spec_free(a);
	registry_spec_free(b);
}
END_TEST

START_TEST(a_patch_replaces_the_door_whole)
{
	struct sandbox *sandbox = registered("a", "{\"door\": {\"public\": false, " GIVEN ", \"ports\": {\"80\": "
						  "\"closed\"}}}");
	json_t *json = parse("{\"door\": {\"ports\": {\"81\": \"closed\"}}}");
	struct spec_patch patch;

	ck_assert_int_eq(wire_read_patch(json, config, &patch, &problem), 0);
	struct spec *spec = registry_spec_patch_apply(sandbox, &patch, &problem);
	ck_assert(spec->door.is_public);
	ck_assert(!spec->door.has_token);
	ck_assert_uint_eq(spec->door.port_count, 1);
	ck_assert_uint_eq(spec->door.ports[0].port, 81);
	registry_spec_free(spec);
	registry_spec_patch_clear(&patch);
	json_decref(json);
}
END_TEST

START_TEST(a_difference_names_the_member)
{
	struct spec *a = spec_of("{\"door\": {\"ports\": {\"80\": \"closed\"}}}"),
		    *b = spec_of("{\"door\": {" GIVEN "}}");
	char *told = wire_write_difference(a, b);

	ck_assert_str_eq(told,
			 "door.token_sha256 is none, not \"" TOKEN "\"; door.ports is {\"80\": \"closed\"}, not {}");
	free(told);
	registry_spec_free(a);
	registry_spec_free(b);
}
END_TEST

#define FIFTY_SEVEN "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij1234567"

START_TEST(a_label_is_told_where_dns_takes_it)
{
	static const struct {
		const char *id, *body, *label;
	} cases[] = {
		{ "a1", "{}", "a1" },
		{ "a2", "{\"name\": \"web\"}", "web" },
		{ "a3", "{\"name\": \"Web\"}", NULL },
		{ "a4", "{\"name\": \"web-1\"}", NULL },
		{ "a_5", "{}", NULL },
		{ "a.6", "{\"name\": \"w6\"}", "w6" },
		{ FIFTY_SEVEN, "{}", FIFTY_SEVEN },
		{ FIFTY_SEVEN "8", "{}", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *door = shown_door(registered(cases[i].id, cases[i].body));
		const char *label = json_string_value(json_object_get(door, "host_label"));

		ck_assert_ptr_nonnull(json_object_get(door, "host_label"));
		ck_assert_msg(label == cases[i].label || (label && cases[i].label && !strcmp(label, cases[i].label)),
			      "%s: %s", cases[i].id, label ? label : "null");
		json_decref(door);
	}
}
END_TEST

START_TEST(the_hash_of_a_token_is_hidden_from_readers_over_tcp)
{
	struct sandbox *sandbox = registered("a", "{\"door\": {" GIVEN "}}");
	json_t *shown = wire_write_sandbox(sandbox, config), *change = wire_write_door_change(sandbox),
	       *expected = parse("{\"public\": true, \"token\": true, \"ports\": {}}");

	wire_hide_token(shown);
	ck_assert(json_is_null(json_object_get(json_object_get(shown, "door"), "token_sha256")));
	ck_assert(json_equal(change, expected));
	wire_hide_token(NULL);
	json_decref(shown);
	json_decref(change);
	json_decref(expected);
}
END_TEST

START_TEST(the_name_by_which_the_door_is_checked_is_nobodys)
{
	json_t *kept = parse("{\"name\": \"weftdoorcheck\"}");

	ck_assert_ptr_null(read_spec("{\"name\": \"weftdoorcheck\"}"));
	ck_assert_str_eq(problem.field, "/name");
	ck_assert_ptr_nonnull(strstr(problem.detail, "reserved"));
	/* A former version has given it. */
	registry_spec_free(wire_read_stored_spec(kept, config, &problem));
	json_decref(kept);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_door");
	TCase *tcase = tcase_create("wire_door");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, without_a_door_all_ports_are_public);
	tcase_add_test(tcase, a_door_is_read_and_shown_with_its_ports_in_order);
	tcase_add_test(tcase, as_many_ports_as_there_may_be_are_read);
	tcase_add_loop_test(tcase, a_bad_door_is_refused_with_its_place, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(tcase, a_bad_door_in_a_patch_is_refused_with_its_place, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, a_token_need_not_be_given_where_it_is_the_configuration_that_asks);
	tcase_add_test(tcase, what_is_kept_reads_back_as_the_same);
	tcase_add_test(tcase, a_file_without_a_door_has_that_of_the_configuration);
	tcase_add_test(tcase, doors_are_compared);
	tcase_add_test(tcase, a_patch_replaces_the_door_whole);
	tcase_add_test(tcase, a_difference_names_the_member);
	tcase_add_test(tcase, a_label_is_told_where_dns_takes_it);
	tcase_add_test(tcase, the_hash_of_a_token_is_hidden_from_readers_over_tcp);
	tcase_add_test(tcase, the_name_by_which_the_door_is_checked_is_nobodys);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
