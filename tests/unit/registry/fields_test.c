/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry/fields.h"

#include "config/config.h"
#include "registry/problem.h"
#include "registry/registry.h"
#include "registry/spec_patch.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* A struct with a field of each kind. */
struct inner {
	bool set;
	unsigned number;
};

struct outer {
	bool yes, either, has_either;
	uint16_t port;
	uint64_t large;
	struct inner inner;
	struct label *labels;
	size_t label_count;
	unsigned *numbers;
	size_t number_count;
};

static int compare_numbers(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(unsigned));
}

static int compare_labels(const void *left, const void *right)
{
	const struct label *a = left, *b = right;

	return strcmp(a->key, b->key);
}

static int labels_left = 100; /* so many can be copied before memory is out */

static int copy_label(void *item, const void *original)
{
	struct label *copy = item;

	if (labels_left-- <= 0)
		return -1;
	copy->key = strdup(((const struct label *)original)->key);
	return 0;
}

static void clear_label(void *item)
{
	free(((struct label *)item)->key);
}

static const struct spec_items number_items = {
	.kind = SPEC_ITEM_RULE,
	.size = sizeof(unsigned),
	.max = 9,
	.any_order = true,
	.compare = compare_numbers,
};

static const struct spec_items label_items = {
	.kind = SPEC_ITEM_LABEL,
	.size = sizeof(struct label),
	.max = 9,
	.compare = compare_labels,
	.copy = copy_label,
	.clear = clear_label,
};

static const char *const words[] = { "no", "yes" };

static const struct spec_field inner_fields[] = { SPEC_ROW_NUMBER("number", struct inner, number, 1, 5, 0) };
static const struct spec_table inner_table = { SPEC_TABLE_OF(inner_fields, struct inner) };

static const struct spec_field fields[] = {
	SPEC_ROW_BOOL("yes", struct outer, yes, SPEC_IN_PUT),
	SPEC_ROW_EITHER("either", struct outer, either, words, SPEC_HAS_GIVEN, SPEC_GIVEN_BY(struct outer, has_either)),
	SPEC_ROW_PORT("port", struct outer, port, SPEC_SHOWN),
	SPEC_ROW_LARGE("large", struct outer, large, 0, 1, 0),
	SPEC_ROW_OBJECT("inner", struct outer, inner, &inner_table, SPEC_HAS_GIVEN,
			SPEC_GIVEN_BY(struct outer, inner.set)),
	SPEC_ROW_LIST("labels", struct outer, labels, label_count, &label_items, 0),
	SPEC_ROW_LIST("numbers", struct outer, numbers, number_count, &number_items, 0),
};
static const struct spec_table table = { SPEC_TABLE_OF(fields, struct outer) };

static struct outer a, b;

static void fill(struct outer *outer)
{
	static const unsigned numbers[] = { 3, 1, 2 };

	*outer = (struct outer){ .yes = true, .port = 5, .large = UINT64_MAX, .inner = { true, 4 } };
	outer->labels = calloc(2, sizeof(*outer->labels));
	outer->label_count = 2;
	outer->labels[0].key = strdup("x");
	outer->labels[1].key = strdup("y");
	outer->numbers = malloc(sizeof(numbers));
	outer->number_count = 3;
	memcpy(outer->numbers, numbers, sizeof(numbers));
}

static void setup(void)
{
	fill(&a);
	fill(&b);
}

static void teardown(void)
{
	registry_spec_fields_clear(&table, &a);
	registry_spec_fields_clear(&table, &b);
	ck_assert(!a.labels && !a.label_count && !a.numbers && !a.number_count);
}

START_TEST(each_field_counts_for_equality)
{
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
	a.yes = false;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.yes = true;
	a.port = 6;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.port = 5;
	a.large--;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.large++;
	a.inner.number = 3;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.inner.number = 4;
	a.labels[1].key[0] = 'z';
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.labels[1].key[0] = 'y';
	a.number_count = 2;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	a.number_count = 3;
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
}
END_TEST

START_TEST(a_list_in_any_order_is_equal_in_any_order)
{
	a.numbers[0] = 2;
	a.numbers[2] = 3;
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
	a.numbers[0] = 1;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
}
END_TEST

START_TEST(what_was_not_given_is_not_compared)
{
	a.either = true;
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
	a.has_either = true;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	b.has_either = true;
	ck_assert(!registry_spec_fields_equal(&table, &a, &b));
	b.either = true;
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
	a.inner.set = b.inner.set = false;
	a.inner.number = 1;
	ck_assert(registry_spec_fields_equal(&table, &a, &b));
}
END_TEST

START_TEST(a_copy_owns_what_it_has)
{
	struct outer copy;

	ck_assert_int_eq(registry_spec_fields_copy(&table, &copy, &a), 0);
	ck_assert(registry_spec_fields_equal(&table, &copy, &a));
	ck_assert(copy.numbers != a.numbers && copy.labels != a.labels && copy.labels[0].key != a.labels[0].key);
	registry_spec_fields_clear(&table, &copy);
}
END_TEST

