/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of a slot's moves: which are allowed, and that the listeners are notified in order. No kernel is asked. */
#include "fabric/slot.h"
#include "fabric/state.h"

#include "base/log.h"
#include "unit/run_suite.h"

#include <check.h>
#include <signal.h>
#include <string.h>

static struct fabric fabric;
static struct slot slot;

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	memset(&fabric, 0, sizeof(fabric));
	slot = (struct slot){ .fabric = &fabric, .number = 7 };
}

/* Moves the slot through the phases that follow, up to SLOT_NEW. */
static void walk(const enum slot_phase *phases)
{
	for (; *phases != SLOT_NEW; phases++) {
		ck_assert(fabric_slot_may_become(slot.phase, *phases));
		slot_become(&slot, *phases, "a test");
		ck_assert_int_eq(slot.phase, *phases);
	}
}

START_TEST(a_whole_life_is_in_the_table)
{
	static const enum slot_phase lives[][16] = {
		{ SLOT_MAKING, SLOT_LIVE, SLOT_LEAVING, SLOT_TEARDOWN, SLOT_DRAINING, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_PREPARING, SLOT_READY, SLOT_CLAIMING, SLOT_LIVE, SLOT_SILENCING, SLOT_QUARANTINE, SLOT_RENEWING,
		  SLOT_READY, SLOT_LEAVING, SLOT_TEARDOWN, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_PREPARING, SLOT_CLAIMING, SLOT_READY, SLOT_CLAIMING, SLOT_LEAVING, SLOT_TEARDOWN, SLOT_STUCK,
		  SLOT_LEAVING, SLOT_TEARDOWN, SLOT_DRAINING, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_ADOPTING, SLOT_KEPT, SLOT_LEAVING, SLOT_TEARDOWN, SLOT_DRAINING, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_ADOPTING, SLOT_LIVE, SLOT_FAILED, SLOT_LEAVING, SLOT_TEARDOWN, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_LEAVING, SLOT_TEARDOWN, SLOT_VANISHED, SLOT_GONE },
		{ SLOT_MAKING, SLOT_GONE },
	};

	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		slot.phase = SLOT_NEW;
		walk(lives[i]);
		ck_assert_int_eq(slot.phase, SLOT_GONE);
		for (size_t phase = 0; phase < SLOT_PHASES; phase++)
			ck_assert_uint_eq(fabric.states.counts[phase], 0);
	}
}
END_TEST

/* So that a line about a slot without one has no empty field. */
START_TEST(a_slot_has_a_sandbox_only_if_its_plan_names_one)
{
	struct fabric_plan pools = { .slot = 7, .id = "" }, sandboxes = { .slot = 7, .id = "a" };
	struct plan_share nobodys = { .plan = &pools }, somebodys = { .plan = &sandboxes };

	ck_assert_ptr_null(fabric_slot_sandbox(&slot));
	slot.plan = &nobodys;
	ck_assert_ptr_null(fabric_slot_sandbox(&slot));
	slot.plan = &somebodys;
	ck_assert_str_eq(fabric_slot_sandbox(&slot), "a");
	slot.plan = NULL;
}
END_TEST

START_TEST(a_failed_slot_may_be_live_again)
{
	walk((const enum slot_phase[]){ SLOT_MAKING, SLOT_LIVE, SLOT_FAILED, SLOT_LIVE, SLOT_NEW });
}
END_TEST

START_TEST(each_phase_has_a_name_and_a_way_on)
{
	for (enum slot_phase from = SLOT_NEW; from < SLOT_PHASES; from++) {
		unsigned ways = 0;

		ck_assert_ptr_nonnull(fabric_slot_phase_name(from));
		for (enum slot_phase to = SLOT_NEW; to < SLOT_PHASES; to++) {
			ways += fabric_slot_may_become(from, to);
			ck_assert(!(fabric_slot_may_become(from, to) && to == from));
		}
		ck_assert(from == SLOT_GONE ? ways == 0 : ways > 0);
		ck_assert(!fabric_slot_may_become(from, SLOT_NEW));
	}
}
END_TEST

START_TEST(what_would_skip_a_step_is_not_in_the_table)
{
	static const enum slot_phase forbidden[][2] = {
		{ SLOT_NEW, SLOT_LIVE },         { SLOT_PREPARING, SLOT_LIVE },   { SLOT_MAKING, SLOT_READY },
		{ SLOT_READY, SLOT_LIVE },       { SLOT_READY, SLOT_GONE },       { SLOT_LIVE, SLOT_READY },
		{ SLOT_LIVE, SLOT_QUARANTINE },  { SLOT_FAILED, SLOT_SILENCING }, { SLOT_KEPT, SLOT_LIVE },
		{ SLOT_QUARANTINE, SLOT_READY }, { SLOT_QUARANTINE, SLOT_LIVE },  { SLOT_LEAVING, SLOT_LIVE },
		{ SLOT_LEAVING, SLOT_GONE },     { SLOT_STUCK, SLOT_TEARDOWN },   { SLOT_DRAINING, SLOT_STUCK },
		{ SLOT_VANISHED, SLOT_LEAVING },
	};

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		ck_assert_msg(!fabric_slot_may_become(forbidden[i][0], forbidden[i][1]), "%s to %s",
			      fabric_slot_phase_name(forbidden[i][0]), fabric_slot_phase_name(forbidden[i][1]));
}
END_TEST

