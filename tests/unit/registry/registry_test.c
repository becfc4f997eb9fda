/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/registry/registry_fixture.h"

#include "config/config.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* ---- Slots ---- */

START_TEST(the_lowest_free_slot_is_given)
{
	struct sandbox *a = added("a", empty_spec()), *b = added("b", empty_spec()), *c = added("c", empty_spec());

	ck_assert_uint_eq(a->slot, 1);
	ck_assert_uint_eq(b->slot, 2);
	ck_assert_uint_eq(c->slot, 3);
	registry_remove(registry, b);
	registry_remove(registry, a);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 1);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 2);
	ck_assert_uint_eq(added("f", empty_spec())->slot, 4);
}
END_TEST

START_TEST(a_blocked_slot_is_skipped_until_it_is_unblocked)
{
	struct sandbox *a = added("a", empty_spec());

	registry_block_slot(registry, 2, "veth-2 is not ours");
	registry_block_slot(registry, 2, "veth-2 is not ours");
	ck_assert_uint_eq(added("b", empty_spec())->slot, 3);
	registry_block_slot(registry, 1, "being taken apart");
	registry_remove(registry, a);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 4);
	registry_unblock_slot(registry, 2);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 2);
	registry_unblock_slot(registry, 1);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 1);
}
END_TEST

START_TEST(a_preferred_slot_is_given_once_and_only_if_it_is_free)
{
	registry_prefer_slot(registry, 50);
	ck_assert_uint_eq(added("a", empty_spec())->slot, 50);
	ck_assert_uint_eq(added("b", empty_spec())->slot, 1);
	registry_prefer_slot(registry, 50);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 2);
	registry_block_slot(registry, 60, "busy");
	registry_prefer_slot(registry, 60);
	ck_assert_uint_eq(added("d", empty_spec())->slot, 3);
	registry_prefer_slot(registry, 65535);
	ck_assert_uint_eq(added("e", empty_spec())->slot, 4);
}
END_TEST

START_TEST(all_slots_can_be_filled_and_then_it_is_said_why_there_is_none)
{
	unsigned last = config_slot_max(&config->layout);
	char id[16];

	registry_block_slot(registry, 7, "veth-7 is not ours");
	for (unsigned i = 1; i < last; i++) {
		snprintf(id, sizeof(id), "s%u", i);
		added(id, empty_spec());
	}
	refused("one-more", empty_spec(), PROBLEM_UNAVAILABLE, "", "veth-7 is not ours");
	registry_unblock_slot(registry, 7);
	ck_assert_uint_eq(added("last", empty_spec())->slot, 7);
	refused("one-more", empty_spec(), PROBLEM_UNAVAILABLE, "", "no slot is free");
	ck_assert_uint_eq(registry_count(registry), last);
	ck_assert_uint_eq(registry_find(registry, "s9")->slot, 10);
}
END_TEST

START_TEST(sandboxes_are_walked_by_slot)
{
	unsigned expected[] = { 1, 3, 40 };
	size_t seen = 0;

	added("a", empty_spec());
	registry_remove(registry, added("b", empty_spec()));
	registry_prefer_slot(registry, 40);
	added("c", empty_spec());
	registry_prefer_slot(registry, 3);
	added("d", empty_spec());
	for (struct sandbox *s = registry_next(registry, 0); s; s = registry_next(registry, s->slot))
		ck_assert_uint_eq(s->slot, expected[seen++]);
	ck_assert_uint_eq(seen, 3);
	ck_assert_ptr_null(registry_at(registry, 2));
	ck_assert_str_eq(registry_at(registry, 40)->id, "c");
}
END_TEST

/* ---- The default ---- */

START_TEST(the_default_is_the_one_registered_so_else_the_only_one)
{
	struct sandbox *a, *b;

	ck_assert_ptr_null(registry_default(registry));
	a = added("a", empty_spec());
	ck_assert_ptr_eq(registry_default(registry), a);
	b = added("b", empty_spec());
	ck_assert_ptr_null(registry_default(registry));
	registry_remove(registry, a);
	ck_assert_ptr_eq(registry_default(registry), b);
	a = added("c", default_spec());
	ck_assert_ptr_eq(registry_default(registry), a);
	refused("d", default_spec(), PROBLEM_CONFLICT, "/default", "sandbox c is");
	registry_remove(registry, a);
	ck_assert_ptr_eq(registry_default(registry), b);
	added("d", default_spec());
}
END_TEST

/* ---- Adoption ---- */

