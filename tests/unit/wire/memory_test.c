/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Valid bodies, while an allocation of their reading fails, ours or jansson's: each is read as it is, or refused for want of memory.
 */
#include "wire/wire.h"

#include "config/config.h"
#include "registry/problem.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static bool failed, fail_once;

static void *json_malloc(size_t size)
{
	return malloc(size);
}

/* Texts and numbers longer than the 16 bytes for which jansson's lexer has room from the start. */
#define LONG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LABELS                                                                                                         \
	"\"labels\": {\"long-key-of-27-characters.x\": \"" LONG LONG "\", \"escaped\": \"" LONG                        \
	"\\u00e4\\\"\", \"short\": \"\"}"
#define POLICY                                                                                                         \
	"\"egress\": {\"allow\": [\"192.0.2.0/24\", {\"cidr\": \"203.0.113.100/32\", \"proto\": \"tcp\", \"ports\": "  \
	"[443]}]}"

static const char put_body[] =
    "{\"ports\": [49983, {\"guest_port\": 8080, \"listen\": [\"127.0.0.1:18080\", \"[::1]:18081\"]}], "
    "\"limits\": {\"connections\": 7, \"idle_ms\": 9}, " LABELS ", " POLICY "}";
static const char patch_body[] = "{\"publish\": [80, {\"guest_port\": 8080, \"listen\": \"localhost:18080\"}], "
				 "\"unpublish\": [\"127.0.0.1:18082\", 81], "
				 "\"paused\": false, \"flows\": \"reset\", " LABELS ", " POLICY "}";

static struct config *config;
static struct problem problem;

static void setup(void)
{
	json_set_alloc_funcs(json_malloc, free);
	config = config_default();
	ck_assert_ptr_nonnull(config);
}

static void teardown(void)
{
	config_free(config);
}

static void expect_labels(const struct spec *spec)
{
	ck_assert_uint_eq(spec->label_count, 3);
	ck_assert_str_eq(spec->labels[0].value, LONG "\xc3\xa4\"");
	ck_assert_str_eq(spec->labels[1].key, "long-key-of-27-characters.x");
	ck_assert_str_eq(spec->labels[1].value, LONG LONG);
	ck_assert_uint_eq(spec->egress.allow_count, 2);
}

/* While the NUMBER-th allocation fails. Whether it was read. */
static bool put(unsigned number)
{
	faults_arm_memory(number, !fail_once);
	json_t *json = wire_parse_body(put_body, strlen(put_body), &problem);
	struct spec *spec = json ? wire_read_spec(json, config, &problem) : NULL;
	failed = faults_disarm();
	json_decref(json);
	if (spec)
		expect_labels(spec);
	registry_spec_free(spec);
	return spec != NULL;
}

static bool patch(unsigned number)
{
	struct spec_patch patch = { 0 };

	faults_arm_memory(number, !fail_once);
	json_t *json = wire_parse_body(patch_body, strlen(patch_body), &problem);
	bool done = json && wire_read_patch(json, config, &patch, &problem) == 0;
	failed = faults_disarm();
	json_decref(json);
	if (done)
		expect_labels(patch.given);
	registry_spec_patch_clear(&patch);
	return done;
}

static bool empty(unsigned number)
{
	faults_arm_memory(number, !fail_once);
	json_t *json = wire_parse_body("", 0, &problem);
	failed = faults_disarm();
	json_decref(json);
	return json != NULL;
}

static bool (*const readings[])(unsigned number) = { put, patch, empty };

START_TEST(want_of_memory_is_no_fault_of_the_body)
{
	unsigned number = 0;

	fail_once = _i % 2;
	do {
		bool done = readings[_i / 2](++number);

		ck_assert_msg(done != failed, "allocation %u: done %d, failed %d: %s", number, done, failed,
			      problem.detail);
		ck_assert_msg(done || problem.kind == PROBLEM_UNAVAILABLE, "allocation %u: %s: %s", number,
			      problem.field, problem.detail);
	} while (failed);
	ck_assert_uint_gt(number, 1);
}
END_TEST

/* What is wrong with a body is still said when memory is back. */
START_TEST(a_fault_of_the_body_is_told)
{
	ck_assert(!put(4));
	ck_assert_ptr_null(wire_parse_body("{\"a\": }", 8, &problem));
	ck_assert_int_eq(problem.kind, PROBLEM_BAD_REQUEST);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire/memory");
	TCase *tests = tcase_create("memory");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, want_of_memory_is_no_fault_of_the_body, 0,
			    2 * sizeof(readings) / sizeof(readings[0]));
	tcase_add_test(tests, a_fault_of_the_body_is_told);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