/* ---- listeners ---- */

struct note {
	char listener;
	enum slot_phase from, to;
	const char *cause;
};

static struct note notes[8];
static size_t note_count;
static char a = 'a', b = 'b', c = 'c';

static void note_move(void *context, struct slot *moved, enum slot_phase from, const char *cause)
{
	ck_assert_ptr_eq(moved, &slot);
	ck_assert_uint_lt(note_count, sizeof(notes) / sizeof(notes[0]));
	notes[note_count++] =
	    (struct note){ .listener = *(const char *)context, .from = from, .to = moved->phase, .cause = cause };
}

/* The last listener, as teardown is. */
static void note_and_move_on(void *context, struct slot *moved, enum slot_phase from, const char *cause)
{
	note_move(context, moved, from, cause);
	if (moved->phase == SLOT_LEAVING)
		slot_become(moved, SLOT_TEARDOWN, "then");
}

static void expect_note(size_t at, char listener, enum slot_phase from, enum slot_phase to, const char *cause)
{
	ck_assert_uint_lt(at, note_count);
	ck_assert_int_eq(notes[at].listener, listener);
	ck_assert_int_eq(notes[at].from, from);
	ck_assert_int_eq(notes[at].to, to);
	ck_assert_str_eq(notes[at].cause, cause);
}

START_TEST(listeners_are_notified_in_order)
{
	fabric_slot_listen(&fabric.states, note_move, &a);
	fabric_slot_listen(&fabric.states, note_move, &b);
	fabric_slot_listen(&fabric.states, note_and_move_on, &c);
	note_count = 0;
	slot_become(&slot, SLOT_LEAVING, "first");
	ck_assert_uint_eq(note_count, 6);
	for (size_t i = 0; i < 3; i++) {
		expect_note(i, "abc"[i], SLOT_NEW, SLOT_LEAVING, "first");
		expect_note(3 + i, "abc"[i], SLOT_LEAVING, SLOT_TEARDOWN, "then");
	}
}
END_TEST

START_TEST(slots_are_counted_by_phase)
{
	struct slot other = { .fabric = &fabric, .number = 8 };

	slot_become(&slot, SLOT_MAKING, "a test");
	slot_become(&other, SLOT_MAKING, "a test");
	ck_assert_uint_eq(fabric.states.counts[SLOT_MAKING], 2);
	slot_become(&other, SLOT_LIVE, "a test");
	ck_assert_uint_eq(fabric.states.counts[SLOT_MAKING], 1);
	ck_assert_uint_eq(fabric.states.counts[SLOT_LIVE], 1);
	slot_become(&other, SLOT_SILENCING, "a test");
	ck_assert_uint_eq(fabric_slot_count_quarantined(&fabric.states), 1);
	slot_become(&other, SLOT_LEAVING, "a test");
	slot_become(&other, SLOT_TEARDOWN, "a test");
	ck_assert_uint_eq(fabric_slot_count_quarantined(&fabric.states), 0);
	ck_assert_uint_eq(fabric_slot_count_teardowns(&fabric.states), 1);
}
END_TEST

START_TEST(a_move_that_is_not_in_the_table_is_not_made)
{
	fabric_slot_listen(&fabric.states, note_move, &a);
	note_count = 0;
	slot_become(&slot, SLOT_LIVE, "a bug"); /* with assertions the test ends here, by SIGABRT */
	ck_assert_int_eq(slot.phase, SLOT_NEW);
	ck_assert_uint_eq(note_count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric slot_state");
	TCase *table = tcase_create("table");

	tcase_add_checked_fixture(table, setup, NULL);
	tcase_add_test(table, a_whole_life_is_in_the_table);
	tcase_add_test(table, a_slot_has_a_sandbox_only_if_its_plan_names_one);
	tcase_add_test(table, a_failed_slot_may_be_live_again);
	tcase_add_test(table, each_phase_has_a_name_and_a_way_on);
	tcase_add_test(table, what_would_skip_a_step_is_not_in_the_table);
	tcase_add_test(table, listeners_are_notified_in_order);
	tcase_add_test(table, slots_are_counted_by_phase);
#ifdef NDEBUG
	tcase_add_test(table, a_move_that_is_not_in_the_table_is_not_made);
#else
	tcase_add_test_raise_signal(table, a_move_that_is_not_in_the_table_is_not_made, SIGABRT);
#endif
	suite_add_tcase(suite, table);
	return run_suite(suite);
}
