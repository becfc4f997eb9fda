/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread takes its jobs by urgency, and in a hush only those that somebody waits for. */
#include "fabric/job.h"

#include "base/clock.h"
#include "run_suite.h"

#include <check.h>
#include <errno.h>

enum { HUSH_MS = 200 };

struct noted {
	struct job job;
	uint64_t run_ms;
	bool finished;
};

static struct mailbox *mailbox;
static struct job_thread *thread;

static int run(struct job *job)
{
	((struct noted *)job)->run_ms = clock_now_ms();
	return 0;
}

static void finish(struct job *job)
{
	((struct noted *)job)->finished = true;
}

static void setup(void)
{
	struct err err;

	mailbox = mailbox_new(NULL, &err);
	ck_assert_ptr_nonnull(mailbox);
	thread = job_thread_new("test", mailbox, false, &err);
	ck_assert_ptr_nonnull(thread);
}

static void teardown(void)
{
	job_thread_stop(thread);
	mailbox_free(mailbox);
	job_thread_free(thread);
}

static void post(struct noted *noted, enum job_urgency urgency)
{
	*noted = (struct noted){ .job = { .run = run, .finish = finish } };
	job_thread_post(thread, &noted->job, urgency);
}

static void await(const struct noted *noted)
{
	while (!noted->finished)
		mailbox_wait(mailbox);
}

START_TEST(in_a_hush_only_what_is_urgent_is_begun)
{
	struct noted refill, removal, claim;
	uint64_t until = clock_now_ms() + HUSH_MS;

	job_thread_hush(thread, until);
	post(&refill, JOB_REFILL);
	post(&removal, JOB_REMOVAL);
	post(&claim, JOB_CLAIM);
	await(&claim);
	ck_assert(!refill.finished && !removal.finished);
	/* Somebody may wait for a removal, and for a refill nobody does. */
	await(&removal);
	await(&refill);
	ck_assert_uint_lt(claim.run_ms, until);
	ck_assert_uint_ge(removal.run_ms, until);
	ck_assert_uint_ge(refill.run_ms, removal.run_ms);
}
END_TEST

START_TEST(a_hush_is_made_longer_and_never_shorter)
{
	struct noted refill;
	uint64_t until = clock_now_ms() + HUSH_MS;

	job_thread_hush(thread, until - HUSH_MS / 2);
	post(&refill, JOB_REFILL);
	job_thread_hush(thread, until);
	job_thread_hush(thread, until - HUSH_MS / 2);
	await(&refill);
	ck_assert_uint_ge(refill.run_ms, until);
}
END_TEST

START_TEST(a_job_that_somebody_waits_for_by_now_is_begun_in_a_hush)
{
	struct noted refill, urged;
	uint64_t until = clock_now_ms() + HUSH_MS;

	job_thread_hush(thread, until);
	post(&refill, JOB_REFILL);
	post(&urged, JOB_REFILL);
	job_thread_urge(thread, &urged.job, JOB_REFILL, JOB_CLAIM);
	await(&urged);
	ck_assert(!refill.finished);
	ck_assert_uint_lt(urged.run_ms, until);
	/* One that was begun, or is over, is left alone. */
	job_thread_urge(thread, &urged.job, JOB_REFILL, JOB_CLAIM);
	await(&refill);
	ck_assert_uint_ge(refill.run_ms, until);
}
END_TEST

START_TEST(what_a_hush_put_off_is_finished_when_the_thread_stops)
{
	struct noted refill;

	job_thread_hush(thread, clock_now_ms() + 3600000);
	post(&refill, JOB_REFILL);
	job_thread_stop(thread);
	await(&refill);
	ck_assert(refill.job.failed);
	ck_assert_int_eq(refill.job.err.code, ECANCELED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job");
	TCase *tests = tcase_create("hush");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, in_a_hush_only_what_is_urgent_is_begun);
	tcase_add_test(tests, a_hush_is_made_longer_and_never_shorter);
	tcase_add_test(tests, a_job_that_somebody_waits_for_by_now_is_begun_in_a_hush);
	tcase_add_test(tests, what_a_hush_put_off_is_finished_when_the_thread_stops);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
