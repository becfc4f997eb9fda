/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/registry/registry_fixture.h"

#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct spec *named(const char *name)
{
	struct spec *spec = empty_spec();

	snprintf(spec->name, sizeof(spec->name), "%s", name);
	return spec;
}

/* Prepares a change of the name alone. */
static int prepare(struct sandbox *sandbox, const char *name, struct registry_patch *patch)
{
	struct spec *wanted = registry_spec_copy(sandbox->spec);
	int result;

	ck_assert_ptr_nonnull(wanted);
	snprintf(wanted->name, sizeof(wanted->name), "%s", name);
	result = registry_patch_prepare(registry, sandbox, wanted, false, patch, &problem);
	if (result < 0)
		registry_spec_free(wanted);
	return result;
}

static void rename_to(struct sandbox *sandbox, const char *name)
{
	struct registry_patch patch;

	ck_assert_msg(prepare(sandbox, name, &patch) == 0, "%s", problem.detail);
	registry_patch_commit(registry, &patch);
}

static void refused_name(struct sandbox *sandbox, const char *name, const char *detail)
{
	struct registry_patch patch;

	ck_assert_int_eq(prepare(sandbox, name, &patch), -1);
	ck_assert_int_eq(problem.kind, PROBLEM_CONFLICT);
	ck_assert_str_eq(problem.field, "/name");
	ck_assert_msg(strstr(problem.detail, detail) != NULL, "\"%s\" lacks \"%s\"", problem.detail, detail);
}

START_TEST(a_sandbox_is_found_by_id_and_by_name)
{
	struct sandbox *a = added("a", named("web")), *b = added("b", empty_spec());

	ck_assert_ptr_eq(registry_lookup(registry, "a"), a);
	ck_assert_ptr_eq(registry_lookup(registry, "web"), a);
	ck_assert_ptr_eq(registry_lookup(registry, "b"), b);
	ck_assert_ptr_eq(registry_find(registry, "a"), a);
	ck_assert_ptr_null(registry_find(registry, "web"));
	ck_assert_ptr_null(registry_lookup(registry, "we"));
	ck_assert_ptr_null(registry_lookup(registry, ""));
	ck_assert_str_eq(registry_sandbox_name(a), "web");
	ck_assert_ptr_null(registry_sandbox_name(b));
}
END_TEST

START_TEST(a_text_means_one_sandbox_whether_it_is_id_or_name)
{
	struct sandbox *a = added("a", named("web")), *b = added("b", empty_spec());

	refused("c", named("web"), PROBLEM_CONFLICT, "/name", "sandbox a, which is creating, has the name web");
	refused("c", named("b"), PROBLEM_CONFLICT, "/name", "b is the id of a sandbox");
	refused("web", empty_spec(), PROBLEM_CONFLICT, "id", "web is the name of sandbox a");
	refused_name(b, "web", "sandbox a");
	refused_name(b, "a", "a is the id");
	ck_assert_ptr_eq(registry_lookup(registry, "web"), a);
	ck_assert_ptr_null(registry_sandbox_name(b));
}
END_TEST

START_TEST(a_refused_registration_holds_neither_id_nor_name)
{
	added("holder", with_listen("127.0.0.1:18080"));
	struct spec *spec = with_listen("127.0.0.1:18080");

	strcpy(spec->name, "web");
	refused("a", spec, PROBLEM_CONFLICT, "/ports/0/listen", "holder");
	added("b", named("a"));
	added("web", empty_spec());
}
END_TEST

START_TEST(the_end_of_a_sandbox_frees_id_and_name)
{
	registry_remove(registry, added("a", named("web")));
	ck_assert_ptr_null(registry_lookup(registry, "web"));
	added("web", named("a"));
}
END_TEST

START_TEST(a_sandbox_may_have_its_id_for_a_name)
{
	struct sandbox *a = added("a", named("a"));

	ck_assert_ptr_eq(registry_lookup(registry, "a"), a);
	ck_assert_str_eq(registry_sandbox_name(a), "a");
	rename_to(a, "web");
	rename_to(a, "a");
	ck_assert_ptr_null(registry_lookup(registry, "web"));
	ck_assert_ptr_eq(registry_find(registry, "a"), a);
	registry_remove(registry, a);
	added("a", empty_spec());
}
END_TEST

START_TEST(a_name_is_changed_taken_away_and_given_to_another)
{
	struct sandbox *a = added("a", named("old")), *b = added("b", empty_spec());

	rename_to(a, "new");
	ck_assert_ptr_null(registry_lookup(registry, "old"));
	ck_assert_ptr_eq(registry_lookup(registry, "new"), a);
	rename_to(a, "new"); /* the same once more */
	ck_assert_ptr_eq(registry_lookup(registry, "new"), a);
	rename_to(b, "old");
	rename_to(a, "");
	ck_assert_ptr_null(registry_sandbox_name(a));
	rename_to(b, "new");
	ck_assert_ptr_eq(registry_lookup(registry, "new"), b);
	ck_assert_ptr_null(registry_lookup(registry, "old"));
}
END_TEST

