/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/wire.h"

#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static struct config *config;
static struct registry *registry;
static struct sandbox *sandbox;
static struct spec_patch patch;
static struct problem problem;

/* Endpoint 0: guest port 49983, automatic, on 20000. Endpoint 1: 8080 on two addresses. Endpoint 2: 8080 again. */
static const char body[] =
    "{\"ports\": [49983, {\"guest_port\": 8080, \"listen\": [\"127.0.0.1:18080\", \"[::1]:18081\"]},"
    " {\"guest_port\": 8080, \"listen\": \"127.0.0.1:18082\"}], \"labels\": {\"a\": \"1\", \"b\": \"2\"},"
    " \"limits\": {\"connections\": 7, \"idle_ms\": 9}, \"egress\": {\"allow\": [\"192.0.2.0/24\"]}}";

static void setup(void)
{
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
	spec = wire_read_spec(json, config, &problem);
	json_decref(json);
	sandbox = registry_add(registry, "a", spec, &problem);
	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
}

static void teardown(void)
{
	registry_spec_patch_clear(&patch);
	registry_free(registry);
	config_free(config);
}

static int read_text(const char *text)
{
	json_t *json = wire_parse_body(text, strlen(text), &problem);
	int result = json ? wire_read_patch(json, config, &patch, &problem) : -1;

	json_decref(json);
	return result;
}

static struct spec *apply(const char *text)
{
	struct spec *spec = NULL;

	if (read_text(text) == 0)
		spec = registry_spec_patch_apply(sandbox, &patch, &problem);
	registry_spec_patch_clear(&patch);
	return spec;
}

static struct spec *applied(const char *text)
{
	struct spec *spec = apply(text);

	ck_assert_msg(spec != NULL, "%s: %s: %s", text, problem.field, problem.detail);
	return spec;
}

static void refused(const char *text, enum problem_kind kind, const char *field)
{
	struct spec *before = registry_spec_copy(sandbox->spec), *spec = apply(text);

	ck_assert_msg(spec == NULL, "accepted: %s", text);
	ck_assert_msg(problem.kind == kind && strcmp(problem.field, field) == 0, "%s: %d at \"%s\": %s", text,
		      problem.kind, problem.field, problem.detail);
	ck_assert(registry_spec_equal(sandbox->spec, before));
	registry_spec_free(before);
}

static const struct bad {
	const char *body, *field;
} bad[] = {
	{ "{\"ports\": []}", "/ports" },
	{ "{\"ready_port\": 1}", "/ready_port" },
	{ "{\"default\": 1}", "/default" },
	{ "{\"paused\": \"yes\"}", "/paused" },
	{ "{\"flows\": \"keep\"}", "/flows" },
	{ "{\"paused\": true, \"flows\": \"keep\"}", "/flows" },
	{ "{\"flows\": \"drop\", \"paused\": false}", "/flows" },
	{ "{\"paused\": false, \"flows\": true}", "/flows" },
	{ "{\"publish\": 8080}", "/publish" },
	{ "{\"publish\": [0]}", "/publish/0" },
	{ "{\"publish\": [1, {\"guest_port\": 2, \"listen\": \"127.0.0.1:80\"}]}", "/publish/1/listen" },
	{ "{\"publish\": [1, {\"guest_port\": 2, \"listen\": [\"127.0.0.1:8000\", \"x\"]}]}", "/publish/1/listen/1" },
	{ "{\"publish\": [9, 9]}", "/publish/1" },
	{ "{\"unpublish\": [0]}", "/unpublish/0" },
	{ "{\"unpublish\": [1, 65536]}", "/unpublish/1" },
	{ "{\"unpublish\": [\"127.0.0.1\"]}", "/unpublish/0" },
	{ "{\"unpublish\": [{}]}", "/unpublish/0" },
	{ "{\"unpublish\": [\"0/tcp\"]}", "/unpublish/0" },
	{ "{\"unpublish\": [\"65536/tcp\"]}", "/unpublish/0" },
	{ "{\"unpublish\": [\"53/icmp\"]}", "/unpublish/0" },
	{ "{\"unpublish\": [\"/udp\"]}", "/unpublish/0" },
	{ "{\"unpublish\": \"127.0.0.1:8080\"}", "/unpublish" },
	{ "{\"egress\": {\"deny\": [\"x\"]}}", "/egress/deny/0" },
	{ "{\"labels\": {\"x\": 1}}", "/labels/x" },
	{ "{\"limits\": null}", "/limits" },
	{ "{\"name\": \"-a\"}", "/name" },
	{ "{\"name\": false}", "/name" },
	{ "{\"bandwidth\": {\"to_guest\": 1}}", "/bandwidth/to_guest" },
};

