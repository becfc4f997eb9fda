/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/loop.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { MESSAGES = 20000, SENDERS = 3 };

static struct event_base *base;
static struct mailbox *mailbox;
static struct err err;

struct message {
	struct mail mail;
	unsigned sender, number;
};

static unsigned delivered, last_number[SENDERS];
static bool rests; /* the receiver does, at each seventh */

static void setup(void)
{
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	mailbox = base_mailbox_new(base, &err);
	ck_assert_ptr_nonnull(mailbox);
}

static void teardown(void)
{
	base_mailbox_free(mailbox);
	event_base_free(base);
}

static void take_message(struct mail *mail)
{
	struct message *message = container_of(mail, struct message, mail);

	ck_assert_uint_eq(message->number, last_number[message->sender] + 1);
	last_number[message->sender] = message->number;
	delivered++;
	free(message);
	if (rests && delivered % 7 == 0)
		base_mailbox_rest(mailbox);
	if (delivered == SENDERS * MESSAGES)
		event_base_loopbreak(base);
}

static void post_message(unsigned sender, unsigned number)
{
	struct message *message = calloc(1, sizeof(*message));

	message->mail.deliver = take_message;
	message->sender = sender;
	message->number = number;
	base_mailbox_post(mailbox, &message->mail);
}

static void *send_messages(void *arg)
{
	for (unsigned i = 1; i <= MESSAGES; i++)
		post_message((unsigned)(uintptr_t)arg, i);
	return NULL;
}

static void assert_arrive(void)
{
	pthread_t threads[SENDERS];

	for (uintptr_t i = 0; i < SENDERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, send_messages, (void *)i), 0);
	event_base_dispatch(base);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(delivered, SENDERS * MESSAGES);
}

START_TEST(messages_of_many_threads_arrive_once_and_in_order)
{
	assert_arrive();
}
END_TEST

START_TEST(they_do_so_where_the_receiver_rests)
{
	rests = true;
	assert_arrive();
}
END_TEST

START_TEST(a_freed_mailbox_delivers_what_is_inside)
{
	post_message(0, 1);
	post_message(0, 2);
	base_mailbox_free(mailbox);
	mailbox = NULL;
	ck_assert_uint_eq(delivered, 2);
}
END_TEST

enum { ROUNDS = 5 };

static unsigned rounds;

static void post_again(struct mail *mail)
{
	if (++rounds < ROUNDS)
		base_mailbox_post(mailbox, mail);
}

START_TEST(a_message_that_posts_itself_does_not_hold_the_loop)
{
	struct mail mail = { .deliver = post_again };

	base_mailbox_post(mailbox, &mail);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		event_base_loop(base, EVLOOP_ONCE);
		ck_assert_uint_eq(rounds, i);
	}
}
END_TEST

static struct mail *got[4];
static size_t got_count;

static void note(struct mail *mail)
{
	got[got_count++] = mail;
}

static struct mail late = { .deliver = note };

static void note_and_rest(struct mail *mail)
{
	note(mail);
	base_mailbox_post(mailbox, &late);
	base_mailbox_rest(mailbox);
}

START_TEST(after_a_rest_the_others_come_in_their_order_in_the_next_iteration)
{
	struct mail first = { .deliver = note }, resting = { .deliver = note_and_rest }, behind = { .deliver = note };

	base_mailbox_post(mailbox, &first);
	base_mailbox_post(mailbox, &resting);
	base_mailbox_post(mailbox, &behind);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(got_count, 2);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(got_count, 4);
	ck_assert(got[0] == &first && got[1] == &resting && got[2] == &behind && got[3] == &late);
}
END_TEST

START_TEST(a_freed_mailbox_delivers_behind_a_rest_too)
{
	struct mail resting = { .deliver = note_and_rest }, behind = { .deliver = note };

	base_mailbox_post(mailbox, &resting);
	base_mailbox_post(mailbox, &behind);
	base_mailbox_free(mailbox);
	ck_assert_uint_eq(got_count, 3);
	mailbox = NULL;
}
END_TEST

static unsigned expirations;
static struct timer timer;

static void on_expired(void *context)
{
	ck_assert_ptr_eq(context, &expirations);
	ck_assert(!timer_is_armed(&timer));
	expirations++;
}

