/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control/target.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <netinet/in.h>
#include <string.h>

static struct control_target route;
static struct problem problem;

static int parsed(enum http_method method, const char *target)
{
	problem = (struct problem){ 0 };
	return control_target_parse(method, target, strlen(target), &route, &problem);
}

static const struct {
	const char *target;
	enum control_target_kind kind;
	const char *id;
} paths[] = {
	{ "/v1/sandboxes", CONTROL_TARGET_SANDBOXES, "" },
	{ "/v1/sandboxes/a1", CONTROL_TARGET_SANDBOX, "a1" },
	{ "/v1/sandboxes/a%31", CONTROL_TARGET_SANDBOX, "a1" },
	{ "/v1/sandboxes/A.b_c-d?", CONTROL_TARGET_SANDBOX, "A.b_c-d" },
	{ "/v1/sandboxes/a1/diagnosis", CONTROL_TARGET_DIAGNOSIS, "a1" },
	{ "/v1/sandboxes/a1/diagnosis?last=true", CONTROL_TARGET_DIAGNOSIS, "a1" },
	{ "/v1/sandboxes/a1/connections", CONTROL_TARGET_CONNECTIONS, "a1" },
	{ "/v1/sandboxes/a1/reach?dest=1.2.3.4", CONTROL_TARGET_REACH, "a1" },
	{ "/v1/events", CONTROL_TARGET_EVENTS, "" },
	{ "/v1/status", CONTROL_TARGET_STATUS, "" },
	{ "/v1/doctor?last=true", CONTROL_TARGET_DOCTOR, "" },
	{ "/v1/rates", CONTROL_TARGET_RATES, "" },
	{ "/v1/rates?since=7&sandbox=a1", CONTROL_TARGET_RATES, "" },
	{ "/healthz", CONTROL_TARGET_HEALTHZ, "" },
	{ "/metrics", CONTROL_TARGET_METRICS, "" },
	{ "/", CONTROL_TARGET_PAGE, "" },
};

START_TEST(each_path_leads_to_its_route)
{
	ck_assert_int_eq(parsed(HTTP_GET, paths[_i].target), 0);
	ck_assert_int_eq(route.kind, paths[_i].kind);
	ck_assert_str_eq(route.id, paths[_i].id);
}
END_TEST

START_TEST(a_sandbox_is_woken_by_post)
{
	ck_assert_int_eq(parsed(HTTP_POST, "/v1/sandboxes/a1/wake"), 0);
	ck_assert_int_eq(route.kind, CONTROL_TARGET_WAKE);
	ck_assert_str_eq(route.id, "a1");
	ck_assert(control_target_is_change(HTTP_POST));
}
END_TEST

START_TEST(any_other_path_is_not_found)
{
	static const char *const unknown[] = { "",
					       "*",
					       "v1/status",
					       "/v1",
					       "/v1/",
					       "/v1/status/",
					       "/v1//status",
					       "/v1/sandboxes/a1/",
					       "/v1/sandboxes/a1/x",
					       "/v1/sandboxes/a1/b/c",
					       "/%761/status",
					       "/HEALTHZ",
					       "/v1/sandboxesx" };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ck_assert_int_eq(parsed(HTTP_GET, unknown[i]), -1);
		ck_assert_int_eq(problem.kind, PROBLEM_NOT_FOUND);
	}
}
END_TEST

START_TEST(a_bad_id_is_blamed_before_anything_behind_it)
{
	static const char *const bad[] = {
		"/v1/sandboxes/",
		"/v1/sandboxes//",
		"/v1/sandboxes/..",
		"/v1/sandboxes/../x",
		"/v1/sandboxes/%2e%2e",
		"/v1/sandboxes/a%2Fb",
		"/v1/sandboxes/a%00",
		"/v1/sandboxes/a%",
		"/v1/sandboxes/a%0",
		"/v1/sandboxes/a%0g",
		"/v1/sandboxes/a%20b",
		"/v1/sandboxes/a+b",
		"/v1/sandboxes/-a",
		"/v1/sandboxes/a%00/reach",
		"/v1/sandboxes/?wait=ready",
		"/v1/sandboxes/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(parsed(HTTP_PUT, bad[i]), -1);
		ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
		ck_assert_str_eq(problem.field, "id");
	}
}
END_TEST

