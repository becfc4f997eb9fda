/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of a live slot, and questions about it. */
#include "fabric/slot/fault.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "unit/fabric/fabric_fixture.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRIVATE = 0x0a010203, OUTSIDE = 0xc6336401 }; /* 10.1.2.3, 198.51.100.1 */

static struct fabric_slot slot;

static void setup(void)
{
	fixture_setup();
	slot = fixture_make(1, "a1");
}

static void teardown(void)
{
	fixture_destroy(&slot);
	fixture_teardown();
}

static struct result update(const struct fabric_plan *plan)
{
	struct result result = { 0 };

	fabric_update(host.fabric, plan, fixture_done, &result);
	ck_assert(!result.done);
	fixture_await(&result.done);
	return result;
}

struct reached {
	bool done;
	struct fabric_reach reach;
	struct err err;
};

static void on_reach(void *context, const struct fabric_reach *reach, const struct err *err)
{
	struct reached *reached = context;

	if (reach)
		reached->reach = *reach;
	if (err)
		reached->err = *err;
	reached->done = true;
}

static bool reaches(uint32_t destination)
{
	struct reached reached = { 0 };

	fabric_reach(host.fabric, 1, destination, IPPROTO_TCP, 443, on_reach, &reached);
	ck_assert(!reached.done);
	fixture_await(&reached.done);
	ck_assert_str_eq(reached.err.text, "");
	return reached.reach.allowed;
}

START_TEST(an_update_replaces_policy_and_rate)
{
	struct egress egress = { .internet = false };
	struct bandwidth bandwidth = { .to_guest = { .rate = 12500000, .burst = 1000000 } };
	struct fabric_plan plan = fixture_plan(1, "a1");
	struct result result;

	ck_assert(reaches(OUTSIDE));
	plan.egress = &egress;
	plan.bandwidth = &bandwidth;
	result = update(&plan);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(!reaches(OUTSIDE));
	ck_assert(fixture_shell_says("rate 100Mbit", "tc -n ns-1 qdisc show dev tap0"));

	plan = fixture_plan(1, "a1");
	result = update(&plan);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(reaches(OUTSIDE));
	ck_assert(!fixture_shell_says("tbf", "tc -n ns-1 qdisc show dev tap0"));
}
END_TEST

static bool fails_at_rate(const char *step)
{
	return strcmp(step, "rate") == 0;
}

START_TEST(a_failed_update_leaves_the_former_policy)
{
	struct egress egress = { .internet = false };
	struct bandwidth bandwidth = { .to_guest = { .rate = 12500000, .burst = 1000000 } };
	struct fabric_plan plan = fixture_plan(1, "a1");
	struct result result;

	/* The rate comes after the rules, which are in place already when the update fails. */
	plan.egress = &egress;
	plan.bandwidth = &bandwidth;
	slot_fault_set(fails_at_rate);
	result = update(&plan);
	slot_fault_set(NULL);
	ck_assert(result.failed);
	ck_assert_int_eq(result.err.code, EIO);
	ck_assert(reaches(OUTSIDE));
}
END_TEST

START_TEST(nobody_repairs_what_a_failed_update_reverts)
{
	struct egress egress = { .internet = false };
	struct bandwidth bandwidth = { .to_guest = { .rate = 12500000, .burst = 1000000 } };
	struct fabric_plan plan = fixture_plan(1, "a1");

	plan.egress = &egress;
	plan.bandwidth = &bandwidth;
	for (unsigned i = 0; i < 20; i++) {
		struct result result = { 0 };

		slot_fault_set(fails_at_rate);
		fabric_update(host.fabric, &plan, fixture_done, &result);
		/* The rules are looked at all the time. */
		while (!result.done) {
			fabric_suspect_slot(fabric_slot_find(host.fabric, 1));
			event_base_loop(host.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		}
		slot_fault_set(NULL);
		ck_assert(result.failed);
		ck_assert(reaches(OUTSIDE));
	}
}
END_TEST

START_TEST(private_ranges_are_out_of_reach)
{
	ck_assert(!reaches(PRIVATE));
}
END_TEST

struct collected {
	bool done;
	size_t count;
	struct fabric_counts first;
	struct err err;
};

static void on_collected(void *context, const struct fabric_counts *counts, size_t count, const struct err *err)
{
	struct collected *collected = context;

	collected->done = true;
	collected->count = count;
	if (count)
		collected->first = counts[0];
	if (err)
		collected->err = *err;
}

static struct collected collect(unsigned number)
{
	struct collected collected = { 0 };

	fabric_collect(host.fabric, number, on_collected, &collected);
	ck_assert(!collected.done);
	fixture_await(&collected.done);
	return collected;
}

START_TEST(counters_are_collected_of_one_and_of_all)
{
	enum { COUNT = 20 };
	struct fabric_slot others[COUNT];

	for (unsigned i = 0; i < COUNT; i++)
		others[i] = fixture_make(i + 2, "other");
	ck_assert_uint_eq(collect(0).count, COUNT + 1);
	ck_assert_uint_eq(collect(7).count, 1);
	ck_assert_uint_eq(collect(7).first.slot, 7);
	ck_assert_uint_eq(collect(99).count, 0);
	ck_assert_int_eq(collect(99).err.code, ENOENT);
	for (unsigned i = 0; i < COUNT; i++)
		fixture_destroy(&others[i]);
}
END_TEST

START_TEST(flows_of_a_slot_are_forgotten)
{
	struct result result = { 0 };

	free(fixture_shell("ip netns exec ns-1 ping -c1 -W1 10.12.0.2 || true"));
	fabric_flush_flows(host.fabric, 1, fixture_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(fixture_shell_says("0", "ip netns exec ns-1 cat /proc/sys/net/netfilter/nf_conntrack_count"));
}
END_TEST

START_TEST(what_is_asked_of_no_slot_is_refused)
{
	struct fabric_plan plan = fixture_plan(9, "a9");
	struct result updated = update(&plan), flushed = { 0 };
	struct reached reached = { 0 };

	ck_assert_int_eq(updated.err.code, ENOENT);
	fabric_flush_flows(host.fabric, 9, fixture_done, &flushed);
	fixture_await(&flushed.done);
	ck_assert_int_eq(flushed.err.code, ENOENT);
	fabric_reach(host.fabric, 9, OUTSIDE, IPPROTO_TCP, 443, on_reach, &reached);
	fixture_await(&reached.done);
	ck_assert_int_eq(reached.err.code, ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric update");
	TCase *live = tcase_create("live");

	tcase_add_checked_fixture(live, setup, teardown);
	tcase_set_timeout(live, 120);
	tcase_add_test(live, an_update_replaces_policy_and_rate);
	tcase_add_test(live, a_failed_update_leaves_the_former_policy);
	tcase_add_test(live, nobody_repairs_what_a_failed_update_reverts);
	tcase_add_test(live, private_ranges_are_out_of_reach);
	tcase_add_test(live, counters_are_collected_of_one_and_of_all);
	tcase_add_test(live, flows_of_a_slot_are_forgotten);
	tcase_add_test(live, what_is_asked_of_no_slot_is_refused);
	suite_add_tcase(suite, live);
	return fixture_run(suite);
}