START_TEST(a_bad_field_is_named)
{
	refused(bad[_i].body, PROBLEM_BAD_REQUEST, bad[_i].field);
}
END_TEST

START_TEST(an_empty_patch_changes_nothing)
{
	struct spec *spec = applied("{}");

	ck_assert(registry_spec_equal(spec, sandbox->spec));
	registry_spec_free(spec);
}
END_TEST

START_TEST(pausing_and_flows_are_read)
{
	ck_assert_int_eq(read_text("{\"paused\": false, \"flows\": \"reset\"}"), 0);
	ck_assert(patch.has_paused && !patch.paused && patch.reset_flows);
	registry_spec_patch_clear(&patch);
	ck_assert_int_eq(read_text("{\"flows\": \"keep\", \"paused\": false}"), 0);
	ck_assert(patch.has_paused && !patch.reset_flows);
	registry_spec_patch_clear(&patch);
	ck_assert_int_eq(read_text("{\"paused\": true}"), 0);
	ck_assert(patch.has_paused && patch.paused);
}
END_TEST

START_TEST(published_ports_follow_those_that_were_there)
{
	struct spec *spec = applied("{\"publish\": [9000, {\"guest_port\": 49983, \"listen\": \"127.0.0.1:19000\"}]}");

	ck_assert_uint_eq(spec->port_count, 5);
	ck_assert_uint_eq(spec->ports[0].guest_port, 49983);
	ck_assert_uint_eq(spec->ports[3].guest_port, 9000);
	ck_assert(spec->ports[3].automatic);
	ck_assert_uint_eq(spec->ports[4].listen_count, 1);
	registry_spec_free(spec);
}
END_TEST

START_TEST(a_guest_port_is_unpublished_with_all_its_addresses)
{
	struct spec *spec = applied("{\"unpublish\": [8080]}");

	ck_assert_uint_eq(spec->port_count, 1);
	ck_assert_uint_eq(spec->ports[0].guest_port, 49983);
	registry_spec_free(spec);
}
END_TEST

START_TEST(a_guest_port_of_one_protocol_is_unpublished_alone)
{
	struct spec *spec = applied("{\"unpublish\": [\"8080/tcp\"]}");

	ck_assert_uint_eq(spec->port_count, 1);
	registry_spec_free(spec);
	refused("{\"unpublish\": [\"8080/udp\"]}", PROBLEM_CONFLICT, "/unpublish/0");
	ck_assert_str_eq(problem.detail, "guest port 8080 (udp) is not published");
}
END_TEST

START_TEST(an_address_takes_its_port_with_it)
{
	struct spec *spec = applied("{\"unpublish\": [\"[::1]:18081\"]}");

	ck_assert_uint_eq(spec->port_count, 2);
	ck_assert_uint_eq(spec->ports[1].guest_port, 8080);
	ck_assert_uint_eq(spec->ports[1].listen_count, 1);
	registry_spec_free(spec);
}
END_TEST

START_TEST(an_automatic_port_is_unpublished_by_the_address_that_it_got)
{
	struct spec *spec = applied("{\"unpublish\": [\"[::1]:20000\"]}");

	ck_assert_uint_eq(spec->port_count, 2);
	ck_assert_uint_eq(spec->ports[0].guest_port, 8080);
	registry_spec_free(spec);
}
END_TEST

START_TEST(what_is_not_published_cannot_be_unpublished)
{
	refused("{\"unpublish\": [8080, 8081]}", PROBLEM_CONFLICT, "/unpublish/1");
	refused("{\"unpublish\": [\"127.0.0.1:18081\"]}", PROBLEM_CONFLICT, "/unpublish/0");
}
END_TEST

START_TEST(what_is_published_already_is_refused)
{
	refused("{\"publish\": [1, 49983]}", PROBLEM_CONFLICT, "/publish/1");
	ck_assert_ptr_nonnull(strstr(problem.detail, "127.0.0.1:20000"));
	refused("{\"publish\": [{\"guest_port\": 1, \"listen\": \"127.0.0.1:18080\"}]}", PROBLEM_CONFLICT,
		"/publish/0/listen");
}
END_TEST

