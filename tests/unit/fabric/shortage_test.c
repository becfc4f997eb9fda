/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fabric as a whole while the process has no descriptors, or no memory. Each call is answered once; what cannot be done is
 * refused and undone; and all goes on when the shortage is over.
 *
 * While allocations fail nothing of Check may be called, since it allocates too.
 */
#include "unit/fabric/fabric_fixture.h"
#include "unit/faults.h"

#include "base/clock.h"
#include "fabric/pool.h"
#include "fabric/slot/fault.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ALLOCATIONS_MAX = 2000, POOL = 3 };

struct answer {
	unsigned count;
	int code; /* 0: done */
	int netns_fd;
};

static void on_done(void *context, const struct err *err)
{
	struct answer *answer = context;

	answer->count++;
	answer->code = err ? err->code : 0;
}

static void on_slot(void *context, const struct fabric_slot *slot, const struct err *err)
{
	struct answer *answer = context;

	on_done(context, err);
	answer->netns_fd = slot ? slot->netns_fd : -1;
}

static void on_counts(void *context, const struct fabric_counts *counts, size_t count, const struct err *err)
{
	(void)counts;
	(void)count;
	on_done(context, err);
}

static void on_reach(void *context, const struct fabric_reach *reach, const struct err *err)
{
	(void)reach;
	on_done(context, err);
}

/* Runs the loop until there is an answer, or for LIMIT_MS. */
static void run_until(const struct answer *answer, uint64_t limit_ms)
{
	uint64_t end = clock_now_ms() + limit_ms;

	while (!answer->count && clock_now_ms() < end) {
		event_base_loop(host.base, EVLOOP_NONBLOCK);
		usleep(200);
	}
}

/* ---- the calls ---- */

static void ask_make(unsigned slot, struct answer *answer)
{
	struct fabric_plan plan = fixture_plan(slot, "short");

	fabric_make(host.fabric, &plan, on_slot, answer);
}

static void ask_update(unsigned slot, bool internet, struct answer *answer)
{
	struct fabric_plan plan = fixture_plan(slot, "short");
	struct egress egress = { .internet = internet };

	plan.egress = &egress;
	fabric_update(host.fabric, &plan, on_done, answer);
}

static void ask_open(unsigned slot, struct answer *answer)
{
	ask_update(slot, true, answer);
}

static void ask_close(unsigned slot, struct answer *answer)
{
	ask_update(slot, false, answer);
}

static void ask_flush(unsigned slot, struct answer *answer)
{
	fabric_flush_flows(host.fabric, slot, on_done, answer);
}

static void ask_counts(unsigned slot, struct answer *answer)
{
	fabric_collect(host.fabric, slot, on_counts, answer);
}

static void ask_reach(unsigned slot, struct answer *answer)
{
	fabric_reach(host.fabric, slot, 0x01010101, IPPROTO_TCP, 80, on_reach, answer);
}

typedef void asks(unsigned slot, struct answer *answer);

/* Asks until it is done; fails the test if it never is. */
static struct answer insist(asks *ask, unsigned slot)
{
	struct answer answer;
	uint64_t end = clock_now_ms() + TIMEOUT_MS;

	do {
		answer = (struct answer){ .netns_fd = -1 };
		ask(slot, &answer);
		run_until(&answer, TIMEOUT_MS);
	} while (answer.code && clock_now_ms() < end);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_msg(!answer.code, "%s", strerror(answer.code));
	return answer;
}

static void remove_slot(unsigned slot, int netns_fd)
{
	struct answer answer = { 0 };

	close(netns_fd);
	fabric_destroy(host.fabric, slot, NULL, on_done, &answer);
	run_until(&answer, TIMEOUT_MS);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_msg(!answer.code, "%s", strerror(answer.code));
}

/* ---- memory ---- */

