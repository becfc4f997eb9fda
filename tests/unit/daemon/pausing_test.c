/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's part of a pause and of a resume, and what else depends on how a resume ends. */
#include "daemon/loopback.h"
#include "daemon/patch.h"
#include "daemon/pausing.h"
#include "daemon/tenant.h"
#include "unit/daemon/asleep_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>

START_TEST(a_pause_that_the_kernel_lacks_something_for_is_one_all_the_same)
{
	struct control_reply reply;

	have_sandbox();
	patch(&reply);
	fake_turned(ENOBUFS);
	assert_answered(&reply, 200);
	ck_assert(found()->paused);
	ck_assert_uint_eq(rooms.troubles, 1);
	for (unsigned i = 0; i < 2; i++) {
		daemon_pausing_try_again(&weftd, found());
		ck_assert(daemon_tenant_of(found())->busy);
		fake_turned(ENOBUFS);
	}
	ck_assert_uint_eq(rooms.troubles, 1);
	daemon_pausing_try_again(&weftd, found());
	fake_turned(0);
	ck_assert_uint_eq(rooms.turns.pauses, 4);
	ck_assert_uint_eq(rooms.repairs, 1);
	daemon_pausing_try_again(&weftd, found());
	ck_assert_ptr_null(rooms.turning);
}
END_TEST

START_TEST(a_resume_that_failed_is_repeated_as_it_was_asked_for)
{
	have_sandbox();
	change("{\"paused\": true}", 200);

	struct control_reply reply;
	struct control_request *request = fake_request(&reply, HTTP_PATCH, "a1");

	request->patch.has_paused = request->patch.reset_flows = true;
	daemon_patch(&weftd, request);
	ck_assert(found()->paused);
	fake_turned(ENOMEM);
	assert_answered(&reply, 200);
	ck_assert(!found()->paused);
	ck_assert(found()->strict);
	daemon_pausing_try_again(&weftd, found());
	fake_turned(0);
	ck_assert_uint_eq(rooms.turns.resumes, 2);
	ck_assert(!rooms.turns.kept);
}
END_TEST

/* A rollback may have brought a guest of before its server started. */
START_TEST(ports_have_to_answer_anew_where_flows_were_reset)
{
	have_sandbox();
	daemon_loopback_on_answered(daemon_tenant_of(found()), 81, PROTO_TCP);
	change("{\"paused\": true}", 200);
	change(_i ? "{\"paused\": false, \"flows\": \"reset\"}" : "{\"paused\": false}", 200);
	ck_assert_uint_eq(daemon_tenant_of(found())->entered.answered.count, !_i);
}
END_TEST

START_TEST(a_resume_that_a_stop_cancels_leaves_it_paused)
{
	have_sandbox();
	change("{\"paused\": true}", 200);

	struct control_reply reply;
	struct control_request *request = fake_request(&reply, HTTP_PATCH, "a1");

	request->patch.has_paused = true;
	daemon_patch(&weftd, request);
	daemon_become(&weftd, DAEMON_STOPPING);
	fake_turned(ECANCELED);
	assert_answered(&reply, 503);
	ck_assert(found()->paused);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon/pausing");
	TCase *kernel = tcase_create("kernel");

	tcase_add_checked_fixture(kernel, asleep_setup, asleep_teardown);
	tcase_add_test(kernel, a_pause_that_the_kernel_lacks_something_for_is_one_all_the_same);
	tcase_add_test(kernel, a_resume_that_failed_is_repeated_as_it_was_asked_for);
	tcase_add_loop_test(kernel, ports_have_to_answer_anew_where_flows_were_reset, 0, 2);
	tcase_add_test(kernel, a_resume_that_a_stop_cancels_leaves_it_paused);
	suite_add_tcase(suite, kernel);
	return run_suite(suite);
}
