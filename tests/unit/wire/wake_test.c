/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What wakes a sandbox: read, kept, compared, changed and shown.
 */
#include "wire/wire.h"

#include "base/clock.h"
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

static struct sandbox *registered(const char *text)
{
	struct sandbox *sandbox = registry_add(registry, "a", spec_of(text), &problem);

	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
	return sandbox;
}

static struct sandbox *asleep(const char *text)
{
	struct sandbox *sandbox = registered(text);

	sandbox->paused = true;
	registry_sandbox_set_state(registry, sandbox, SANDBOX_PAUSED, "request", NULL);
	return sandbox;
}

/* The member "wake" of what is shown is EXPECTED. */
static void expect_shown(const struct sandbox *sandbox, const char *expected)
{
	json_t *shown = wire_write_sandbox(sandbox, config), *wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
	char *text = json_dumps(json_object_get(shown, "wake"), JSON_ENCODE_ANY);

	ck_assert_ptr_nonnull(wanted);
	ck_assert_msg(json_equal(json_object_get(shown, "wake"), wanted), "%s", text);
	free(text);
	json_decref(shown);
	json_decref(wanted);
}

static void refused(const char *wake, const char *field, const char *detail)
{
	char body[4096];

	snprintf(body, sizeof(body), "{\"wake\": %s}", wake);
	struct spec *spec = read_spec(body);

	ck_assert_msg(spec == NULL, "accepted: %s", body);
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
	ck_assert_msg(strcmp(problem.field, field) == 0, "%s: blames \"%s\": %s", wake, problem.field, problem.detail);
	ck_assert_msg(strstr(problem.detail, detail) != NULL, "%s: \"%s\" lacks \"%s\"", wake, problem.detail, detail);
}

static bool equal(const char *left, const char *right)
{
	char bodies[2][256];

	snprintf(bodies[0], sizeof(bodies[0]), "{\"wake\": %s}", left);
	snprintf(bodies[1], sizeof(bodies[1]), "{\"wake\": %s}", right);
	struct spec *a = spec_of(bodies[0]), *b = spec_of(bodies[1]);
	bool result = registry_spec_equal(a, b);

	ck_assert_int_eq(registry_spec_equal(b, a), result);
	registry_spec_free(a);
	registry_spec_free(b);
	return result;
}

START_TEST(by_default_nothing_wakes_a_sandbox)
{
	static const char *const bodies[] = { "{}", "{\"wake\": null}" };

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct spec *spec = spec_of(bodies[i]);

		ck_assert_int_eq(spec->wake.which, WAKE_NEVER);
		ck_assert_ptr_null(spec->wake.ports);
		ck_assert_uint_eq(spec->idle_report_ms, 0);
		registry_spec_free(spec);
	}
	expect_shown(registered("{\"ports\": [80]}"), "null");
}
END_TEST

START_TEST(an_empty_object_is_for_the_published_ports)
{
	struct spec *spec = spec_of("{\"wake\": {}}");

	ck_assert_int_eq(spec->wake.which, WAKE_PUBLISHED);
	ck_assert_uint_eq(spec->wake.min_awake_ms, 5000);
	ck_assert_uint_eq(spec->wake.timeout_ms, 60000);
	registry_spec_free(spec);
	expect_shown(registered("{\"wake\": {}}"),
		     "{\"ports\": \"published\", \"min_awake_ms\": 5000, \"timeout_ms\": 60000, \"asked_at\": null, "
		     "\"by\": null}");
}
END_TEST

START_TEST(ports_are_read_in_each_form_and_shown_in_the_shortest)
{
	expect_shown(registered("{\"wake\": {\"ports\": [8080, \"443\", \"22/tcp\", \"5353/udp\", \"8080/udp\"], "
				"\"min_awake_ms\": 0, \"timeout_ms\": 1000}}"),
		     "{\"ports\": [8080, 443, 22, \"5353/udp\", \"8080/udp\"], \"min_awake_ms\": 0, \"timeout_ms\": "
		     "1000, \"asked_at\": null, \"by\": null}");
}
END_TEST

START_TEST(any_port_is_a_word)
{
	expect_shown(registered("{\"wake\": {\"ports\": \"any\"}}"),
		     "{\"ports\": \"any\", \"min_awake_ms\": 5000, \"timeout_ms\": 60000, \"asked_at\": null, "
		     "\"by\": null}");
}
END_TEST