START_TEST(a_method_that_the_path_lacks_is_told_with_those_it_has)
{
	ck_assert_int_eq(parsed(HTTP_PUT, "/v1/status?x=1"), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_NOT_ALLOWED);
	ck_assert_str_eq(control_target_allow(&route), "GET, HEAD");
	ck_assert_int_eq(parsed(HTTP_OTHER, "/v1/sandboxes/a1"), -1);
	ck_assert_str_eq(control_target_allow(&route), "GET, HEAD, PUT, PATCH, DELETE");
	ck_assert_int_eq(parsed(HTTP_POST, "/v1/sandboxes/a1"), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_NOT_ALLOWED);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1/wake"), -1);
	ck_assert_str_eq(control_target_allow(&route), "POST");
	ck_assert_int_eq(parsed(HTTP_HEAD, "/v1/events"), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_NOT_ALLOWED);
}
END_TEST

START_TEST(query_parameters_are_read)
{
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes?state=ready&label=a=b=c&label=k+1=%41%26"), 0);
	ck_assert(route.has_state && route.state == SANDBOX_READY);
	ck_assert_uint_eq(route.label_count, 2);
	ck_assert_str_eq(route.labels[0].key, "a");
	ck_assert_str_eq(route.labels[0].value, "b=c");
	ck_assert_str_eq(route.labels[1].key, "k 1");
	ck_assert_str_eq(route.labels[1].value, "A&");

	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes"), 0);
	ck_assert(!route.wake_asked);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes?wake=asked&state=paused"), 0);
	ck_assert(route.wake_asked && route.has_state);

	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1?wait=paused"), 0);
	ck_assert(route.has_wait && route.wait == SANDBOX_PAUSED && route.timeout_s == 30);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1?timeout=300&wait=ready"), 0);
	ck_assert_uint_eq(route.timeout_s, 300);

	ck_assert_int_eq(parsed(HTTP_DELETE, "/v1/sandboxes/a1?drain=0"), 0);
	ck_assert(route.has_drain && route.drain_s == 0);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/events?since=7&boot=abc&sandbox=a1"), 0);
	ck_assert(route.has_since && route.since == 7);
	ck_assert_str_eq(route.boot, "abc");
	ck_assert_str_eq(route.sandbox, "a1");
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1/reach?dest=8.8.8.8&port=53&proto=udp"), 0);
	ck_assert_uint_eq(route.destination, 0x08080808);
	ck_assert(route.port == 53 && route.ip_proto == IPPROTO_UDP);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1/reach?dest=8.8.8.8"), 0);
	ck_assert(route.port == 0 && route.ip_proto == IPPROTO_TCP);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1/reach?dest=8.8.8.8&proto=gre"), 0);
	ck_assert(route.ip_proto == IPPROTO_GRE);
	ck_assert_int_eq(parsed(HTTP_GET, "/v1/sandboxes/a1/reach?dest=8.8.8.8&proto=0"), 0);
	ck_assert(route.ip_proto == 0);
}
END_TEST