START_TEST(a_copy_that_fails_half_way_can_be_cleared)
{
	struct outer copy;

	labels_left = 1;
	ck_assert_int_eq(registry_spec_fields_copy(&table, &copy, &a), -1);
	registry_spec_fields_clear(&table, &copy);
	labels_left = 100;
}
END_TEST

START_TEST(values_are_exchanged_with_what_they_own_and_whether_they_were_given)
{
	struct label *labels = a.labels;

	b.has_either = b.either = true;
	b.inner = (struct inner){ 0 };
	b.label_count = 1;
	free(b.labels[1].key);
	for (size_t i = 0; i < table.count; i++)
		registry_spec_field_swap(&table.fields[i], &a, &b);
	ck_assert(a.has_either && a.either && !b.has_either && !b.either);
	ck_assert(!a.inner.set && b.inner.set && b.inner.number == 4);
	ck_assert(b.labels == labels && b.label_count == 2 && a.label_count == 1);
}
END_TEST

START_TEST(fields_are_found_by_name)
{
	ck_assert_ptr_eq(registry_spec_field_find(&table, "port"), &fields[2]);
	ck_assert_ptr_null(registry_spec_field_find(&table, "number"));
	ck_assert(registry_spec_field_is_given(&fields[2], &a));
	a.port = 0;
	ck_assert(!registry_spec_field_is_given(&fields[2], &a));
	ck_assert(!registry_spec_field_is_given(&fields[1], &a));
	registry_spec_field_set_given(&fields[1], &a, true);
	ck_assert(registry_spec_field_is_given(&fields[1], &a));
}
END_TEST

/* A PATCH's bits have a place for each field of the specification, and no command is called like a field. */
START_TEST(the_tables_fit_each_other)
{
	ck_assert_uint_le(spec_table.count, 64);
	for (size_t i = 0; i < spec_patch_table.count; i++)
		ck_assert_ptr_null(registry_spec_field_find(&spec_table, spec_patch_table.fields[i].name));
}
END_TEST

/* The one copy is that of the specification in force: what the PATCH gives is moved, and stays where it is in memory. */
START_TEST(a_patch_copies_a_specification_once)
{
	struct config *config = config_default();
	struct registry *registry = registry_new(config);
	struct problem problem;
	struct sandbox *sandbox = registry_add(registry, "a", registry_spec_new(config), &problem);
	struct spec_patch patch = { .given = registry_spec_new(config) };
	struct registry_patch prepared;

	patch.given->egress.allow = calloc(1, sizeof(*patch.given->egress.allow));
	patch.given->egress.allow_count = 1;
	patch.given_fields = UINT64_C(1) << (registry_spec_field_find(&spec_table, "egress") - spec_table.fields);
	ck_assert(registry_spec_patch_gives(&patch, "egress") && !registry_spec_patch_gives(&patch, "limits"));
	const struct egress_rule *given = patch.given->egress.allow;

	struct spec *wanted = registry_spec_patch_apply(sandbox, &patch, &problem);
	ck_assert_ptr_nonnull(wanted);
	ck_assert_ptr_eq(wanted->egress.allow, given);
	ck_assert_ptr_null(patch.given->egress.allow);
	registry_spec_patch_clear(&patch);

	/* A second attempt, with other automatic ports, takes the same one. */
	ck_assert_int_eq(registry_patch_prepare(registry, sandbox, wanted, false, &prepared, &problem), 0);
	ck_assert_ptr_eq(prepared.spec, wanted);
	prepared.spec = NULL;
	registry_patch_abort(registry, &prepared);
	ck_assert_int_eq(registry_patch_prepare(registry, sandbox, wanted, false, &prepared, &problem), 0);
	registry_patch_commit(registry, &prepared);
	ck_assert_ptr_eq(sandbox->spec, wanted);
	ck_assert_ptr_eq(sandbox->spec->egress.allow, given);
	registry_free(registry);
	config_free(config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fields");
	TCase *tcase = tcase_create("fields");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_field_counts_for_equality);
	tcase_add_test(tcase, a_list_in_any_order_is_equal_in_any_order);
	tcase_add_test(tcase, what_was_not_given_is_not_compared);
	tcase_add_test(tcase, a_copy_owns_what_it_has);
	tcase_add_test(tcase, a_copy_that_fails_half_way_can_be_cleared);
	tcase_add_test(tcase, values_are_exchanged_with_what_they_own_and_whether_they_were_given);
	tcase_add_test(tcase, fields_are_found_by_name);
	tcase_add_test(tcase, the_tables_fit_each_other);
	tcase_add_test(tcase, a_patch_copies_a_specification_once);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