START_TEST(a_mistake_names_its_place)
{
	refused("true", "/wake", "must be an object");
	refused("[8080]", "/wake", "must be an object");
	refused("{\"port\": 1}", "/wake/port", "unknown field");
	refused("{\"ports\": 8080}", "/wake/ports", "must be an array of ports, \"published\" or \"any\"");
	refused("{\"ports\": null}", "/wake/ports", "not null");
	refused("{\"ports\": \"all\"}", "/wake/ports", "not \"all\"");
	refused("{\"ports\": []}", "/wake/ports", "names no port");
	refused("{\"ports\": [0]}", "/wake/ports/0", "0 is out of range: 1 to 65535");
	refused("{\"ports\": [80, 65536]}", "/wake/ports/1", "65536 is out of range");
	refused("{\"ports\": [80.5]}", "/wake/ports/0", "must be a port");
	refused("{\"ports\": [\"any\"]}", "/wake/ports/0", "\"any\" is no port");
	refused("{\"ports\": [\"0\"]}", "/wake/ports/0", "\"0\" is no port");
	refused("{\"ports\": [\"080\"]}", "/wake/ports/0", "\"080\" is no port");
	refused("{\"ports\": [\"80/sctp\"]}", "/wake/ports/0", "\"80/sctp\" is no port");
	refused("{\"ports\": [\"80/\"]}", "/wake/ports/0", "\"80/\" is no port");
	refused("{\"ports\": [\"/udp\"]}", "/wake/ports/0", "\"/udp\" is no port");
	refused("{\"ports\": [\"70000/udp\"]}", "/wake/ports/0", "1 to 65535");
	refused("{\"ports\": [80, 81, \"80/tcp\"]}", "/wake/ports/2", "is given twice: entry 0 has it already");
	refused("{\"min_awake_ms\": -1}", "/wake/min_awake_ms", "0 to 3600000");
	refused("{\"min_awake_ms\": 3600001}", "/wake/min_awake_ms", "0 to 3600000");
	refused("{\"timeout_ms\": 999}", "/wake/timeout_ms", "1000 to 3600000");
	refused("{\"timeout_ms\": 3600001}", "/wake/timeout_ms", "1000 to 3600000");
	refused("{\"timeout_ms\": \"60s\"}", "/wake/timeout_ms", "must be an integer");
	refused("{}, \"idle_report_ms\": -1", "/idle_report_ms", "out of range");
}
END_TEST

START_TEST(at_most_64_ports_are_listed)
{
	for (unsigned count = SPEC_WAKE_PORTS_MAX; count <= SPEC_WAKE_PORTS_MAX + 1; count++) {
		char body[1024] = "{\"wake\": {\"ports\": [";

		for (unsigned i = 0; i < count; i++)
			sprintf(body + strlen(body), "%s%u", i ? ", " : "", 1000 + i);
		strcat(body, "]}}");
		struct spec *spec = read_spec(body);

		ck_assert_int_eq(spec != NULL, count == SPEC_WAKE_PORTS_MAX);
		registry_spec_free(spec);
	}
	ck_assert_str_eq(problem.field, "/wake/ports");
	ck_assert_str_eq(problem.detail, "65 entries, and 64 are the most");
}
END_TEST

START_TEST(the_order_of_ports_does_not_count)
{
	ck_assert(equal("{\"ports\": [1, \"2/udp\", 3]}", "{\"ports\": [3, 1, \"2/udp\"]}"));
	ck_assert(equal("{}", "{\"ports\": \"published\", \"min_awake_ms\": 5000}"));
	ck_assert(!equal("{}", "null"));
	ck_assert(!equal("{}", "{\"ports\": \"any\"}"));
	ck_assert(!equal("{\"ports\": [1]}", "{\"ports\": [\"1/udp\"]}"));
	ck_assert(!equal("{\"ports\": [1]}", "{\"ports\": [1, 2]}"));
	ck_assert(!equal("{}", "{\"timeout_ms\": 1000}"));
}
END_TEST

START_TEST(what_is_stored_reads_back_as_the_same)
{
	static const char *const bodies[] = {
		"{}",
		"{\"wake\": {}}",
		"{\"wake\": {\"ports\": \"any\", \"min_awake_ms\": 0}, \"idle_report_ms\": 60000}",
		"{\"wake\": {\"ports\": [65535, \"1/udp\"], \"timeout_ms\": 3600000}}",
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct spec *spec = spec_of(bodies[i]), *copy = registry_spec_copy(spec);
		json_t *json = wire_write_spec(copy);
		struct spec *again = wire_read_stored_spec(json, config, &problem);

		ck_assert_msg(again != NULL, "%s: %s", problem.field, problem.detail);
		ck_assert(registry_spec_equal(spec, again));
		json_decref(json);
		registry_spec_free(spec);
		registry_spec_free(copy);
		registry_spec_free(again);
	}
}
END_TEST

/* SANDBOX changed by TEXT. */
static void patched(struct sandbox *sandbox, const char *text)
{
	struct registry_patch prepared;
	struct spec_patch patch;
	json_t *json = parse(text);

	ck_assert_msg(wire_read_patch(json, config, &patch, &problem) == 0, "%s: %s", problem.field, problem.detail);
	struct spec *wanted = registry_spec_patch_apply(sandbox, &patch, &problem);
	ck_assert_ptr_nonnull(wanted);
	ck_assert_int_eq(registry_patch_prepare(registry, sandbox, wanted, false, &prepared, &problem), 0);
	registry_patch_commit(registry, &prepared);
	registry_spec_patch_clear(&patch);
	json_decref(json);
}

