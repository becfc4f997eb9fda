/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which threads go on, as the service manager learns it; time is told to the watchdog by the threads' own stamps. */
#include "daemon/watchdog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "daemon/daemon.h"
#include "daemon/notify.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000 };

static struct daemon daemon_;
static struct base_thread thread;
static struct sockaddr_un address;
static socklen_t address_size;
static int manager;
static unsigned asked;
static sem_t end;

static void *wait_for_end(void *arg)
{
	sem_wait(&end);
	return arg;
}

static void ask(struct base_thread *of)
{
	ck_assert_ptr_eq(of, &thread);
	asked++;
}

/* A stand-in for the service manager listens; the one thread makes no turn by itself. */
static void setup(void)
{
	char name[sizeof(address.sun_path)];
	struct err err;

	snprintf(name, sizeof(name), "@weft-watchdog-test-%d", getpid());
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "30000", 1); /* the interval is 10 ms, and the patience 20 ms */
	unsetenv("WATCHDOG_PID");
	address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, address_size), 0);
	sem_init(&end, 0, 0);
	asked = 0;
	thread = (struct base_thread){ .name = "test", .ask = ask };
	ck_assert_int_eq(base_thread_start(&thread, wait_for_end, NULL, &err), 0);
	daemon_ = (struct daemon){ .base = event_base_new() };
	daemon_notify_open();
}

static void teardown(void)
{
	daemon_watchdog_stop(&daemon_);
	daemon_notify_close();
	event_base_free(daemon_.base);
	sem_post(&end);
	base_thread_join(&thread);
	close(manager);
}

static void start(void)
{
	struct err err;

	ck_assert_int_eq(daemon_watchdog_start(&daemon_, &err), 0);
}

/* Lets the watchdog look LOOKS times, and returns how often it was fed. */
static unsigned fed(unsigned looks)
{
	char text[64];
	unsigned count = 0;

	for (asked = 0; asked < looks;) {
		ssize_t got;

		event_base_loop(daemon_.base, EVLOOP_ONCE);
		while ((got = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
			text[got] = '\0';
			ck_assert_str_eq(text, "WATCHDOG=1");
			count++;
		}
	}
	return count;
}

START_TEST(a_thread_that_makes_turns_goes_on)
{
	unsigned count = 0;

	start();
	for (int i = 0; i < 5; i++) {
		base_thread_turn(&thread);
		thread.moved_ms = thread.turn_ms = 0; /* as if that had been long ago */
		count += fed(1);
	}
	ck_assert_uint_eq(count, 5);
}
END_TEST

START_TEST(a_thread_without_a_turn_or_a_move_does_not)
{
	thread.moved_ms = 0;
	start();
	ck_assert_uint_eq(fed(5), 0);
	ck_assert(thread.silent);
	base_thread_turn(&thread);
	ck_assert_uint_eq(fed(1), 1);
	ck_assert(!thread.silent);
}
END_TEST

START_TEST(a_turn_may_last_as_long_as_what_it_began_is_young)
{
	thread.moved_ms = clock_now_ms() + HOUR_MS;
	start();
	ck_assert_uint_eq(fed(5), 5);
}
END_TEST

START_TEST(a_turn_that_begins_things_without_end_is_no_life)
{
	thread.moved_ms = clock_now_ms() + HOUR_MS;
	thread.turn_ms = 0;
	start();
	/* The clock counts from the boot, and a turn may last five minutes. */
	ck_assert_uint_eq(fed(5), clock_now_ms() > 300000 ? 0 : 5);
}
END_TEST

START_TEST(a_manager_that_reads_nothing_stops_nobody)
{
	thread.moved_ms = clock_now_ms() + HOUR_MS;
	start();
	for (asked = 0; asked < 50;)
		event_base_loop(daemon_.base, EVLOOP_ONCE);
}
END_TEST

/* As any user of the host can. */
static void fill_the_queue(void)
{
	int stranger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	while (sendto(stranger, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&address, address_size) == 1)
		;
	close(stranger);
}

START_TEST(a_manager_whose_queue_was_full_is_fed_before_the_next_look)
{
	char text[64] = "";

	setenv("WATCHDOG_USEC", "3600000000", 1); /* the next look is far away */
	thread.moved_ms = clock_now_ms() + HOUR_MS;
	fill_the_queue();
	start();
	while (!asked)
		event_base_loop(daemon_.base, EVLOOP_ONCE);
	while (recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT) == 1)
		ck_assert_str_eq(text, "x");
	memset(text, 0, sizeof(text));
	while (recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT) < 0)
		event_base_loop(daemon_.base, EVLOOP_ONCE);
	ck_assert_str_eq(text, "WATCHDOG=1");
	ck_assert_uint_eq(asked, 1);
}
END_TEST

START_TEST(the_watchdog_of_another_process_is_not_ours)
{
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_uint_eq(daemon_notify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	ck_assert_uint_eq(daemon_notify_watchdog_ms(), 30);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watchdog");
	TCase *cases = tcase_create("watchdog");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, a_thread_that_makes_turns_goes_on);
	tcase_add_test(cases, a_thread_without_a_turn_or_a_move_does_not);
	tcase_add_test(cases, a_turn_may_last_as_long_as_what_it_began_is_young);
	tcase_add_test(cases, a_turn_that_begins_things_without_end_is_no_life);
	tcase_add_test(cases, a_manager_that_reads_nothing_stops_nobody);
	tcase_add_test(cases, a_manager_whose_queue_was_full_is_fed_before_the_next_look);
	tcase_add_test(cases, the_watchdog_of_another_process_is_not_ours);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
