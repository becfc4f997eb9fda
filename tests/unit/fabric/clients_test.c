/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose end is asked of the kernel, when, and how often. The claimer and the kernel are pretended. */
#include "base/clock.h"
#include "fabric/answer.h"
#include "fabric/state.h"
#include "kernel/sock_kill.h"
#include "kernel/sock_list.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 0x0a0b0001, SECOND = 0x0a0b0002, CALLS = 8 };

/* ---- What the kernel was asked for ---- */

static struct {
	uint32_t ips[CALLS];
	uint64_t before_ns[CALLS];
	size_t count;
	uint16_t port;
	enum proto proto;
	bool led_only, knows_origins;
} calls[CALLS];

static size_t call_count;
static int kill_error;

int kern_sock_kill_to(const struct kern_sock_filter *filter, size_t *count, struct err *err)
{
	ck_assert_uint_lt(call_count, CALLS);
	for (size_t i = 0; i < filter->dest_count; i++) {
		calls[call_count].ips[i] = filter->dest_ips[i];
		calls[call_count].before_ns[i] = filter->led_before_ns[i];
	}
	calls[call_count].count = filter->dest_count;
	calls[call_count].port = filter->dest_port;
	calls[call_count].proto = filter->proto;
	calls[call_count].led_only = filter->led_only;
	calls[call_count].knows_origins = filter->origins >= 0 && fcntl(filter->origins, F_GETFD) >= 0;
	call_count++;
	*count = 0;
	return kill_error ? err_set(err, kill_error, "fake") : 0;
}

int kern_sock_kill_all(int netns_fd, struct err *err)
{
	(void)netns_fd;
	(void)err;
	return 0;
}

/* ---- The claimer, which is busy until it is told ---- */

static struct fabric fabric;
static struct job *posted;

void fabric_job_thread_post(struct job_thread *thread, struct job *job, enum job_urgency urgency)
{
	(void)thread;
	(void)urgency;
	ck_assert_ptr_null(posted);
	posted = job;
}

const struct err *fabric_job_failure(const struct job *job)
{
	return job->failed ? &job->err : NULL;
}

static bool claimer_works(void)
{
	struct job *job = posted;

	call_count = 0;
	if (!job)
		return false;
	posted = NULL;
	job->failed = job->run(job) < 0;
	job->finish(job);
	return true;
}

/* Until a timer has given the claimer something to do. */
static void claimer_works_later(void)
{
	while (!claimer_works())
		event_base_loop(fabric.base, EVLOOP_ONCE);
}

static int origins;

static void setup(void)
{
	struct err err;

	kill_error = 0;
	posted = NULL;
	fabric.base = event_base_new();
	fabric.clients = fabric_clients_new(&fabric, &err);
	ck_assert_ptr_nonnull(fabric.clients);
	origins = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void teardown(void)
{
	close(origins);
	fabric_clients_free(fabric.clients);
	event_base_free(fabric.base);
}

START_TEST(ends_that_are_due_together_are_one_dump_and_a_late_one)
{
	uint64_t begun_ns = clock_now_us() * 1000;

	fabric_end_clients(&fabric, FIRST, origins);
	ck_assert(claimer_works());
	ck_assert_uint_eq(call_count, 1);
	ck_assert_uint_eq(calls[0].count, 1);
	ck_assert(calls[0].knows_origins && !calls[0].led_only);
	ck_assert_uint_gt(calls[0].before_ns[0], begun_ns);
	fabric_end_clients(&fabric, FIRST, origins);
	/* These come while that waits for the claimer. */
	fabric_end_clients(&fabric, SECOND, origins);
	fabric_end_clients(&fabric, FIRST, origins);
	uint64_t due_ns = (clock_now_us() + 1) * 1000;
	ck_assert(claimer_works() && claimer_works());
	ck_assert_uint_eq(call_count, 1);
	ck_assert_uint_eq(calls[0].count, 2);
	ck_assert(calls[0].ips[0] == SECOND && calls[0].ips[1] == FIRST);
	/* Who was led in the meantime is another guest's. */
	ck_assert_uint_le(calls[0].before_ns[1], due_ns);
	size_t late = 0;
	while (late < 4) {
		claimer_works_later();
		ck_assert_uint_eq(call_count, 1);
		ck_assert(calls[0].knows_origins && calls[0].led_only);
		ck_assert_uint_le(calls[0].before_ns[0], due_ns);
		late += calls[0].count;
	}
	ck_assert_uint_eq(late, 4);
	ck_assert_ptr_null(posted);
	ck_assert(!event_base_get_num_events(fabric.base, EVENT_BASE_COUNT_ADDED));
}
END_TEST

START_TEST(where_nobody_can_be_told_apart_there_is_no_late_dump)
{
	fabric_end_clients(&fabric, FIRST, -1);
	ck_assert(claimer_works());
	ck_assert_uint_eq(call_count, 1);
	ck_assert(!calls[0].knows_origins);
	ck_assert(!event_base_get_num_events(fabric.base, EVENT_BASE_COUNT_ADDED));
}
END_TEST

START_TEST(datagrams_have_a_dump_of_their_own)
{
	fabric_end_datagrams(&fabric, FIRST, 53);
	fabric_end_clients(&fabric, FIRST, -1);
	fabric_end_datagrams(&fabric, FIRST, 0);
	ck_assert(claimer_works());
	ck_assert_uint_eq(call_count, 1);
	ck_assert(calls[0].port == 53 && calls[0].proto == PROTO_UDP);
	ck_assert(claimer_works());
	ck_assert_uint_eq(call_count, 2);
	ck_assert(calls[0].proto == PROTO_TCP && calls[1].proto == PROTO_UDP && !calls[1].port);
	ck_assert(!event_base_get_num_events(fabric.base, EVENT_BASE_COUNT_ADDED));
}
END_TEST

START_TEST(a_shortage_is_waited_for_and_nothing_else)
{
	kill_error = ENOMEM;
	fabric_end_clients(&fabric, FIRST, -1);
	ck_assert(claimer_works());
	ck_assert_ptr_null(posted);
	claimer_works_later();
	ck_assert_uint_eq(calls[0].ips[0], FIRST);
	kill_error = ENOENT; /* a kernel without the means */
	claimer_works_later();
	ck_assert_uint_eq(call_count, 1);
	ck_assert_ptr_null(posted);
	ck_assert(!event_base_get_num_events(fabric.base, EVENT_BASE_COUNT_ADDED));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clients");
	TCase *ending = tcase_create("ending");

	tcase_set_timeout(ending, 120);
	tcase_add_checked_fixture(ending, setup, teardown);
	tcase_add_test(ending, ends_that_are_due_together_are_one_dump_and_a_late_one);
	tcase_add_test(ending, where_nobody_can_be_told_apart_there_is_no_late_dump);
	tcase_add_test(ending, datagrams_have_a_dump_of_their_own);
	tcase_add_test(ending, a_shortage_is_waited_for_and_nothing_else);
	suite_add_tcase(suite, ending);
	return run_suite(suite);
}