START_TEST(a_port_can_be_published_anew_in_the_patch_that_unpublishes_it)
{
	struct spec *spec = applied("{\"publish\": [49983], \"unpublish\": [49983]}");

	ck_assert_uint_eq(spec->port_count, 3);
	ck_assert_uint_eq(spec->ports[2].guest_port, 49983);
	registry_spec_free(spec);
}
END_TEST

START_TEST(no_more_ports_come_together_than_one_sandbox_may_have)
{
	char text[8192] = "{\"publish\": [";

	for (int port = 1; port <= SPEC_PORTS_MAX - 2; port++)
		sprintf(text + strlen(text), "%s%d", port > 1 ? ", " : "", port);
	strcat(text, "]}");
	refused(text, PROBLEM_BAD_REQUEST, "/publish");
}
END_TEST

START_TEST(an_object_replaces_the_stored_one_whole)
{
	struct spec *spec =
	    applied("{\"labels\": {\"c\": \"3\"}, \"limits\": {\"idle_ms\": 1}, \"default\": true,"
		    " \"egress\": {\"internet\": false}, \"bandwidth\": {\"to_guest\": {\"rate\": 5}}}");

	ck_assert_uint_eq(spec->label_count, 1);
	ck_assert_str_eq(spec->labels[0].key, "c");
	ck_assert_uint_eq(spec->limits.connections, 0);
	ck_assert_uint_eq(spec->limits.idle_ms, 1);
	ck_assert_uint_eq(spec->limits.connect_deadline_ms, config->forwarder.connect_deadline_ms);
	ck_assert(!spec->egress.internet);
	ck_assert_uint_eq(spec->egress.allow_count, 0);
	ck_assert_uint_eq(spec->bandwidth.to_guest.rate, 5);
	ck_assert(spec->is_default);
	ck_assert_uint_eq(spec->port_count, 3);
	registry_spec_free(spec);
}
END_TEST

START_TEST(a_name_is_given_and_taken_away)
{
	static const char *const none[] = { "{\"name\": null}", "{\"name\": \"\"}" };
	struct spec *spec = applied("{\"name\": \"web-1.a_b\"}");

	ck_assert_str_eq(spec->name, "web-1.a_b");
	registry_spec_free(spec);
	strcpy(sandbox->spec->name, "web");
	spec = applied("{\"default\": true}");
	ck_assert_str_eq(spec->name, "web");
	registry_spec_free(spec);
	for (size_t i = 0; i < 2; i++) {
		spec = applied(none[i]);
		ck_assert_str_eq(spec->name, "");
		registry_spec_free(spec);
	}
}
END_TEST

START_TEST(what_is_not_given_stays)
{
	struct spec *spec = applied("{\"labels\": {}}");

	ck_assert_uint_eq(spec->label_count, 0);
	ck_assert_uint_eq(spec->limits.connections, 7);
	ck_assert_uint_eq(spec->egress.allow_count, 1);
	registry_spec_free(spec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_patch");
	TCase *tcase = tcase_create("wire_patch");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_bad_field_is_named, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, an_empty_patch_changes_nothing);
	tcase_add_test(tcase, pausing_and_flows_are_read);
	tcase_add_test(tcase, published_ports_follow_those_that_were_there);
	tcase_add_test(tcase, a_guest_port_is_unpublished_with_all_its_addresses);
	tcase_add_test(tcase, a_guest_port_of_one_protocol_is_unpublished_alone);
	tcase_add_test(tcase, an_address_takes_its_port_with_it);
	tcase_add_test(tcase, an_automatic_port_is_unpublished_by_the_address_that_it_got);
	tcase_add_test(tcase, what_is_not_published_cannot_be_unpublished);
	tcase_add_test(tcase, what_is_published_already_is_refused);
	tcase_add_test(tcase, a_port_can_be_published_anew_in_the_patch_that_unpublishes_it);
	tcase_add_test(tcase, no_more_ports_come_together_than_one_sandbox_may_have);
	tcase_add_test(tcase, an_object_replaces_the_stored_one_whole);
	tcase_add_test(tcase, a_name_is_given_and_taken_away);
	tcase_add_test(tcase, what_is_not_given_stays);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
