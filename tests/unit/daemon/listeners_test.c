/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of listeners over real queues and a fake service manager: who is answered when, and what a kill would leave. */
#include "daemon/listeners.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/fd_couple.h"
#include "daemon/fd_store.h"
#include "daemon/inherited.h"
#include "forwarder/forwarder.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STORED_MAX = 16 };

/* The service manager, and the faults that the tests make. */
static struct {
	bool there;
	int stored[STORED_MAX];
	size_t count;
	int barrier; /* the end that the manager closes; -1: none */
	int former;  /* a queue of the former run, given away by daemon_fd_store_receive(); 0: none */
	int put_error, write_error;
	bool closing; /* a worker has a UDP socket still */
	void (*closed)(void *context);
	void *closed_context;
} fake;

static struct daemon weftd;
static struct listeners_waiter waiter;
static unsigned called;

bool daemon_fd_store_is_there(void)
{
	return fake.there;
}

void daemon_fd_store_receive(int *first, size_t *count, char ***names)
{
	*first = fake.former;
	*count = fake.former > 0;
	*names = NULL;
}

void daemon_fd_store_free_names(char **names)
{
	ck_assert_ptr_null(names);
}

int daemon_fd_store_put(const char *name, const int *fds, size_t count)
{
	ck_assert_str_eq(name, "weft-1");
	errno = fake.put_error;
	if (errno)
		return -1;
	for (size_t i = 0; i < count; i++)
		fake.stored[fake.count++] = dup(fds[i]);
	return 0;
}

void daemon_fd_store_remove(const char *name)
{
	(void)name;
}

int daemon_fd_store_barrier(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	fake.barrier = ends[1];
	return ends[0];
}

bool fwd_is_closing(const struct forwarder *forwarder)
{
	(void)forwarder;
	return fake.closing;
}

void fwd_on_closed(struct forwarder *forwarder, void (*done)(void *context), void *context)
{
	(void)forwarder;
	fake.closed = done;
	fake.closed_context = context;
}

int __real_daemon_fd_couple_write(struct fd_couple *couple);
int __wrap_daemon_fd_couple_write(struct fd_couple *couple);
int __wrap_daemon_fd_couple_write(struct fd_couple *couple)
{
	errno = fake.write_error;
	return errno && !daemon_fd_couple_is_written(couple) ? -1 : __real_daemon_fd_couple_write(couple);
}

static void prepare(bool there)
{
	struct err err;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	freopen("/dev/null", "w", stderr); /* failures are logged */
	fake.there = there;
	fake.barrier = -1;
	weftd = (struct daemon){ .base = event_base_new() };
	ck_assert_ptr_nonnull(weftd.base);
	ck_assert_int_eq(daemon_listeners_start(&weftd, &err), 0);
}

static void start(bool there)
{
	prepare(there);
	daemon_listeners_keep(&weftd);
}

static void setup(void)
{
	start(true);
}

static void setup_after_a_run(void)
{
	prepare(true);
}

static void teardown(void)
{
	daemon_listeners_finish(&weftd);
	daemon_listeners_free(&weftd);
	event_base_free(weftd.base);
	for (size_t i = 0; i < fake.count; i++)
		close(fake.stored[i]);
}

static void turn(void)
{
	event_base_loop(weftd.base, EVLOOP_NONBLOCK);
	event_base_loop(weftd.base, EVLOOP_NONBLOCK);
}

static void pass_barrier(void)
{
	ck_assert_int_ge(fake.barrier, 0);
	close(fake.barrier);
	fake.barrier = -1;
	turn();
}

static void done(void *context)
{
	(void)context;
	called++;
	if (fake.write_error)
		event_base_loopbreak(weftd.base);
}

static void settle(void)
{
	daemon_listeners_settle(&weftd, &waiter, done, NULL);
}

static int opened(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	daemon_listeners_add(&weftd, fd);
	return fd;
}

static void closed(int fd)
{
	daemon_listeners_remove(&weftd, fd);
	close(fd);
}

