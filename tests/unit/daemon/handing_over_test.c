/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handing over to a fake service manager by a fake forwarder: whatever fails, the connections go on here, and nobody else has them. */
#include "daemon/handing_over.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/fd_couple.h"
#include "daemon/fd_parcel.h"
#include "daemon/fd_store.h"
#include "forwarder/handover.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	bool there, keeps;
	bool busy; /* the barrier does not pass */
	int put_error, barrier_error;
	int stored; /* -1: nothing */
	int barrier;
	struct fwd_handover handover;
	bool freeze_refuses, freeze_fails;
	unsigned frozen, undone, left;
} fake;

static struct config config;
static struct daemon weftd;
static int fds[300];
static unsigned called;
static bool succeeded;

bool daemon_fd_store_is_there(void)
{
	return fake.there;
}

int daemon_fd_store_put(const char *name, const int *stored, size_t count)
{
	ck_assert_str_eq(name, "weft-connections");
	ck_assert_uint_eq(count, 1);
	errno = fake.put_error;
	if (errno)
		return -1;
	if (fake.keeps)
		fake.stored = dup(stored[0]);
	return 0;
}

int daemon_fd_store_barrier(void)
{
	int ends[2];

	errno = fake.barrier_error;
	if (errno)
		return -1;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	if (fake.busy)
		fake.barrier = ends[1];
	else
		close(ends[1]);
	return ends[0];
}

int fwd_freeze(struct forwarder *forwarder,
	       void (*done)(void *context, const struct fwd_handover *handover, const struct err *err), void *context,
	       struct err *err)
{
	struct err why;

	(void)forwarder;
	if (fake.freeze_refuses)
		return err_set(err, ENOMEM, "letters");
	fake.frozen++;
	err_set(&why, ENOMEM, "record");
	done(context, fake.freeze_fails ? NULL : &fake.handover, &why);
	return 0;
}

void fwd_freeze_undo(struct forwarder *forwarder)
{
	(void)forwarder;
	fake.undone++;
}

void fwd_freeze_leave(struct forwarder *forwarder)
{
	(void)forwarder;
	fake.left++;
}

/* Nobody waits ten seconds for it. */
int __real_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
	const struct timeval soon = { .tv_usec = 1000 };

	return __real_event_add(event, timeout && fake.busy ? &soon : timeout);
}

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	freopen("/dev/null", "w", stderr); /* failures are logged */
	config.forwarder.handover = true;
	for (size_t i = 0; i < 300; i++)
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	fake.there = fake.keeps = true;
	fake.stored = fake.barrier = -1;
	fake.handover = (struct fwd_handover){
		.record = (const uint8_t *)"state", .record_size = 5, .fds = fds, .fd_count = 300, .connections = 150
	};
	weftd = (struct daemon){ .base = event_base_new(), .config = &config, .forwarder = (struct forwarder *)&fake };
	ck_assert_ptr_nonnull(weftd.base);
}

static void teardown(void)
{
	daemon_handing_over_free(&weftd);
	ck_assert_ptr_null(weftd.handing_over);
	event_base_free(weftd.base);
	for (size_t i = 0; i < 300; i++)
		close(fds[i]);
	if (fake.stored >= 0)
		close(fake.stored);
	if (fake.barrier >= 0)
		close(fake.barrier);
}

static void done(struct daemon *daemon, bool ok)
{
	ck_assert_ptr_eq(daemon, &weftd);
	called++;
	succeeded = ok;
}

static void run(void)
{
	ck_assert(daemon_handing_over_begin(&weftd, done));
	event_base_dispatch(weftd.base);
	ck_assert_uint_eq(called, 1);
	ck_assert_uint_eq(fake.frozen, 1);
}

static void assert_went_on(void)
{
	struct fd_survey survey;

	ck_assert(!succeeded);
	ck_assert_uint_eq(fake.undone, 1);
	ck_assert_uint_eq(fake.left, 0);
	if (fake.stored < 0)
		return;
	ck_assert_int_eq(daemon_fd_couple_survey(fake.stored, &survey), 0);
	ck_assert_uint_eq(survey.messages, 0);
}

