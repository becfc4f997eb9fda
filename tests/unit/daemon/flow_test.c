/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PUT, PATCH and DELETE of sandboxes, over the real registry: each request is answered once, whatever happens. */
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/patch.h"
#include "daemon/pausing.h"
#include "daemon/register.h"
#include "daemon/tenant.h"
#include "daemon/unregister.h"
#include "unit/daemon/flow_fixture.h"
#include "unit/faults.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

START_TEST(put_is_answered_when_the_slot_is_made)
{
	struct control_reply reply;

	put(&reply);
	ck_assert_uint_eq(reply.answers, 0);
	ck_assert_int_eq(found()->state, SANDBOX_CREATING);
	fake_made(0);
	assert_answered(&reply, 201);
	ck_assert_int_eq(found()->state, SANDBOX_WAITING);
	ck_assert_uint_eq(rooms.files, 1);
}
END_TEST

START_TEST(put_of_the_same_is_answered_after_the_first)
{
	struct control_reply first, second;

	put(&first);
	put(&second);
	ck_assert_uint_eq(second.answers, 0);
	fake_made(0);
	assert_answered(&first, 201);
	assert_answered(&second, 200);
}
END_TEST

static const struct {
	int code, status;
} failures[] = { { EIO, 500 }, { ENOMEM, 503 } };

START_TEST(failed_put_is_answered_when_all_is_undone)
{
	struct control_reply reply;

	put(&reply);
	fake_made(failures[_i].code);
	ck_assert_uint_eq(reply.answers, 0);
	fake_closed();
	assert_answered(&reply, failures[_i].status);
	assert_nothing_left();
}
END_TEST

START_TEST(put_that_a_stop_cancels_is_answered_at_once)
{
	struct control_reply reply;

	put(&reply);
	daemon_become(&weftd, DAEMON_STOPPING);
	fake_made(ECANCELED);
	assert_answered(&reply, 503);
	fake_closed();
	assert_nothing_left();
}
END_TEST

START_TEST(put_without_a_file_is_undone)
{
	struct control_reply reply;

	rooms.store_error = EIO;
	put(&reply);
	fake_closed();
	assert_answered(&reply, 500);
	assert_nothing_left();
}
END_TEST

START_TEST(put_on_a_foreign_slot_goes_to_another)
{
	struct control_reply reply;

	put(&reply);
	unsigned foreign = found()->slot;
	fake_made(EEXIST);
	fake_closed();
	ck_assert_uint_eq(reply.answers, 0);
	ck_assert_uint_ne(found()->slot, foreign);
	fake_made(0);
	assert_answered(&reply, 201);
	ck_assert_uint_eq(rooms.routes, 1);
}
END_TEST

START_TEST(put_of_one_that_failed_goes_on_with_the_next)
{
	struct control_reply first, second;

	put(&first);
	put(&second);
	fake_made(EIO);
	fake_closed();
	assert_answered(&first, 500);
	ck_assert_uint_eq(second.answers, 0);
	fake_made(0);
	assert_answered(&second, 201);
}
END_TEST

