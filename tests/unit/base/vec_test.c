/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/container_of.h"
#include "base/vec.h"
#include "unit/run_suite.h"

#include <stdint.h>

struct numbers {
	VEC_OF(unsigned);
};

START_TEST(items_are_zeroed_and_stay_in_order_however_often_it_grows)
{
	struct numbers numbers = { 0 };

	for (unsigned i = 0; i < 1000; i++) {
		unsigned *number = vec_push(&numbers);
		ck_assert_ptr_nonnull(number);
		ck_assert_uint_eq(*number, 0);
		*number = i;
	}
	ck_assert_uint_eq(numbers.count, 1000);
	ck_assert_uint_ge(numbers.room, 1000);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(numbers.items[i], i);
	vec_free(&numbers);
	ck_assert_ptr_null(numbers.items);
	ck_assert_uint_eq(numbers.count + numbers.room, 0);
}
END_TEST

START_TEST(reserved_room_is_not_outgrown)
{
	struct numbers numbers = { 0 };

	ck_assert_int_eq(vec_reserve(&numbers, 0), 0);
	ck_assert_int_eq(vec_reserve(&numbers, 100), 0);
	unsigned *first = vec_push(&numbers);
	while (numbers.count < 100)
		ck_assert_ptr_nonnull(vec_push(&numbers));
	ck_assert_ptr_eq(first, numbers.items);
	vec_free(&numbers);
}
END_TEST

START_TEST(without_memory_it_stays_as_it_was)
{
	struct numbers numbers = { 0 };
	unsigned *first = vec_push(&numbers);

	ck_assert_ptr_nonnull(first);
	*first = 7;
	size_t room = numbers.room;
	ck_assert_int_eq(vec_reserve(&numbers, SIZE_MAX / 2), -1);
	ck_assert_ptr_eq(numbers.items, first);
	ck_assert_uint_eq(numbers.items[0], 7);
	ck_assert_uint_eq(numbers.count, 1);
	ck_assert_uint_eq(numbers.room, room);
	vec_free(&numbers);
}
END_TEST

START_TEST(a_member_leads_to_what_it_is_in)
{
	struct outer {
		int before;
		struct inner {
			int value;
		} inner;
	} outer = { .before = 1 };
	struct inner *inner = &outer.inner;

	ck_assert_ptr_eq(container_of(inner, struct outer, inner), &outer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vec");
	TCase *growing = tcase_create("growing");

	tcase_add_test(growing, items_are_zeroed_and_stay_in_order_however_often_it_grows);
	tcase_add_test(growing, reserved_room_is_not_outgrown);
	tcase_add_test(growing, without_memory_it_stays_as_it_was);
	tcase_add_test(growing, a_member_leads_to_what_it_is_in);
	suite_add_tcase(suite, growing);
	return run_suite(suite);
}