START_TEST(they_are_left_once_the_manager_has_them)
{
	struct fd_survey survey;
	struct fd_parcel parcel;
	struct err err;

	run();
	ck_assert(succeeded);
	ck_assert_uint_eq(fake.left, 1);
	ck_assert_uint_eq(fake.undone, 0);
	daemon_handing_over_free(&weftd);
	ck_assert_int_eq(daemon_fd_couple_survey(fake.stored, &survey), 0);
	ck_assert(survey.complete);
	ck_assert_int_eq(daemon_fd_parcel_unpack(fake.stored, &survey, &parcel, &err), 0);
	ck_assert_uint_eq(parcel.connections, 150);
	ck_assert_uint_eq(parcel.count, 300);
	ck_assert_mem_eq(parcel.memory, "state", 5);
	daemon_fd_parcel_free(&parcel);
}
END_TEST

START_TEST(without_connections_the_manager_hears_nothing)
{
	fake.handover.connections = 0;
	run();
	ck_assert(succeeded);
	ck_assert_uint_eq(fake.left, 1);
	ck_assert_int_lt(fake.stored, 0);
}
END_TEST

START_TEST(nothing_begins_where_it_is_not_wanted_or_not_possible)
{
	config.forwarder.handover = false;
	ck_assert(!daemon_handing_over_begin(&weftd, done));
	config.forwarder.handover = true;
	fake.there = false;
	ck_assert(!daemon_handing_over_begin(&weftd, done));
	fake.there = true;
	fake.freeze_refuses = true;
	ck_assert(!daemon_handing_over_begin(&weftd, done));
	weftd.forwarder = NULL;
	ck_assert(!daemon_handing_over_begin(&weftd, done));
	ck_assert_uint_eq(fake.frozen + called, 0);
}
END_TEST

START_TEST(a_forwarder_without_memory_goes_on)
{
	fake.freeze_fails = true;
	run();
	ck_assert(!succeeded);
	ck_assert_uint_eq(fake.undone + fake.left, 0);
}
END_TEST

START_TEST(a_manager_that_is_not_there_after_all_gets_nothing)
{
	fake.put_error = ENOTCONN;
	run();
	assert_went_on();
}
END_TEST

START_TEST(a_manager_that_ends_behind_the_message_gets_nothing)
{
	fake.barrier_error = ENOTCONN;
	run();
	assert_went_on();
}
END_TEST

START_TEST(a_manager_without_a_store_is_noticed)
{
	fake.keeps = false;
	run();
	assert_went_on();
}
END_TEST

START_TEST(a_manager_that_takes_too_long_finds_nothing)
{
	fake.busy = true;
	run();
	assert_went_on();
}
END_TEST

START_TEST(descriptors_that_cannot_be_sent_stay)
{
	close(fds[299]);
	fds[299] = -1;
	run();
	assert_went_on();
}
END_TEST

START_TEST(a_stop_that_is_cut_short_frees_all)
{
	fake.busy = true;
	ck_assert(daemon_handing_over_begin(&weftd, done));
	daemon_handing_over_free(&weftd);
	event_base_dispatch(weftd.base);
	ck_assert_uint_eq(called, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handing_over");
	TCase *tests = tcase_create("stops");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, they_are_left_once_the_manager_has_them);
	tcase_add_test(tests, without_connections_the_manager_hears_nothing);
	tcase_add_test(tests, nothing_begins_where_it_is_not_wanted_or_not_possible);
	tcase_add_test(tests, a_forwarder_without_memory_goes_on);
	tcase_add_test(tests, a_manager_that_is_not_there_after_all_gets_nothing);
	tcase_add_test(tests, a_manager_that_ends_behind_the_message_gets_nothing);
	tcase_add_test(tests, a_manager_without_a_store_is_noticed);
	tcase_add_test(tests, a_manager_that_takes_too_long_finds_nothing);
	tcase_add_test(tests, descriptors_that_cannot_be_sent_stay);
	tcase_add_test(tests, a_stop_that_is_cut_short_frees_all);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