/* How many sockets the service manager keeps. */
static size_t kept(void)
{
	struct fd_survey surveys[STORED_MAX];
	size_t count = 0;

	for (size_t i = 0; i < fake.count; i++)
		ck_assert_int_eq(daemon_fd_couple_survey(fake.stored[i], &surveys[i]), 0);
	daemon_fd_queue_choose(surveys, fake.count);
	for (size_t i = 0; i < fake.count; i++)
		count += surveys[i].chosen ? surveys[i].fds : 0;
	return count;
}

static int first_one(void)
{
	int fd = opened();

	turn();
	pass_barrier();
	ck_assert_uint_eq(kept(), 1);
	return fd;
}

START_TEST(an_answer_waits_until_the_service_manager_has_the_socket)
{
	int fd = opened();

	ck_assert_uint_eq(fake.count, 0);
	settle();
	turn();
	ck_assert_uint_eq(fake.count, 2);
	ck_assert_uint_eq(kept(), 1);
	ck_assert_uint_eq(called, 0); /* it may not have read the message yet */
	pass_barrier();
	ck_assert_uint_eq(called, 1);
	closed(fd);
}
END_TEST

START_TEST(one_more_socket_is_no_message_to_the_service_manager)
{
	int first = first_one(), second = opened();

	settle();
	ck_assert_uint_eq(called, 0);
	turn();
	ck_assert_uint_eq(called, 1);
	ck_assert_uint_eq(kept(), 2);
	ck_assert_uint_eq(fake.count, 2);
	ck_assert_int_eq(fake.barrier, -1);
	closed(first);
	closed(second);
	settle();
	ck_assert_uint_eq(called, 1);
	turn();
	ck_assert_uint_eq(called, 2);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(nothing_to_wait_for_is_answered_at_once)
{
	int fd = first_one();

	settle();
	ck_assert_uint_eq(called, 1);
	/* One that was opened and closed in the same iteration was never anywhere. */
	closed(opened());
	settle();
	ck_assert_uint_eq(called, 2);
	closed(fd);
}
END_TEST

START_TEST(a_socket_that_a_worker_closes_is_waited_for)
{
	int fd = first_one();

	weftd.forwarder = (struct forwarder *)&fake; /* never looked into */
	fake.closing = true;
	settle();
	turn();
	ck_assert_uint_eq(called, 0);
	fake.closing = false;
	fake.closed(fake.closed_context);
	ck_assert_uint_eq(called, 1);
	closed(fd);
}
END_TEST

START_TEST(a_shortage_leaves_the_former_list_and_is_tried_again)
{
	int first = first_one(), second = opened();

	turn();
	fake.write_error = ENOBUFS;
	closed(second);
	settle();
	turn();
	ck_assert_uint_eq(called, 0);
	ck_assert_uint_eq(kept(), 2);
	fake.write_error = 0;
	while (!called)
		event_base_loop(weftd.base, EVLOOP_ONCE);
	ck_assert_uint_eq(kept(), 1);
	closed(first);
}
END_TEST

START_TEST(a_long_shortage_does_not_keep_the_answer_for_ever)
{
	int first = first_one();

	fake.write_error = ENOMEM;
	closed(first);
	settle();
	event_base_loop(weftd.base, 0);
	ck_assert_uint_eq(called, 1);
	ck_assert_uint_eq(kept(), 1);
	fake.write_error = 0;
}
END_TEST

START_TEST(a_service_manager_that_is_not_there_ends_it)
{
	int fd = opened();

	fake.put_error = ENOTCONN;
	settle();
	turn();
	ck_assert_uint_eq(called, 1);
	ck_assert(!daemon_listeners_keeps(&weftd, fd));
	closed(fd);
	settle();
	ck_assert_uint_eq(called, 2);
}
END_TEST

START_TEST(a_store_that_refuses_is_tried_again)
{
	int fd = opened();

	fake.put_error = EAGAIN;
	settle();
	turn();
	ck_assert_uint_eq(called, 0);
	fake.put_error = 0;
	while (!fake.count)
		event_base_loop(weftd.base, EVLOOP_ONCE);
	pass_barrier();
	ck_assert_uint_eq(called, 1);
	closed(fd);
}
END_TEST

START_TEST(a_second_couple_begins_when_the_first_is_full)
{
	static int fds[FD_COUPLE_MAX + 1];

	for (size_t i = 0; i < FD_COUPLE_MAX + 1; i++) {
		fds[i] = dup(0);
		daemon_listeners_add(&weftd, fds[i]);
	}
	settle();
	turn();
	ck_assert_uint_eq(fake.count, 4);
	ck_assert_uint_eq(kept(), FD_COUPLE_MAX + 1);
	pass_barrier();
	ck_assert_uint_eq(called, 1);
	for (size_t i = 0; i < FD_COUPLE_MAX + 1; i++)
		closed(fds[i]);
	turn();
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(the_end_leaves_everything_in_the_store)
{
	int first = first_one(), second = opened();

	settle();
	daemon_listeners_finish(&weftd);
	ck_assert_uint_eq(called, 1);
	ck_assert(daemon_listeners_keeps(&weftd, second));
	close(first);
	close(second);
	ck_assert_uint_eq(kept(), 2);
}
END_TEST

START_TEST(the_former_queue_goes_although_a_socket_is_added_as_the_barrier_passes)
{
	struct fd_couple former;
	struct fd_survey left;

	daemon_fd_couple_init(&former, 1, 0);
	ck_assert_int_eq(daemon_fd_couple_open(&former), 0);
	ck_assert_int_eq(daemon_fd_couple_write(&former), 0);
	fake.former = dup(former.queues[former.current].out);
	ck_assert_int_ge(fake.former, 0);
	weftd.inherited = daemon_inherited_receive();
	ck_assert_ptr_nonnull(weftd.inherited);
	daemon_listeners_add(&weftd, STDIN_FILENO);
	daemon_listeners_keep(&weftd);
	ck_assert_int_eq(daemon_fd_couple_survey(former.queues[former.current].out, &left), 0);
	ck_assert_uint_eq(left.messages, 1);

	int fd = opened();
	pass_barrier();
	settle();
	turn();
	ck_assert_uint_eq(called, 1);
	ck_assert_uint_eq(kept(), 2);
	ck_assert_int_eq(daemon_fd_couple_survey(former.queues[former.current].out, &left), 0);
	ck_assert_uint_eq(left.messages, 0);
	closed(fd);
	daemon_fd_couple_free(&former);
	daemon_inherited_free(weftd.inherited);
}
END_TEST

START_TEST(without_a_service_manager_nothing_is_waited_for)
{
	start(false);
	int fd = opened();
	settle();
	ck_assert_uint_eq(called, 1);
	ck_assert(!daemon_listeners_keeps(&weftd, fd));
	closed(fd);
	settle();
	ck_assert_uint_eq(called, 2);
	ck_assert_uint_eq(fake.count, 0);
	teardown();
}
END_TEST

int main(void)
{
	TCase *kept_ones = tcase_create("kept");
	tcase_add_checked_fixture(kept_ones, setup, teardown);
	tcase_add_test(kept_ones, an_answer_waits_until_the_service_manager_has_the_socket);
	tcase_add_test(kept_ones, one_more_socket_is_no_message_to_the_service_manager);
	tcase_add_test(kept_ones, nothing_to_wait_for_is_answered_at_once);
	tcase_add_test(kept_ones, a_socket_that_a_worker_closes_is_waited_for);
	tcase_add_test(kept_ones, a_shortage_leaves_the_former_list_and_is_tried_again);
	tcase_add_test(kept_ones, a_long_shortage_does_not_keep_the_answer_for_ever);
	tcase_add_test(kept_ones, a_service_manager_that_is_not_there_ends_it);
	tcase_add_test(kept_ones, a_store_that_refuses_is_tried_again);
	tcase_add_test(kept_ones, a_second_couple_begins_when_the_first_is_full);
	tcase_add_test(kept_ones, the_end_leaves_everything_in_the_store);
	TCase *again = tcase_create("again");
	tcase_add_checked_fixture(again, setup_after_a_run, teardown);
	tcase_add_test(again, the_former_queue_goes_although_a_socket_is_added_as_the_barrier_passes);
	TCase *alone = tcase_create("alone");
	tcase_add_test(alone, without_a_service_manager_nothing_is_waited_for);

	Suite *suite = suite_create("listeners");
	suite_add_tcase(suite, kept_ones);
	suite_add_tcase(suite, again);
	suite_add_tcase(suite, alone);

	return run_suite(suite);
}