START_TEST(a_patch_replaces_it_whole_and_null_takes_it_away)
{
	struct sandbox *sandbox = registered("{\"wake\": {\"ports\": [1], \"min_awake_ms\": 7}}");

	patched(sandbox, "{\"labels\": {}}");
	ck_assert_uint_eq(sandbox->spec->wake.min_awake_ms, 7);
	patched(sandbox, "{\"wake\": {\"ports\": [2, 3]}, \"idle_report_ms\": 9}");
	ck_assert_uint_eq(sandbox->spec->wake.min_awake_ms, 5000);
	ck_assert_uint_eq(sandbox->spec->wake.port_count, 2);
	ck_assert_uint_eq(sandbox->spec->wake.ports[1].port, 3);
	ck_assert_uint_eq(sandbox->spec->idle_report_ms, 9);
	patched(sandbox, "{\"wake\": null}");
	ck_assert_int_eq(sandbox->spec->wake.which, WAKE_NEVER);
	ck_assert_ptr_null(sandbox->spec->wake.ports);
	struct spec *fresh = spec_of("{\"idle_report_ms\": 9}");
	ck_assert(registry_spec_equal(sandbox->spec, fresh));
	registry_spec_free(fresh);
}
END_TEST

START_TEST(who_asks_is_shown_while_it_is_paused)
{
	struct sandbox *sandbox = asleep("{\"wake\": {\"ports\": [80]}}");
	int64_t asked_ms;

	ck_assert_int_eq(clock_parse("2026-01-14T09:37:00Z", &asked_ms), 0);
	ck_assert(registry_sandbox_is_asleep(sandbox) && !registry_sandbox_is_asked(sandbox));
	registry_wake_note(sandbox, asked_ms, "80/tcp from 192.0.2.7", "kernel");
	registry_wake_note(sandbox, asked_ms + 1000, "api", "api");
	ck_assert(registry_sandbox_is_asked(sandbox));
	expect_shown(sandbox, "{\"ports\": [80], \"min_awake_ms\": 5000, \"timeout_ms\": 60000,"
			      " \"asked_at\": \"2026-01-14T09:37:00Z\", \"by\": \"80/tcp from 192.0.2.7\"}");
	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "request", NULL);
	ck_assert(!registry_sandbox_is_asleep(sandbox) && !registry_sandbox_is_asked(sandbox));
	expect_shown(sandbox, "{\"ports\": [80], \"min_awake_ms\": 5000, \"timeout_ms\": 60000,"
			      " \"asked_at\": null, \"by\": null}");
	registry_wake_forget(sandbox);
	ck_assert_int_eq(sandbox->wake_asked_ms, 0);
	ck_assert_str_eq(sandbox->wake_by, "");
}
END_TEST

START_TEST(a_sandbox_is_woken_only_while_paused_and_with_wake)
{
	struct sandbox *sandbox = registered("{\"wake\": {}}");

	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "registered", NULL);
	ck_assert_int_eq(registry_wake_check(sandbox, &problem), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_str_eq(problem.detail, "sandbox a is waiting, and only a paused one can be woken");
	registry_sandbox_set_state(registry, sandbox, SANDBOX_PAUSED, "request", NULL);
	ck_assert_int_eq(registry_wake_check(sandbox, &problem), 0);
	patched(sandbox, "{\"wake\": null}");
	ck_assert_int_eq(registry_wake_check(sandbox, &problem), -1);
	ck_assert_str_eq(problem.field, "/wake");
}
END_TEST

START_TEST(idle_is_counted_from_the_last_traffic)
{
	struct sandbox *sandbox = registered("{}");

	sandbox->registered_ms = 1000;
	ck_assert_int_eq(registry_sandbox_idle_ms(sandbox, 4000), 3000);
	sandbox->last_activity_ms = 3500;
	ck_assert_int_eq(registry_sandbox_idle_ms(sandbox, 4000), 500);
	ck_assert_int_eq(registry_sandbox_idle_ms(sandbox, 2000), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_wake");
	TCase *tcase = tcase_create("wire_wake");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, by_default_nothing_wakes_a_sandbox);
	tcase_add_test(tcase, an_empty_object_is_for_the_published_ports);
	tcase_add_test(tcase, ports_are_read_in_each_form_and_shown_in_the_shortest);
	tcase_add_test(tcase, any_port_is_a_word);
	tcase_add_test(tcase, a_mistake_names_its_place);
	tcase_add_test(tcase, at_most_64_ports_are_listed);
	tcase_add_test(tcase, the_order_of_ports_does_not_count);
	tcase_add_test(tcase, what_is_stored_reads_back_as_the_same);
	tcase_add_test(tcase, a_patch_replaces_it_whole_and_null_takes_it_away);
	tcase_add_test(tcase, who_asks_is_shown_while_it_is_paused);
	tcase_add_test(tcase, a_sandbox_is_woken_only_while_paused_and_with_wake);
	tcase_add_test(tcase, idle_is_counted_from_the_last_traffic);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
