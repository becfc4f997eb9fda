/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a trouble is tried again: in its time, and ahead of it after a shortage. No kernel is asked, and no time passes. */
#include "fabric/slot.h"
#include "fabric/state.h"
#include "fabric/trouble.h"

#include "base/err.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <string.h>

static struct fabric fabric;
static struct slot slot;
static unsigned shortages, reports;

static void on_shortage(struct fabric *met)
{
	ck_assert_ptr_eq(met, &fabric);
	shortages++;
}

static void on_repair(void *context, const struct fabric_repair *repair)
{
	(void)context;
	(void)repair;
	reports++;
}

static void setup(void)
{
	struct err err;

	memset(&fabric, 0, sizeof(fabric));
	fabric.troubles = fabric_troubles_new(&err);
	fabric.met_shortage = on_shortage;
	fabric.watcher.repair = on_repair;
	slot = (struct slot){ .fabric = &fabric, .number = 7, .phase = SLOT_LIVE };
	fabric_trouble_init(&slot);
	shortages = reports = 0;
}

static void teardown(void)
{
	fabric_troubles_free(fabric.troubles);
}

static void begin(int code)
{
	struct err err;

	err_set(&err, code, "a test");
	fabric_trouble_begin(&slot, TROUBLE_LINKS, &err);
}

static bool is_due(void)
{
	struct trouble *trouble = fabric_trouble_take_due(&fabric);

	ck_assert(!trouble || trouble == &slot.troubles[TROUBLE_LINKS]);
	return trouble;
}

/* How many seconds pass until it is due. */
static unsigned await_due(void)
{
	for (unsigned second = 1; second <= 100; second++) {
		fabric_trouble_tick(&fabric);
		if (is_due())
			return second;
	}
	ck_abort_msg("never due");
}

START_TEST(the_pauses_grow_to_half_a_minute)
{
	static const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		begin(EBUSY);
		ck_assert(!is_due());
		ck_assert_uint_eq(await_due(), pauses[i]);
	}
	ck_assert_uint_eq(reports, 1);
	fabric_trouble_end(&slot, TROUBLE_LINKS);
	ck_assert_uint_eq(reports, 2);
	begin(EBUSY);
	ck_assert_uint_eq(await_due(), 1);
}
END_TEST

START_TEST(a_shortage_is_reported_and_its_end_makes_what_waits_due)
{
	begin(EBUSY);
	ck_assert_uint_eq(shortages, 0);
	ck_assert_uint_eq(await_due(), 1);
	begin(ENOBUFS);
	ck_assert_uint_eq(shortages, 1);
	ck_assert(!is_due());
	fabric_troubles_hurry(&fabric);
	ck_assert(is_due());
	fabric_trouble_end(&slot, TROUBLE_LINKS);
	fabric_troubles_hurry(&fabric);
	ck_assert(!is_due());
}
END_TEST

START_TEST(a_trouble_that_stays_is_tried_ahead_a_few_times_a_pause_and_its_pauses_grow)
{
	static const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };

	begin(ENOMEM);
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		for (unsigned hurry = 0; hurry < FABRIC_HURRIES_MAX; hurry++) {
			fabric_troubles_hurry(&fabric);
			ck_assert(is_due());
			begin(ENOMEM);
			ck_assert(!is_due());
		}
		fabric_troubles_hurry(&fabric);
		ck_assert(!is_due());
		ck_assert_uint_eq(await_due(), pauses[i]);
		begin(ENOMEM);
	}
	ck_assert_uint_eq(reports, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric trouble");
	TCase *again = tcase_create("again");

	tcase_add_checked_fixture(again, setup, teardown);
	tcase_add_test(again, the_pauses_grow_to_half_a_minute);
	tcase_add_test(again, a_shortage_is_reported_and_its_end_makes_what_waits_due);
	tcase_add_test(again, a_trouble_that_stays_is_tried_ahead_a_few_times_a_pause_and_its_pauses_grow);
	suite_add_tcase(suite, again);
	return run_suite(suite);
}