START_TEST(a_timer_expires_once_and_not_early)
{
	uint64_t before = clock_now_us();

	ck_assert_int_eq(timer_init(&timer, base, on_expired, &expirations, &err), 0);
	ck_assert(!timer_is_armed(&timer));
	timer_start(&timer, 20);
	ck_assert(timer_is_armed(&timer));
	while (!expirations)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_ge(clock_now_us() - before, 19000);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(expirations, 1);
	timer_free(&timer);
}
END_TEST

START_TEST(a_timer_that_is_stopped_does_not_expire)
{
	struct timer other = { 0 };

	ck_assert_int_eq(timer_init(&timer, base, on_expired, &expirations, &err), 0);
	timer_start(&timer, 0);
	timer_stop(&timer);
	ck_assert(!timer_is_armed(&timer));
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(expirations, 0);
	timer_free(&timer);
	timer_free(&timer);
	timer_stop(&other);
	ck_assert(!timer_is_armed(&other));
	timer_free(&other);
}
END_TEST

START_TEST(arming_again_moves_the_expiry)
{
	ck_assert_int_eq(timer_init(&timer, base, on_expired, &expirations, &err), 0);
	timer_start(&timer, 0);
	timer_start(&timer, 3600000);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(expirations, 0);
	timer_start(&timer, 0);
	while (!expirations)
		event_base_loop(base, EVLOOP_ONCE);
	timer_free(&timer);
}
END_TEST

static bool no_memory;

static void *allocate(size_t size)
{
	return no_memory ? NULL : malloc(size);
}

static void *reallocate(void *memory, size_t size)
{
	return no_memory ? NULL : realloc(memory, size);
}

static unsigned ticks;

static void on_tick(void *context)
{
	ticks++;
	timer_start(context, 1);
}

static void on_late_expiry(void *context)
{
	*(bool *)context = true;
}

/* Among them more than libevent has room for without more memory. */
START_TEST(without_memory_timers_expire_all_the_same)
{
	enum { FAR = 3600000, TIMERS = 12, SOON = 9 };
	struct timer tick, timers[TIMERS];
	bool expired[TIMERS] = { false };

	ck_assert_int_eq(timer_init(&tick, base, on_tick, &tick, &err), 0);
	for (int i = 0; i < TIMERS; i++)
		ck_assert_int_eq(timer_init(&timers[i], base, on_late_expiry, &expired[i], &err), 0);
	timer_start(&tick, 1);
	timer_start(&timers[0], FAR);
	no_memory = true;
	for (int i = 1; i < TIMERS; i++)
		timer_start(&timers[i], i < SOON ? FAR : 2);
	while (ticks < 3 || !expired[SOON] || !expired[TIMERS - 1])
		event_base_loop(base, EVLOOP_ONCE);
	for (int i = 0; i < TIMERS; i++) {
		ck_assert_int_eq(expired[i], i >= SOON);
		ck_assert_int_eq(timer_is_armed(&timers[i]), i < SOON);
	}
	no_memory = false;
	unsigned before = ticks;
	while (ticks < before + 2)
		event_base_loop(base, EVLOOP_ONCE);
	for (int i = 0; i < SOON; i++)
		ck_assert_uint_eq(timers[i].due_ms, 0);
	for (int i = 0; i < TIMERS; i++)
		timer_free(&timers[i]);
	timer_free(&tick);
}
END_TEST

START_TEST(without_descriptors_the_error_says_so)
{
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct mailbox *refused = base_mailbox_new(base, &err);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_ptr_null(refused);
	ck_assert_str_eq(err.text, "eventfd for a mailbox: Too many open files");
}
END_TEST

int main(void)
{
	event_set_mem_functions(allocate, reallocate, free);

	TCase *cases = tcase_create("loop");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, messages_of_many_threads_arrive_once_and_in_order);
	tcase_add_test(cases, they_do_so_where_the_receiver_rests);
	tcase_add_test(cases, a_freed_mailbox_delivers_what_is_inside);
	tcase_add_test(cases, a_message_that_posts_itself_does_not_hold_the_loop);
	tcase_add_test(cases, after_a_rest_the_others_come_in_their_order_in_the_next_iteration);
	tcase_add_test(cases, a_freed_mailbox_delivers_behind_a_rest_too);
	tcase_add_test(cases, a_timer_expires_once_and_not_early);
	tcase_add_test(cases, a_timer_that_is_stopped_does_not_expire);
	tcase_add_test(cases, arming_again_moves_the_expiry);
	tcase_add_test(cases, without_memory_timers_expire_all_the_same);
	tcase_add_test(cases, without_descriptors_the_error_says_so);

	Suite *suite = suite_create("loop");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