START_TEST(delete_is_answered_when_all_is_gone)
{
	struct control_reply reply;

	have_sandbox();
	delete_it(&reply);
	ck_assert_int_eq(found()->state, SANDBOX_DRAINING);
	fake_closed();
	fake_destroyed(0);
	assert_answered(&reply, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(second_delete_is_answered_with_the_first)
{
	struct control_reply first, second;

	have_sandbox();
	delete_it(&first);
	delete_it(&second);
	fake_closed();
	fake_destroyed(0);
	assert_answered(&first, 204);
	assert_answered(&second, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(second_delete_needs_no_memory)
{
	struct control_reply first, second;
	struct control_request *request;

	have_sandbox();
	request = fake_request(&second, HTTP_DELETE, "a1");
	delete_it(&first);
	faults_arm_memory(1, true);
	daemon_unregister(&weftd, request);
	ck_assert(!faults_disarm());
	fake_closed();
	fake_destroyed(0);
	assert_answered(&first, 204);
	assert_answered(&second, 204);
}
END_TEST

START_TEST(failed_delete_answers_both)
{
	struct control_reply first, second, third;

	have_sandbox();
	delete_it(&first);
	delete_it(&second);
	fake_closed();
	/* As the fabric's report of a foreign object does. */
	registry_sandbox_fail(weftd.registry, found(), FAILURE_TEARDOWN, "teardown", "in the way");
	fake_destroyed(EBUSY);
	assert_answered(&first, 500);
	assert_answered(&second, 500);
	ck_assert_int_eq(found()->state, SANDBOX_FAILED);
	/* And again: its route is gone already. */
	delete_it(&third);
	fake_destroyed(0);
	assert_answered(&third, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(a_delete_for_which_there_was_no_memory_is_no_failure)
{
	struct control_reply first, second;

	have_sandbox();
	delete_it(&first);
	fake_closed();
	fake_destroyed(ENOMEM);
	assert_answered(&first, 503);
	ck_assert_int_eq(found()->state, SANDBOX_DRAINING);
	delete_it(&second);
	fake_destroyed(0);
	assert_answered(&second, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(delete_with_a_drain_is_answered_at_once)
{
	struct control_reply reply;
	struct control_request *request;

	have_sandbox();
	request = fake_request(&reply, HTTP_DELETE, "a1");
	request->target.has_drain = true;
	daemon_unregister(&weftd, request);
	assert_answered(&reply, 202);
	fake_closed();
	fake_destroyed(0);
	assert_nothing_left();
}
END_TEST

START_TEST(delete_during_a_put_waits_for_it)
{
	struct control_reply first, second;

	put(&first);
	delete_it(&second);
	fake_made(0);
	assert_answered(&first, 201);
	ck_assert_uint_eq(second.answers, 0);
	fake_closed();
	fake_destroyed(0);
	assert_answered(&second, 204);
	assert_nothing_left();
}
END_TEST

START_TEST(delete_of_a_put_that_failed_finds_nothing)
{
	struct control_reply first, second;

	put(&first);
	delete_it(&second);
	fake_made(EIO);
	fake_closed();
	assert_answered(&first, 500);
	assert_answered(&second, 404);
}
END_TEST

START_TEST(patch_is_answered_when_it_is_in_force)
{
	struct control_reply reply;

	have_sandbox();
	patch(&reply);
	ck_assert_uint_eq(reply.answers, 0);
	fake_turned(0);
	assert_answered(&reply, 200);
	ck_assert_int_eq(found()->state, SANDBOX_PAUSED);
}
END_TEST

/* In the kernel it failed, for want of memory, or because weftd stops: the status tells whether to ask again. */
START_TEST(failed_patch_says_whether_to_ask_again)
{
	static const struct {
		int code;
		int status;
	} ends[] = { { EINVAL, 500 }, { ENOMEM, 503 }, { ECANCELED, 503 } };
	struct control_reply reply;
	struct control_request *request;
	json_t *body = json_pack("{s:{s:b}}", "egress", "internet", 0);
	struct problem problem;

	have_sandbox();
	request = fake_request(&reply, HTTP_PATCH, "a1");
	ck_assert_int_eq(wire_read_patch(body, weftd.config, &request->patch, &problem), 0);
	json_decref(body);
	daemon_patch(&weftd, request);
	if (ends[_i].code == ECANCELED)
		daemon_become(&weftd, DAEMON_STOPPING);
	fake_updated(ends[_i].code);
	settle();
	assert_answered(&reply, ends[_i].status);
	ck_assert(found()->spec->egress.internet);
}
END_TEST

static void begin_isolation(struct control_reply *reply, bool isolated)
{
	struct control_request *request = fake_request(reply, HTTP_PATCH, "a1");
	json_t *body = json_pack("{s:{s:b}}", "egress", "isolated", isolated);
	struct problem problem;

	ck_assert_int_eq(wire_read_patch(body, weftd.config, &request->patch, &problem), 0);
	json_decref(body);
	daemon_patch(&weftd, request);
}

START_TEST(the_forwarder_isolates_behind_the_kernel_and_opens_before_it)
{
	static const int codes[] = { EINVAL, 0 };
	struct control_reply reply;

	have_sandbox();
	begin_isolation(&reply, true);
	ck_assert(!rooms.isolated);
	fake_updated(0);
	settle();
	assert_answered(&reply, 200);
	ck_assert(rooms.isolated);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		begin_isolation(&reply, false);
		ck_assert(!rooms.isolated);
		fake_updated(codes[i]);
		settle();
		assert_answered(&reply, codes[i] ? 500 : 200);
		ck_assert(rooms.isolated == (codes[i] != 0));
	}
}
END_TEST

START_TEST(patch_during_a_put_waits_for_it)
{
	struct control_reply first, second;

	put(&first);
	patch(&second);
	ck_assert_uint_eq(second.answers, 0);
	fake_made(0);
	assert_answered(&first, 201);
	fake_turned(0);
	assert_answered(&second, 200);
}
END_TEST

START_TEST(patch_of_what_is_not_there_is_refused)
{
	struct control_reply reply;

	patch(&reply);
	assert_answered(&reply, 404);
}
END_TEST

START_TEST(changes_are_refused_while_the_daemon_stops)
{
	struct control_reply first, second;

	have_sandbox();
	daemon_become(&weftd, DAEMON_STOPPING);
	patch(&first);
	assert_answered(&first, 503);
	daemon_register(&weftd, fake_request(&second, HTTP_PUT, "b2"));
	assert_answered(&second, 503);
}
END_TEST

START_TEST(one_still_owed_is_refused_with_its_tenant)
{
	struct control_reply reply;

	put(&reply);
	flow_teardown();
	assert_answered(&reply, 503);
	flow_setup();
}
END_TEST

START_TEST(a_stop_while_loading_brings_no_sandboxes)
{
	struct daemon starting = { .state = DAEMON_LOADING };

	ck_assert(!daemon_is_loaded(&starting));
	daemon_become(&starting, DAEMON_STOPPING);
	ck_assert(!daemon_is_loaded(&starting));
}
END_TEST

START_TEST(a_stop_later_keeps_them)
{
	struct daemon starting = { .state = DAEMON_LOADING };

	daemon_become(&starting, DAEMON_ADOPTING);
	ck_assert(daemon_is_loaded(&starting));
	daemon_become(&starting, DAEMON_RUNNING);
	ck_assert(daemon_is_loaded(&starting));
	daemon_become(&starting, DAEMON_STOPPING);
	ck_assert(daemon_is_loaded(&starting));
}
END_TEST

#ifndef NDEBUG
START_TEST(a_stop_is_for_good)
{
	struct daemon stopping = { .state = DAEMON_STOPPING };

	daemon_become(&stopping, DAEMON_RUNNING);
}
END_TEST
#endif

/* Each allocation of a PUT, one after the other, fails. */
START_TEST(put_that_finds_no_memory_is_503)
{
	for (unsigned number = 1;; number++) {
		struct control_reply reply, again;
		struct control_request *request = put_request(&reply);

		faults_arm_memory(number, _i);
		daemon_register(&weftd, request);
		bool failed = faults_disarm();
		settle();
		assert_answered(&reply, failed ? 503 : 201);
		if (!failed)
			break;
		assert_nothing_left();
		/* And nothing is broken. */
		put(&again);
		settle();
		assert_answered(&again, 201);
		delete_it(&again);
		settle();
		assert_answered(&again, 204);
	}
}
END_TEST

/* Resumes the sandbox, whose pause may have lacked memory for the kernel's part. */
static void end_pause(void)
{
	struct control_reply reply;
	struct control_request *request = fake_request(&reply, HTTP_PATCH, "a1");

	daemon_pausing_try_again(&weftd, found());
	settle();
	ck_assert(!daemon_tenant_of(found())->pausing.owed);
	request->patch.has_paused = true;
	daemon_patch(&weftd, request);
	settle();
	assert_answered(&reply, 200);
	ck_assert(!found()->paused);
}

/* But once it is paused, it is paused. */
START_TEST(patch_that_finds_no_memory_is_503)
{
	have_sandbox();
	for (unsigned number = 1;; number++) {
		struct control_reply reply;
		struct control_request *request = fake_request(&reply, HTTP_PATCH, "a1");

		request->patch.has_paused = request->patch.paused = true;
		faults_arm_memory(number, _i);
		daemon_patch(&weftd, request);
		bool failed = faults_disarm();
		settle();
		assert_answered(&reply, found()->paused ? 200 : 503);
		if (!failed)
			break;
		if (found()->paused)
			end_pause();
	}
}
END_TEST

static void add_tests(TCase *flow)
{
	tcase_add_test(flow, put_is_answered_when_the_slot_is_made);
	tcase_add_test(flow, put_of_the_same_is_answered_after_the_first);
	tcase_add_loop_test(flow, failed_put_is_answered_when_all_is_undone, 0, 2);
	tcase_add_test(flow, put_that_a_stop_cancels_is_answered_at_once);
	tcase_add_test(flow, put_without_a_file_is_undone);
	tcase_add_test(flow, put_on_a_foreign_slot_goes_to_another);
	tcase_add_test(flow, put_of_one_that_failed_goes_on_with_the_next);
	tcase_add_test(flow, delete_is_answered_when_all_is_gone);
	tcase_add_test(flow, second_delete_is_answered_with_the_first);
	tcase_add_test(flow, second_delete_needs_no_memory);
	tcase_add_test(flow, failed_delete_answers_both);
	tcase_add_test(flow, a_delete_for_which_there_was_no_memory_is_no_failure);
	tcase_add_test(flow, delete_with_a_drain_is_answered_at_once);
	tcase_add_test(flow, delete_during_a_put_waits_for_it);
	tcase_add_test(flow, delete_of_a_put_that_failed_finds_nothing);
	tcase_add_test(flow, patch_is_answered_when_it_is_in_force);
	tcase_add_loop_test(flow, failed_patch_says_whether_to_ask_again, 0, 3);
	tcase_add_test(flow, the_forwarder_isolates_behind_the_kernel_and_opens_before_it);
	tcase_add_test(flow, patch_during_a_put_waits_for_it);
	tcase_add_test(flow, patch_of_what_is_not_there_is_refused);
	tcase_add_test(flow, changes_are_refused_while_the_daemon_stops);
	tcase_add_test(flow, one_still_owed_is_refused_with_its_tenant);
	tcase_add_test(flow, a_stop_while_loading_brings_no_sandboxes);
	tcase_add_test(flow, a_stop_later_keeps_them);
#ifndef NDEBUG
	tcase_add_test_raise_signal(flow, a_stop_is_for_good, SIGABRT);
#endif
	tcase_add_loop_test(flow, put_that_finds_no_memory_is_503, 0, 2);
	tcase_add_loop_test(flow, patch_that_finds_no_memory_is_503, 0, 2);
}

int main(void)
{
	Suite *suite = suite_create("flow");
	TCase *flow = tcase_create("flow");

	tcase_add_checked_fixture(flow, flow_setup, flow_teardown);
	add_tests(flow);
	suite_add_tcase(suite, flow);
	return run_suite(suite);
}