START_TEST(a_prepared_name_is_kept_and_means_nobody_yet)
{
	struct sandbox *a = added("a", named("old")), *b = added("b", empty_spec());
	struct registry_patch patch;

	ck_assert_int_eq(prepare(a, "new", &patch), 0);
	ck_assert_ptr_null(registry_lookup(registry, "new"));
	ck_assert_ptr_eq(registry_lookup(registry, "old"), a);
	refused("c", named("new"), PROBLEM_CONFLICT, "/name", "sandbox a");
	refused("c", named("old"), PROBLEM_CONFLICT, "/name", "sandbox a");
	refused("new", empty_spec(), PROBLEM_CONFLICT, "id", "sandbox a");
	refused_name(b, "new", "sandbox a");
	registry_patch_abort(registry, &patch);
	ck_assert_ptr_eq(registry_lookup(registry, "old"), a);
	rename_to(b, "new");
	ck_assert_ptr_eq(registry_lookup(registry, "new"), b);
}
END_TEST

START_TEST(a_change_that_is_refused_for_something_else_gives_the_name_back)
{
	struct sandbox *a = added("a", named("old"));
	struct spec *wanted = default_spec();
	struct registry_patch patch;

	added("b", default_spec());
	strcpy(wanted->name, "new");
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, false, &patch, &problem), -1);
	ck_assert_str_eq(problem.field, "/default");
	registry_spec_free(wanted);
	ck_assert_ptr_eq(registry_lookup(registry, "old"), a);
	added("c", named("new"));
}
END_TEST

START_TEST(a_change_of_something_else_keeps_the_name)
{
	struct sandbox *a = added("a", named("web"));
	struct spec *wanted = registry_spec_copy(a->spec);
	struct registry_patch patch;

	add_port(wanted, 80);
	ck_assert_int_eq(registry_patch_prepare(registry, a, wanted, false, &patch, &problem), 0);
	ck_assert_ptr_eq(registry_lookup(registry, "web"), a);
	registry_patch_commit(registry, &patch);
	ck_assert_ptr_eq(registry_lookup(registry, "web"), a);
	registry_remove(registry, a);
	ck_assert_ptr_null(registry_lookup(registry, "web"));
}
END_TEST

START_TEST(a_stored_sandbox_is_not_adopted_under_a_text_of_another)
{
	struct sandbox *a = added("a", named("web"));
	struct spec *spec = named("web");

	ck_assert_ptr_null(registry_adopt(registry, "b", 7, NULL, spec, NULL, 0, &problem));
	ck_assert_str_eq(problem.field, "/name");
	registry_drop_name(registry, a);
	ck_assert_ptr_null(registry_sandbox_name(a));
	ck_assert_ptr_nonnull(registry_adopt(registry, "b", 7, NULL, spec, NULL, 0, &problem));
	ck_assert_str_eq(registry_lookup(registry, "web")->id, "b");
}
END_TEST

START_TEST(ten_thousand_names_are_each_found)
{
	enum { COUNT = 10000 };
	char id[32], name[32];

	for (int i = 0; i < COUNT; i++) {
		snprintf(id, sizeof(id), "id-%d", i);
		snprintf(name, sizeof(name), "name-%d", i);
		added(id, named(name));
	}
	for (int i = 0; i < COUNT; i++) {
		snprintf(id, sizeof(id), "id-%d", i);
		snprintf(name, sizeof(name), "name-%d", i);
		ck_assert_str_eq(registry_lookup(registry, name)->id, id);
		ck_assert_ptr_eq(registry_find(registry, id), registry_lookup(registry, name));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keys");
	TCase *tcase = tcase_create("keys");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, registry_setup, registry_teardown);
	tcase_add_test(tcase, a_sandbox_is_found_by_id_and_by_name);
	tcase_add_test(tcase, a_text_means_one_sandbox_whether_it_is_id_or_name);
	tcase_add_test(tcase, a_refused_registration_holds_neither_id_nor_name);
	tcase_add_test(tcase, the_end_of_a_sandbox_frees_id_and_name);
	tcase_add_test(tcase, a_sandbox_may_have_its_id_for_a_name);
	tcase_add_test(tcase, a_name_is_changed_taken_away_and_given_to_another);
	tcase_add_test(tcase, a_prepared_name_is_kept_and_means_nobody_yet);
	tcase_add_test(tcase, a_change_that_is_refused_for_something_else_gives_the_name_back);
	tcase_add_test(tcase, a_change_of_something_else_keeps_the_name);
	tcase_add_test(tcase, a_stored_sandbox_is_not_adopted_under_a_text_of_another);
	tcase_add_test(tcase, ten_thousand_names_are_each_found);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