static const struct {
	enum http_method method;
	const char *target, *field;
} bad_queries[] = {
	{ HTTP_GET, "/healthz?a=1", "a" },
	{ HTTP_GET, "/v1/sandboxes?wait=ready", "wait" },
	{ HTTP_PUT, "/v1/sandboxes/a1?wait=ready", "wait" },
	{ HTTP_GET, "/v1/sandboxes/a1?drain=1", "drain" },
	{ HTTP_DELETE, "/v1/sandboxes/a1?drain=-1", "drain" },
	{ HTTP_DELETE, "/v1/sandboxes/a1?drain=3601", "drain" },
	{ HTTP_DELETE, "/v1/sandboxes/a1?drain=99999999999999999999999", "drain" },
	{ HTTP_DELETE, "/v1/sandboxes/a1?drain", "drain" },
	{ HTTP_DELETE, "/v1/sandboxes/a1?drain=", "drain" },
	{ HTTP_GET, "/v1/sandboxes?state=ready&state=ready", "state" },
	{ HTTP_GET, "/v1/sandboxes?state=%", "state" },
	{ HTTP_GET, "/v1/sandboxes?state=re%00dy", "state" },
	{ HTTP_GET, "/v1/sandboxes?label==b", "label" },
	{ HTTP_GET, "/v1/sandboxes?wake=", "wake" },
	{ HTTP_GET, "/v1/sandboxes?wake=true", "wake" },
	{ HTTP_GET, "/v1/sandboxes?wake=asked&wake=asked", "wake" },
	{ HTTP_GET, "/v1/sandboxes/a1?wake=asked", "wake" },
	{ HTTP_POST, "/v1/sandboxes/a1/wake?drain=1", "drain" },
	{ HTTP_GET, "/v1/sandboxes/a1?wait=draining", "wait" },
	{ HTTP_GET, "/v1/sandboxes/a1?wait=ready&timeout=1.5", "timeout" },
	{ HTTP_GET, "/v1/sandboxes/a1?timeout=1", "timeout" },
	{ HTTP_GET, "/v1/events?boot=a", "boot" },
	{ HTTP_GET, "/v1/events?since=1", "since" },
	{ HTTP_GET, "/v1/events?since=x&boot=a", "since" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?port=1", "dest" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=::1", "dest" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=1.2.3.4&port=65536", "port" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=1.2.3.4&proto=TCP", "proto" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=1.2.3.4&proto=256", "proto" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=1.2.3.4&proto=", "proto" },
	{ HTTP_GET, "/v1/sandboxes/a1/reach?dest=1.2.3.4&proto=gre&port=1", "port" },
};

START_TEST(a_bad_query_parameter_is_blamed_by_name)
{
	ck_assert_int_eq(parsed(bad_queries[_i].method, bad_queries[_i].target), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
	ck_assert_str_eq(problem.field, bad_queries[_i].field);
}
END_TEST

START_TEST(no_more_labels_than_there_is_room_for)
{
	char target[512] = "/v1/sandboxes?";

	for (int i = 0; i < CONTROL_TARGET_LABELS_MAX; i++)
		strcat(target, "label=a=b&");
	ck_assert_int_eq(parsed(HTTP_GET, target), 0);
	strcat(target, "label=a=b");
	ck_assert_int_eq(parsed(HTTP_GET, target), -1);
	ck_assert_str_eq(problem.field, "label");
}
END_TEST

int main(void)
{
	TCase *targets = tcase_create("targets");
	tcase_add_loop_test(targets, each_path_leads_to_its_route, 0, sizeof(paths) / sizeof(paths[0]));
	tcase_add_test(targets, a_sandbox_is_woken_by_post);
	tcase_add_test(targets, any_other_path_is_not_found);
	tcase_add_test(targets, a_bad_id_is_blamed_before_anything_behind_it);
	tcase_add_test(targets, a_method_that_the_path_lacks_is_told_with_those_it_has);
	TCase *queries = tcase_create("queries");
	tcase_add_test(queries, query_parameters_are_read);
	tcase_add_loop_test(queries, a_bad_query_parameter_is_blamed_by_name, 0,
			    sizeof(bad_queries) / sizeof(bad_queries[0]));
	tcase_add_test(queries, no_more_labels_than_there_is_room_for);

	Suite *suite = suite_create("route");
	suite_add_tcase(suite, targets);
	suite_add_tcase(suite, queries);

	return run_suite(suite);
}
