/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names in PUT, PATCH and DELETE. */
#include "daemon/patch.h"
#include "daemon/register.h"
#include "daemon/tenant.h"
#include "daemon/unregister.h"
#include "unit/daemon/flow_fixture.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A PATCH that gives the sandbox that TEXT means the name NAME. */
static struct control_request *name_request(struct control_reply *reply, const char *text, const char *name)
{
	struct control_request *request = fake_request(reply, HTTP_PATCH, text);
	json_t *body = json_pack("{s:s}", "name", name);
	struct problem problem;

	ck_assert_int_eq(wire_read_patch(body, weftd.config, &request->patch, &problem), 0);
	json_decref(body);
	return request;
}

static void name_it(struct control_reply *reply, const char *text, const char *name)
{
	daemon_patch(&weftd, name_request(reply, text, name));
}

START_TEST(put_after_the_name_was_changed_finds_the_same)
{
	struct control_reply reply;
	struct control_request *request;

	have_sandbox();
	name_it(&reply, "a1", "web");
	assert_answered(&reply, 200);
	put(&reply);
	assert_answered(&reply, 200);
	request = put_request(&reply);
	strcpy(request->spec->name, "other");
	daemon_register(&weftd, request);
	assert_answered(&reply, 200);
	ck_assert_str_eq(found()->spec->name, "web");
}
END_TEST

START_TEST(put_of_an_id_that_is_a_name_is_refused)
{
	struct control_reply reply;
	struct control_request *request;

	have_sandbox();
	name_it(&reply, "a1", "web");
	request = fake_request(&reply, HTTP_PUT, "web");
	request->spec = registry_spec_new(weftd.config);
	daemon_register(&weftd, request);
	assert_answered(&reply, 409);
	ck_assert_uint_eq(registry_count(weftd.registry), 1);
	ck_assert_uint_eq(rooms.routes, 1);
}
END_TEST

START_TEST(a_change_by_name_that_waits_keeps_its_sandbox)
{
	struct control_reply first, second, third;

	have_sandbox();
	name_it(&first, "a1", "web");
	/* The second takes the name away while the third, by that name, waits. */
	daemon_tenant_of(found())->busy = true;
	name_it(&second, "web", "");
	name_it(&third, "web", "db");
	daemon_tenant_of(found())->busy = false;
	control_park_run_sandbox(&weftd.parked, "a1");
	assert_answered(&second, 200);
	assert_answered(&third, 200);
	ck_assert_str_eq(found()->spec->name, "db");
	daemon_unregister(&weftd, fake_request(&third, HTTP_DELETE, "db"));
	settle();
	assert_answered(&third, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(a_name_that_cannot_be_written_is_not_given)
{
	struct control_reply reply;

	have_sandbox();
	name_it(&reply, "a1", "web");
	rooms.store_error = ENOSPC;
	name_it(&reply, "a1", "db");
	settle();
	assert_answered(&reply, 500);
	ck_assert_str_eq(found()->spec->name, "web");
	ck_assert_ptr_eq(registry_lookup(weftd.registry, "web"), found());
	ck_assert_ptr_null(registry_lookup(weftd.registry, "db"));
}
END_TEST

/* Each allocation, one after the other, fails: the sandbox is renamed, or it has the name that it had. */
START_TEST(a_renaming_that_finds_no_memory_is_whole_or_none)
{
	have_sandbox();
	for (unsigned number = 1;; number++) {
		struct control_reply reply;
		struct control_request *request;
		char wanted[16];

		snprintf(wanted, sizeof(wanted), "n%u", number);
		request = name_request(&reply, "a1", wanted);
		faults_arm_memory(number, false);
		daemon_patch(&weftd, request);
		bool failed = faults_disarm();
		settle();
		bool renamed = strcmp(found()->spec->name, wanted) == 0;
		ck_assert_uint_eq(reply.answers, 1);
		ck_assert_ptr_eq(registry_lookup(weftd.registry, wanted), renamed ? found() : NULL);
		ck_assert_ptr_eq(registry_lookup(weftd.registry, "a1"), found());
		ck_assert(renamed || reply.status == 503);
		if (!failed)
			break;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("name");
	TCase *tcase = tcase_create("name");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, flow_setup, flow_teardown);
	tcase_add_test(tcase, put_after_the_name_was_changed_finds_the_same);
	tcase_add_test(tcase, put_of_an_id_that_is_a_name_is_refused);
	tcase_add_test(tcase, a_change_by_name_that_waits_keeps_its_sandbox);
	tcase_add_test(tcase, a_name_that_cannot_be_written_is_not_given);
	tcase_add_test(tcase, a_renaming_that_finds_no_memory_is_whole_or_none);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