/* Whether the NUMBER-th allocation was reached. */
static bool ask_with_fault(asks *ask, unsigned slot, unsigned number, struct answer *answer)
{
	*answer = (struct answer){ .netns_fd = -1 };
	faults_arm_memory(number, false);
	ask(slot, answer);
	run_until(answer, TIMEOUT_MS);
	bool reached = faults_disarm();

	ck_assert_uint_eq(answer->count, 1);
	ck_assert_msg(reached || !answer->code, "%s", strerror(answer->code));
	return reached;
}

START_TEST(a_slot_is_made_or_refused_without_memory)
{
	struct answer answer;
	bool reached = true;

	for (unsigned number = 1; reached; number++) {
		reached = ask_with_fault(ask_make, 5, number, &answer);
		if (answer.code)
			answer = insist(ask_make, 5);
		remove_slot(5, answer.netns_fd);
		ck_assert_uint_lt(number, ALLOCATIONS_MAX);
	}
	ck_assert_uint_eq(host.seen[5].foreign, 0);
}
END_TEST

START_TEST(a_living_slot_is_asked_and_changed_or_not_without_memory)
{
	static asks *const questions[] = { ask_close, ask_open, ask_flush, ask_counts, ask_reach };
	struct answer living = insist(ask_make, 5), answer;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		for (unsigned number = 1; ask_with_fault(questions[i], 5, number, &answer); number++) {
			if (answer.code)
				insist(questions[i], 5);
			/* Something to be changed. */
			insist(questions[i] == ask_close ? ask_open : ask_close, 5);
			ck_assert_uint_lt(number, ALLOCATIONS_MAX);
		}
	}
	ck_assert_uint_eq(host.seen[5].failed, 0);
	remove_slot(5, living.netns_fd);
}
END_TEST

START_TEST(all_are_refused_while_there_is_no_memory)
{
	static asks *const questions[] = { ask_make, ask_close, ask_flush, ask_counts, ask_reach };
	enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };
	struct answer living = insist(ask_make, 5), answers[QUESTIONS] = { 0 }, gone = { 0 };
	struct answer again[QUESTIONS];

	faults_arm_memory(1, true);
	for (size_t i = 0; i < QUESTIONS; i++)
		questions[i](questions[i] == ask_make ? 6 : 5, &answers[i]);
	memcpy(again, answers, sizeof(answers));
	for (size_t i = 0; i < QUESTIONS; i++)
		run_until(&answers[i], TIMEOUT_MS);
	fabric_destroy(host.fabric, 5, NULL, on_done, &gone);
	run_until(&gone, 500);
	faults_disarm();

	for (size_t i = 0; i < QUESTIONS; i++) {
		/* None before the caller had returned. */
		ck_assert_uint_eq(again[i].count, 0);
		ck_assert_uint_eq(answers[i].count, 1);
		ck_assert_int_eq(answers[i].code, ENOMEM);
	}
	close(living.netns_fd);
	ck_assert_uint_eq(gone.count, 0);
	run_until(&gone, TIMEOUT_MS);
	ck_assert_uint_eq(gone.count, 1);
	ck_assert_int_eq(gone.code, 0);
	answers[0] = insist(ask_make, 6);
	remove_slot(6, answers[0].netns_fd);
}
END_TEST

/* ---- the pool ---- */

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	(void)found;
	(void)count;
	on_done(context, err);
}

static void open_pool(unsigned size)
{
	struct answer answer = { 0 };

	fixture_stop_fabric();
	host.config->pool.size = size;
	host.config->pool.quarantine_ms = 0;
	fixture_start_fabric();
	fabric_scan(host.fabric, on_scanned, &answer);
	run_until(&answer, TIMEOUT_MS);
	ck_assert_uint_eq(answer.count, 1);
	fabric_open(host.fabric);
}

static bool is_full(void *context)
{
	struct fabric_pool pool;

	(void)context;
	fabric_pool_state(host.fabric, &pool);
	return pool.ready == pool.target;
}

