/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Floods, shortages, and a log that others have. */
#include "kernel/packet_log.h"
#include "unit/run_suite.h"
#include "unit/wake/wake_lab.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>

START_TEST(a_flood_from_many_sources_keeps_few_copies)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	for (uint32_t i = 0; i < 1000; i++) {
		packet.source = CLIENT + 1 + i % 200;
		packet.source_port = (uint16_t)(1024 + i);
		lab_sends(lab.client, &packet);
		if (i % 50 == 49)
			run_until(lab.heard == i + 1);
	}
	run_until(lab.heard == 1000);
	ck_assert_uint_eq(wake_lab_stats().kept, WAKE_KEPT_FLOWS);
}
END_TEST

START_TEST(packets_that_the_log_could_not_hold_are_lost_and_later_ones_heard)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	for (uint32_t i = 0; i < 4000; i++) {
		packet.source_port = (uint16_t)(1024 + i);
		lab_sends(lab.client, &packet);
	}
	run_until(wake_lab_stats().lost);
	packet.source_port = 9;
	while (lab.last.source_port != 9) {
		lab_sends(lab.client, &packet);
		for (int i = 0; i < 10 && lab.last.source_port != 9; i++)
			event_base_loop(lab.base, EVLOOP_ONCE);
	}
	ck_assert_uint_gt(lab.heard, 10);
	ck_assert_ptr_null(wake_lab_stats().log_error);
}
END_TEST

START_TEST(a_log_that_another_run_reads_is_taken_over_when_that_ends)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);
	struct kern_packet_log other;

	wake_free(lab.wake);
	ck_assert_int_eq(kern_packet_log_open(&other, KERN_WAKE_GROUP, KERN_WAKE_BYTES, &lab.err), 0);
	wake_lab_begin();
	ck_assert_ptr_null(wake_lab_stats().log_error);
	wake_sleep(lab.wake, GUEST);
	ck_assert_ptr_nonnull(strstr(wake_lab_stats().log_error, "packet log, group 1874"));
	/* Posts and the sleep of others go on. */
	wake_sleep(lab.wake, GUEST + 1);
	kern_packet_log_close(&other);
	run_until(!wake_lab_stats().log_error);
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	ck_assert_uint_eq(wake_lab_stats().kept, 1);
}
END_TEST

/* Descriptors are lacking for the question what its client had asked for, until the copy is to be sent. */
START_TEST(a_shortage_when_a_packet_comes_loses_nothing)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, HOST, 18080);
	struct rlimit before, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	ck_assert_uint_eq(wake_lab_stats().kept, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	wake_lab_arrives(IPPROTO_TCP);
	wake_lab_wakes_up(true);
	wake_lab_arrives(IPPROTO_TCP);
	ck_assert_uint_eq(wake_lab_flows(), 1);
	wake_lab_guest_answers(&packet);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_is_asked_for_again)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);
	struct rlimit before, none;

	wake_free(lab.wake);
	wake_lab_begin();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	wake_sleep(lab.wake, GUEST);
	ck_assert_ptr_nonnull(strstr(wake_lab_stats().log_error, strerror(EMFILE)));
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	run_until(!wake_lab_stats().log_error);
	lab_sends(lab.client, &packet);
	run_until(lab.heard);
}
END_TEST

START_TEST(what_is_kept_is_freed_with_all_else)
{
	struct packet packet = wake_lab_packet(IPPROTO_TCP, GUEST, 8080);

	lab_sends(lab.client, &packet);
	run_until(lab.heard);
	wake_tell(lab.wake, "/nowhere", "a1", "{}");
	wake_tell(lab.wake, "/nowhere", "a2", "{}");
	run_until(wake_lab_stats().tell_failures);
	wake_untell(lab.wake, "a1");
	ck_assert_uint_eq(wake_lab_stats().telling, 1);
	ck_assert_ptr_nonnull(wake_lab_stats().tell_error);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("wake_trouble");
	TCase *troubles = tcase_create("troubles");
	tcase_set_timeout(troubles, 120);
	tcase_add_checked_fixture(troubles, wake_lab_open, wake_lab_close);
	tcase_add_test(troubles, a_flood_from_many_sources_keeps_few_copies);
	tcase_add_test(troubles, packets_that_the_log_could_not_hold_are_lost_and_later_ones_heard);
	tcase_add_test(troubles, a_log_that_another_run_reads_is_taken_over_when_that_ends);
	tcase_add_test(troubles, a_shortage_when_a_packet_comes_loses_nothing);
	tcase_add_test(troubles, a_log_that_cannot_be_opened_is_asked_for_again);
	tcase_add_test(troubles, what_is_kept_is_freed_with_all_else);
	suite_add_tcase(suite, troubles);
	return run_suite(suite);
}
