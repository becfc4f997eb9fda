/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread takes its jobs by urgency, and in a deferral only those that a caller waits for. */
#include "fabric/job.h"

#include "base/clock.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <semaphore.h>

enum { HUSH_MS = 200, HOUR_MS = 3600000 };

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

/* ---- the thread is busy, so that all jobs are in its queue before it takes the first ---- */

static struct noted busy;
static sem_t begun, released;

static int stand_still(struct job *job)
{
	(void)job;
	sem_post(&begun);
	sem_wait(&released);
	return 0;
}

static void keep_busy(void)
{
	busy = (struct noted){ .job = { .run = stand_still, .finish = finish } };
	fabric_job_thread_post(thread, &busy.job, JOB_CLAIM);
	sem_wait(&begun);
}

static void setup(void)
{
	struct err err;

	sem_init(&begun, 0, 0);
	sem_init(&released, 0, 0);

	mailbox = base_mailbox_new(NULL, &err);
	ck_assert_ptr_nonnull(mailbox);
	thread = fabric_job_thread_new("test", mailbox, false, &err);
	ck_assert_ptr_nonnull(thread);
}

static void teardown(void)
{
	fabric_job_thread_stop(thread);
	base_mailbox_free(mailbox);
	fabric_job_thread_free(thread);
}

static void post(struct noted *noted, enum job_urgency urgency)
{
	*noted = (struct noted){ .job = { .run = run, .finish = finish } };
	fabric_job_thread_post(thread, &noted->job, urgency);
}

static void await(const struct noted *noted)
{
	while (!noted->finished)
		base_mailbox_wait(mailbox);
}

static void expect_cancelled(const struct noted *noted)
{
	await(noted);
	ck_assert(noted->job.failed);
	ck_assert_int_eq(noted->job.err.code, ECANCELED);
}

START_TEST(in_a_deferral_only_urgent_jobs_are_begun)
{
	struct noted refill, removal, claim;

	fabric_job_thread_defer(thread, clock_now_ms() + HOUR_MS);
	post(&refill, JOB_REFILL);
	post(&removal, JOB_REMOVAL);
	for (int i = 0; i < 3; i++) {
		post(&claim, JOB_CLAIM);
		await(&claim);
	}
	ck_assert(!claim.job.failed && !refill.finished && !removal.finished);
	fabric_job_thread_stop(thread);
	expect_cancelled(&refill);
	expect_cancelled(&removal);
}
END_TEST

START_TEST(after_a_deferral_the_rest_is_begun_by_urgency)
{
	struct noted refill, removal;
	uint64_t until = clock_now_ms() + HUSH_MS;

	keep_busy();
	fabric_job_thread_defer(thread, until);
	post(&refill, JOB_REFILL);
	post(&removal, JOB_REMOVAL);
	sem_post(&released);
	/* A caller may wait for a removal, and none waits for a refill. */
	await(&removal);
	await(&refill);
	ck_assert_uint_ge(removal.run_ms, until);
	ck_assert_uint_ge(refill.run_ms, removal.run_ms);
}
END_TEST

START_TEST(a_deferral_is_made_longer_and_never_shorter)
{
	struct noted refill;
	uint64_t until = clock_now_ms() + HUSH_MS;

	keep_busy();
	fabric_job_thread_defer(thread, until - HUSH_MS / 2);
	post(&refill, JOB_REFILL);
	fabric_job_thread_defer(thread, until);
	fabric_job_thread_defer(thread, until - HUSH_MS / 2);
	sem_post(&released);
	await(&refill);
	ck_assert_uint_ge(refill.run_ms, until);
}
END_TEST

START_TEST(a_job_that_a_caller_waits_for_by_now_is_begun_in_a_deferral)
{
	struct noted refill, urged;

	fabric_job_thread_defer(thread, clock_now_ms() + HOUR_MS);
	post(&refill, JOB_REFILL);
	post(&urged, JOB_REFILL);
	fabric_job_thread_urge(thread, &urged.job, JOB_REFILL, JOB_CLAIM);
	await(&urged);
	ck_assert(!urged.job.failed && !refill.finished);
	/* A job that was begun, or is over, is left alone. */
	fabric_job_thread_urge(thread, &urged.job, JOB_REFILL, JOB_CLAIM);
	fabric_job_thread_stop(thread);
	expect_cancelled(&refill);
}
END_TEST

START_TEST(a_job_that_is_withdrawn_is_not_run)
{
	struct noted withdrawn, other;

	fabric_job_thread_defer(thread, clock_now_ms() + HOUR_MS);
	post(&withdrawn, JOB_REFILL);
	fabric_job_thread_withdraw(thread, &withdrawn.job, JOB_REFILL);
	expect_cancelled(&withdrawn);
	ck_assert_uint_eq(withdrawn.run_ms, 0);
	/* It does not wait any more, so nothing happens to it or to another. */
	post(&other, JOB_CLAIM);
	await(&other);
	fabric_job_thread_withdraw(thread, &other.job, JOB_CLAIM);
	ck_assert(!other.job.failed);
}
END_TEST

START_TEST(deferred_jobs_are_finished_when_the_thread_stops)
{
	struct noted refill;

	fabric_job_thread_defer(thread, clock_now_ms() + HOUR_MS);
	post(&refill, JOB_REFILL);
	fabric_job_thread_stop(thread);
	expect_cancelled(&refill);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job");
	TCase *tests = tcase_create("deferral");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, in_a_deferral_only_urgent_jobs_are_begun);
	tcase_add_test(tests, after_a_deferral_the_rest_is_begun_by_urgency);
	tcase_add_test(tests, a_deferral_is_made_longer_and_never_shorter);
	tcase_add_test(tests, a_job_that_a_caller_waits_for_by_now_is_begun_in_a_deferral);
	tcase_add_test(tests, a_job_that_is_withdrawn_is_not_run);
	tcase_add_test(tests, deferred_jobs_are_finished_when_the_thread_stops);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