START_TEST(a_ready_slot_is_claimed_or_stays_ready_without_memory)
{
	struct answer answer;

	open_pool(POOL);
	bool reached = true;
	for (unsigned number = 1; reached; number++) {
		fixture_await_that(is_full, NULL, "a full pool");
		reached = ask_with_fault(ask_make, fabric_pool_slot(host.fabric), number, &answer);
		if (answer.code) {
			fixture_await_that(is_full, NULL, "a full pool");
			continue;
		}
		remove_slot(1, answer.netns_fd);
		ck_assert_uint_lt(number, ALLOCATIONS_MAX);
	}
}
END_TEST

static uint64_t attempts_ms[8];
static atomic_uint attempts;

static bool refuse_namespace(const char *step)
{
	unsigned number = attempts;

	if (strcmp(step, "namespace") != 0)
		return false;
	if (number < sizeof(attempts_ms) / sizeof(attempts_ms[0]))
		attempts_ms[number] = clock_now_ms();
	attempts++;
	return true;
}

static bool was_tried_four_times(void *context)
{
	(void)context;
	return attempts >= 4;
}

START_TEST(a_pool_that_cannot_be_filled_is_tried_less_and_less)
{
	slot_fault_set(refuse_namespace);
	open_pool(1);
	fixture_await_that(was_tried_four_times, NULL, "four attempts");
	fixture_stop_fabric();
	slot_fault_set(NULL);
	/* The second comes at once, for another number may do. A timer counts from the start of its iteration. */
	ck_assert_uint_ge(attempts_ms[2] - attempts_ms[1], 950);
	ck_assert_uint_ge(attempts_ms[3] - attempts_ms[2], 1950);
}
END_TEST

/* ---- descriptors ---- */

static int taken[1024];
static size_t taken_count;

/* Lowers the limit to just above the numbers in use, and takes those that are free below. */
static rlim_t take_all(void)
{
	struct rlimit limit;
	rlim_t before;
	int highest = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			highest = fd;
	}
	limit.rlim_cur = (rlim_t)highest + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
		taken[taken_count++] = fd;
	return before;
}

static void give_back_all(rlim_t before)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = before;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (taken_count)
		close(taken[--taken_count]);
}

static bool was_repaired(void *context)
{
	(void)context;
	return host.seen[5].repaired > 0;
}

START_TEST(slots_come_are_repaired_and_go_without_descriptors)
{
	struct answer one = insist(ask_make, 5), two, three;
	rlim_t before;

	free(fixture_shell("ip route del 10.11.0.5"));
	before = take_all();
	ck_assert_int_lt(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	fabric_recheck(host.fabric, 5);
	fixture_await_that(was_repaired, NULL, "the repair");
	two = insist(ask_make, 6);
	insist(ask_close, 5);
	insist(ask_reach, 5);
	remove_slot(5, one.netns_fd);
	three = insist(ask_make, 7);
	remove_slot(6, two.netns_fd);
	remove_slot(7, three.netns_fd);
	give_back_all(before);
	ck_assert_uint_eq(host.seen[5].failed + host.seen[6].failed, 0);
}
END_TEST

START_TEST(a_ready_slot_is_claimed_without_descriptors)
{
	struct answer answer;
	rlim_t before;

	open_pool(POOL);
	fixture_await_that(is_full, NULL, "a full pool");
	before = take_all();
	answer = insist(ask_make, 1);
	give_back_all(before);
	remove_slot(1, answer.netns_fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shortage");
	TCase *tcase = tcase_create("fabric");

	tcase_set_timeout(tcase, 300);
	tcase_add_checked_fixture(tcase, fixture_setup, fixture_teardown);
	tcase_add_test(tcase, a_slot_is_made_or_refused_without_memory);
	tcase_add_test(tcase, a_living_slot_is_asked_and_changed_or_not_without_memory);
	tcase_add_test(tcase, all_are_refused_while_there_is_no_memory);
	tcase_add_test(tcase, a_ready_slot_is_claimed_or_stays_ready_without_memory);
	tcase_add_test(tcase, a_pool_that_cannot_be_filled_is_tried_less_and_less);
	tcase_add_test(tcase, slots_come_are_repaired_and_go_without_descriptors);
	tcase_add_test(tcase, a_ready_slot_is_claimed_without_descriptors);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
