/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/registry/registry_fixture.h"

#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static struct spec *wanted_of(const struct sandbox *sandbox)
{
	struct spec *spec = registry_spec_copy(sandbox->spec);

	ck_assert_ptr_nonnull(spec);
	return spec;
}

static struct registry_patch prepared(struct sandbox *sandbox, struct spec *wanted)
{
	struct registry_patch patch;

	ck_assert_msg(registry_patch_prepare(registry, sandbox, wanted, false, &patch, &problem) == 0, "%s",
		      problem.detail);
	return patch;
}

START_TEST(a_change_keeps_open_what_stays)
{
	struct sandbox *a = added("a", with_automatic(2));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;
	int handle;

	a->endpoints[1].handles[0] = &handle;
	wanted->ports[0] = wanted->ports[1]; /* the first goes */
	wanted->port_count = 1;
	add_listen(wanted, 9090, "127.0.0.1:19090");
	patch = prepared(a, wanted);
	ck_assert_ptr_eq(patch.endpoints[0].handles[0], &handle);
	ck_assert_ptr_null(patch.endpoints[1].handles[0]);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	registry_patch_commit(registry, &patch);
	ck_assert_uint_eq(a->endpoint_count, 2);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20001");
	ck_assert_str_eq(listens_on(a, 1, 0), "127.0.0.1:19090");
	ck_assert_str_eq(listens_on(added("b", with_automatic(1)), 0, 0), "127.0.0.1:20000");
	refused("c", with_listen("127.0.0.1:19090"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
}
END_TEST

START_TEST(an_aborted_change_leaves_all_as_it_was)
{
	struct sandbox *a = added("a", with_automatic(1));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;

	wanted->port_count = 0;
	wanted->is_default = true;
	add_listen(wanted, 9090, "127.0.0.1:19090");
	patch = prepared(a, wanted);
	refused("b", with_listen("127.0.0.1:19090"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
	refused("b", default_spec(), PROBLEM_CONFLICT, "/default", "sandbox a");
	registry_patch_abort(registry, &patch);
	ck_assert_uint_eq(a->endpoint_count, 1);
	ck_assert_str_eq(listens_on(a, 0, 0), "127.0.0.1:20000");
	added("b", with_listen("127.0.0.1:19090"));
	added("c", default_spec());
	refused("d", with_listen("127.0.0.1:20000"), PROBLEM_CONFLICT, "/ports/0/listen", "sandbox a");
}
END_TEST

START_TEST(a_refused_change_names_the_place_in_publish)
{
	struct sandbox *a = added("a", with_automatic(2));
	struct spec *wanted = wanted_of(a);
	struct registry_patch patch;

	added("holder", with_listen("127.0.0.1:18080"));
	add_port(wanted, 9000);
	add_listen(wanted, 9001, "127.0.0.1:18080");
	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, false, &patch, &problem), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_str_eq(problem.field, "/publish/1/listen");
	ck_assert_ptr_nonnull(strstr(problem.detail, "sandbox holder"));
	registry_spec_free(wanted);
	added("b", default_spec());
	ck_assert_str_eq(listens_on(added("c", with_automatic(1)), 0, 0), "127.0.0.1:20002");
}
END_TEST

START_TEST(an_address_changes_its_guest_port_by_two_changes)
{
	struct sandbox *a = added("a", with_listen("127.0.0.1:18080"));
	struct spec *wanted = empty_spec();
	struct registry_patch patch;

	add_listen(wanted, 9090, "127.0.0.1:18080");
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, false, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, "/publish/0/listen");
	ck_assert_ptr_nonnull(strstr(problem.detail, "by this sandbox"));
	wanted->port_count = 0;
	patch = prepared(a, wanted);
	registry_patch_commit(registry, &patch);
	wanted = empty_spec();
	add_listen(wanted, 9090, "127.0.0.1:18080");
	patch = prepared(a, wanted);
	registry_patch_commit(registry, &patch);
	ck_assert_uint_eq(a->endpoints[0].port.guest_port, 9090);
}
END_TEST

START_TEST(a_change_that_takes_the_default_leaves_it_until_it_is_committed)
{
	struct sandbox *a = added("a", default_spec()), *b = added("b", empty_spec()), *c = added("c", empty_spec());
	struct spec *wanted = wanted_of(b);
	struct registry_patch patch, other;

	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, b, wanted, true, &patch, &problem), 0);
	ck_assert_ptr_eq(registry_default(registry), a);
	ck_assert_ptr_eq(registry_default_holder(registry), b);
	/* Nobody else gets it meanwhile. */
	wanted = wanted_of(c);
	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, c, wanted, false, &other, &problem), -1);
	registry_patch_abort(registry, &patch);
	ck_assert_ptr_eq(registry_default_holder(registry), a);
	ck_assert(a->spec->is_default);

	ck_assert_int_eq(registry_patch_prepare(registry, c, wanted, true, &patch, &problem), 0);
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_eq(registry_default(registry), c);
	ck_assert_ptr_eq(registry_default_holder(registry), c);
	ck_assert(!a->spec->is_default && c->spec->is_default);
	ck_assert_uint_gt(c->default_turn, a->default_turn);
}
END_TEST

START_TEST(a_turn_that_no_file_can_hold_is_not_given)
{
	struct sandbox *a = added("a", default_spec()), *b = added("b", empty_spec());
	struct spec *wanted = wanted_of(b);
	struct registry_patch patch;

	registry_set_default_turn(registry, a, INT64_MAX);
	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, b, wanted, true, &patch, &problem), 0);
	ck_assert_uint_le(patch.default_turn, INT64_MAX);
	registry_patch_commit(registry, &patch);
}
END_TEST

START_TEST(the_default_moves_by_two_changes)
{
	struct sandbox *a = added("a", default_spec()), *b = added("b", empty_spec());
	struct spec *wanted = wanted_of(b);
	struct registry_patch patch;

	wanted->is_default = true;
	ck_assert_int_eq(registry_patch_prepare(registry, b, wanted, false, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, "/default");
	registry_spec_free(wanted);

	wanted = wanted_of(a);
	wanted->is_default = false;
	patch = prepared(a, wanted);
	ck_assert_ptr_eq(registry_default(registry), a);
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_null(registry_default(registry));

	wanted = wanted_of(b);
	wanted->is_default = true;
	patch = prepared(b, wanted);
	ck_assert_ptr_null(registry_default(registry));
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_eq(registry_default(registry), b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("change");
	TCase *tcase = tcase_create("change");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, registry_setup, registry_teardown);
	tcase_add_test(tcase, a_change_keeps_open_what_stays);
	tcase_add_test(tcase, an_aborted_change_leaves_all_as_it_was);
	tcase_add_test(tcase, a_refused_change_names_the_place_in_publish);
	tcase_add_test(tcase, an_address_changes_its_guest_port_by_two_changes);
	tcase_add_test(tcase, a_change_that_takes_the_default_leaves_it_until_it_is_committed);
	tcase_add_test(tcase, a_turn_that_no_file_can_hold_is_not_given);
	tcase_add_test(tcase, the_default_moves_by_two_changes);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
