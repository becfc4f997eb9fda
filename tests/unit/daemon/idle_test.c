/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sandboxes are called idle: none of which that is not known, and each silence once, whatever the wall clock says. */
#include "base/clock.h"
#include "base/err.h"
#include "daemon/follow.h"
#include "daemon/idle.h"
#include "daemon/tenant.h"
#include "unit/daemon/flow_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <event2/event.h>
#include <poll.h>
#include <string.h>

/* Longer than a test takes. */
enum { REPORT_MS = 30000 };

static fabric_activity_done *reading;
static void *reading_context;

bool fabric_read_activity(struct fabric *fabric, fabric_activity_done *done, void *context)
{
	(void)fabric;
	reading = done;
	reading_context = context;
	return true;
}

static void setup(void)
{
	const struct registry_watcher watcher = { .state_changed = daemon_follow_state_changed, .context = &weftd };
	struct err err;

	flow_setup();
	weftd.base = event_base_new();
	ck_assert_ptr_nonnull(weftd.base);
	registry_watch(weftd.registry, &watcher);
	reading = NULL;
	ck_assert_int_eq(daemon_idle_start(&weftd, &err), 0);
	have_sandbox();
	found()->spec->idle_report_ms = REPORT_MS;
	follow_watcher.carrier(&weftd, found()->slot, true, 0);
	ck_assert_int_eq(found()->state, SANDBOX_READY);
	rooms.events = 0;
}

static void teardown(void)
{
	flow_teardown();
	daemon_idle_stop(&weftd);
	event_base_free(weftd.base);
}

static struct tenant *tenant(void)
{
	return daemon_tenant_of(found());
}

/* The kernel has counted PACKETS for it. */
static void read_packets(uint64_t packets)
{
	const struct fabric_activity activity = { .slot = found()->slot, .packets = packets };

	/* Not sooner than a second after the last time. */
	while (!reading) {
		event_base_loop(weftd.base, EVLOOP_NONBLOCK);
		daemon_idle_refresh(&weftd);
		poll(NULL, 0, 1);
	}

	fabric_activity_done *done = reading;

	reading = NULL;
	done(reading_context, &activity, 1, NULL);
}

/* It has been silent for as long as is reported. */
static void pass_time(void)
{
	tenant()->idle.active_ms -= REPORT_MS;
}

static void expect_idle(unsigned times)
{
	ck_assert_uint_eq(rooms.events, times);
	if (times)
		ck_assert_str_eq(rooms.event, "idle");
}

START_TEST(each_silence_is_reported_once)
{
	read_packets(5);
	expect_idle(0);
	pass_time();
	for (unsigned i = 0; i < 2; i++) {
		read_packets(5);
		expect_idle(1);
	}
	read_packets(6);
	expect_idle(1);
	pass_time();
	read_packets(6);
	expect_idle(2);
}
END_TEST

/* The kernel carried something that nobody has seen, or did not. */
START_TEST(after_a_restart_silence_counts_from_there)
{
	tenant()->stored = true;
	tenant()->idle = (struct tenant_idle){ 0 };
	found()->since_ms = found()->last_activity_ms = 1;
	read_packets(700);
	expect_idle(0);
	pass_time();
	read_packets(_i ? 701 : 700);
	expect_idle(!_i);
}
END_TEST

START_TEST(a_clock_that_is_set_makes_nobody_idle_or_busy)
{
	const int64_t hour_ms = 3600 * 1000;
	int64_t set_ms = _i ? hour_ms : -hour_ms;

	read_packets(5);
	found()->since_ms -= set_ms;
	found()->last_activity_ms = clock_wall_ms() - set_ms;
	read_packets(5);
	expect_idle(0);
	pass_time();
	read_packets(5);
	expect_idle(1);
	found()->last_activity_ms += 1;
	read_packets(5);
	expect_idle(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon/idle");
	TCase *reports = tcase_create("reports");

	tcase_add_checked_fixture(reports, setup, teardown);
	tcase_add_test(reports, each_silence_is_reported_once);
	tcase_add_loop_test(reports, after_a_restart_silence_counts_from_there, 0, 2);
	tcase_add_loop_test(reports, a_clock_that_is_set_makes_nobody_idle_or_busy, 0, 2);
	tcase_set_timeout(reports, 60);
	suite_add_tcase(suite, reports);
	return run_suite(suite);
}