START_TEST(an_adopted_sandbox_has_the_slot_and_the_addresses_of_its_file)
{
	struct endpoint endpoint = { .listen_count = 2 };
	struct spec *spec = with_automatic(1), *other = with_automatic(1);
	struct sandbox *a;

	endpoint.listen[0] = addr_from_ipv4(INADDR_LOOPBACK, 20123);
	endpoint.listen[1] = addr_loopback6(20123);
	a = registry_adopt(registry, "a", 9, NULL, spec, &endpoint, 1, &problem);
	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->slot, 9);
	ck_assert_str_eq(listens_on(a, 0, 1), "[::1]:20123");
	ck_assert_int_eq(a->state, SANDBOX_CREATING);

	ck_assert_ptr_null(registry_adopt(registry, "b", 9, NULL, other, &endpoint, 1, &problem));
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_ptr_null(registry_adopt(registry, "a", 10, NULL, other, &endpoint, 1, &problem));
	ck_assert_str_eq(problem.field, "id");
	ck_assert_ptr_null(registry_adopt(registry, "b", 10, NULL, other, &endpoint, 1, &problem));
	ck_assert_ptr_nonnull(strstr(problem.detail, "sandbox a"));
	ck_assert_ptr_null(registry_adopt(registry, "b", 32767, NULL, other, &endpoint, 1, &problem));
	ck_assert_ptr_null(registry_adopt(registry, "b", 0, NULL, other, &endpoint, 1, &problem));
	ck_assert_ptr_null(registry_adopt(registry, "b", 10, NULL, other, &endpoint, 0, &problem));
	registry_spec_free(other);
	ck_assert_uint_eq(added("c", empty_spec())->slot, 1);
}
END_TEST

/* ---- States ---- */

struct told {
	unsigned times;
	enum sandbox_state from, to;
	char cause[32];
};

static void remember(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
		     uint64_t previous_ms)
{
	struct told *told = context;

	(void)previous_ms;
	told->times++;
	told->from = from;
	told->to = sandbox->state;
	snprintf(told->cause, sizeof(told->cause), "%s", cause);
}

START_TEST(a_change_of_state_is_counted_and_told_once)
{
	struct told told = { 0 };
	struct registry_watcher watcher = { .state_changed = remember, .context = &told };
	struct sandbox *a = added("a", empty_spec());

	registry_watch(registry, &watcher);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_CREATING), 1);
	registry_sandbox_set_state(registry, a, SANDBOX_WAITING, "registered", NULL);
	registry_sandbox_set_state(registry, a, SANDBOX_WAITING, "registered", NULL);
	ck_assert_uint_eq(told.times, 1);
	ck_assert_int_eq(told.from, SANDBOX_CREATING);
	ck_assert_int_eq(told.to, SANDBOX_WAITING);
	ck_assert_str_eq(told.cause, "registered");
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_CREATING), 0);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_WAITING), 1);
	registry_sandbox_set_state(registry, a, SANDBOX_FAILED, "fabric", "veth-1 is gone");
	ck_assert_str_eq(a->reason, "veth-1 is gone");
	registry_sandbox_set_state(registry, a, SANDBOX_WAITING, "repaired", NULL);
	ck_assert_str_eq(a->reason, "");
	registry_remove(registry, a);
	ck_assert_uint_eq(registry_count_state(registry, SANDBOX_WAITING), 0);
}
END_TEST

START_TEST(the_state_follows_from_what_is_known)
{
	struct sandbox *a = added("a", empty_spec());

	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_WAITING);
	a->carrier = a->was_attached = true;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_READY);
	a->spec->ready_port = 49983;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_ATTACHED);
	a->guest_answers = true;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_READY);
	a->paused = true;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_PAUSED);
	a->carrier = false;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_PAUSED);
	a->paused = false;
	ck_assert_int_eq(registry_sandbox_settled_state(a), SANDBOX_DETACHED);
}
END_TEST

START_TEST(states_are_read_by_their_names)
{
	enum sandbox_state state;

	for (int i = 0; i < SANDBOX_STATES; i++) {
		ck_assert_int_eq(
		    registry_sandbox_state_parse(registry_sandbox_state_name((enum sandbox_state)i), &state), 0);
		ck_assert_int_eq(state, i);
	}
	ck_assert_int_eq(registry_sandbox_state_parse("Ready", &state), -1);
	ck_assert_int_eq(registry_sandbox_state_parse("", &state), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registry");
	TCase *tcase = tcase_create("registry");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, registry_setup, registry_teardown);
	tcase_add_test(tcase, the_lowest_free_slot_is_given);
	tcase_add_test(tcase, a_blocked_slot_is_skipped_until_it_is_unblocked);
	tcase_add_test(tcase, a_preferred_slot_is_given_once_and_only_if_it_is_free);
	tcase_add_test(tcase, all_slots_can_be_filled_and_then_it_is_said_why_there_is_none);
	tcase_add_test(tcase, sandboxes_are_walked_by_slot);
	tcase_add_test(tcase, the_default_is_the_one_registered_so_else_the_only_one);
	tcase_add_test(tcase, an_adopted_sandbox_has_the_slot_and_the_addresses_of_its_file);
	tcase_add_test(tcase, a_change_of_state_is_counted_and_told_once);
	tcase_add_test(tcase, the_state_follows_from_what_is_known);
	tcase_add_test(tcase, states_are_read_by_their_names);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
