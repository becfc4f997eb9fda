/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/slab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 100, MANY = 5000 }; /* many: several blocks of 64 KiB */

static struct slab *slab;
static unsigned char *objects[MANY];

static void setup(void)
{
	slab = base_slab_new(SIZE);
	ck_assert_ptr_nonnull(slab);
}

static void teardown(void)
{
	base_slab_destroy(slab);
}

static void alloc_many(void)
{
	for (int i = 0; i < MANY; i++) {
		objects[i] = base_slab_alloc(slab);
		ck_assert_ptr_nonnull(objects[i]);
		memset(objects[i], i % 251, SIZE);
	}
}

static void free_all(void)
{
	for (int i = 0; i < MANY; i++)
		base_slab_free(slab, objects[i]);
}

START_TEST(objects_do_not_overlap)
{
	alloc_many();
	for (int i = 0; i < MANY; i++)
		for (int j = 0; j < SIZE; j++)
			ck_assert_uint_eq(objects[i][j], i % 251);
	ck_assert_uint_eq(base_slab_used(slab), MANY);
	free_all();
	ck_assert_uint_eq(base_slab_used(slab), 0);
}
END_TEST

START_TEST(a_used_object_comes_back_as_zeroes)
{
	static const unsigned char zeroes[SIZE];

	alloc_many();
	free_all();
	for (int i = 0; i < MANY; i++) {
		objects[i] = base_slab_alloc(slab);
		ck_assert_mem_eq(objects[i], zeroes, SIZE);
	}
	free_all();
}
END_TEST

START_TEST(objects_are_aligned_for_any_type)
{
	alloc_many();
	for (int i = 0; i < MANY; i++)
		ck_assert_uint_eq((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
	free_all();
}
END_TEST

START_TEST(room_in_a_full_block_is_used_again)
{
	alloc_many();
	for (int i = 0; i < MANY; i += 7)
		base_slab_free(slab, objects[i]);
	for (int i = 0; i < MANY; i += 7) {
		objects[i] = base_slab_alloc(slab);
		memset(objects[i], i % 251, SIZE);
	}
	for (int i = 0; i < MANY; i++)
		for (int j = 0; j < SIZE; j++)
			ck_assert_uint_eq(objects[i][j], i % 251);
	free_all();
}
END_TEST

START_TEST(frees_in_any_order_are_fine)
{
	alloc_many();
	for (int i = MANY - 1; i > 0; i--) {
		int other = rand() % (i + 1);
		unsigned char *swapped = objects[i];

		objects[i] = objects[other];
		objects[other] = swapped;
	}
	free_all();
	ck_assert_uint_eq(base_slab_used(slab), 0);
	alloc_many();
	free_all();
}
END_TEST

START_TEST(an_object_of_nearly_a_block_works)
{
	struct slab *large = base_slab_new(60000);
	void *a = base_slab_alloc(large), *b = base_slab_alloc(large);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_ne(a, b);
	base_slab_free(large, a);
	base_slab_free(large, b);
	base_slab_destroy(large);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("slab");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, objects_do_not_overlap);
	tcase_add_test(cases, a_used_object_comes_back_as_zeroes);
	tcase_add_test(cases, objects_are_aligned_for_any_type);
	tcase_add_test(cases, room_in_a_full_block_is_used_again);
	tcase_add_test(cases, frees_in_any_order_are_fine);
	tcase_add_test(cases, an_object_of_nearly_a_block_works);

	Suite *suite = suite_create("slab");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
