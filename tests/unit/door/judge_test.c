/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "door/judge.h"

#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static const struct door_token no_token;
static const struct door_token right = { .given = true, .sha256 = { 1, 2, 3, [31] = 0x80 } };
static const struct door_token zeroes = { .given = true };

static const struct door_policy public_one = { .is_public = true };

/* Wants the right token; port 80 is public, 81 wants the token in any case, 82 is closed. */
static struct door_policy private_one(void)
{
	struct door_policy policy = {
		.has_token = true,
		.ports = { { 80, DOOR_ACCESS_PUBLIC }, { 81, DOOR_ACCESS_TOKEN }, { 82, DOOR_ACCESS_CLOSED } },
		.port_count = 3,
	};

	memcpy(policy.token_sha256, right.sha256, sizeof(policy.token_sha256));
	return policy;
}

START_TEST(a_public_sandbox_is_open_to_everybody)
{
	ck_assert_int_eq(door_judge(&public_one, 1, &no_token), DOOR_LET_IN);
	ck_assert_int_eq(door_judge(&public_one, 65535, &right), DOOR_LET_IN);
}
END_TEST

START_TEST(a_private_one_wants_its_token)
{
	struct door_policy policy = private_one();

	ck_assert_int_eq(door_judge(&policy, 8080, &no_token), DOOR_NO_TOKEN);
	ck_assert_int_eq(door_judge(&policy, 8080, &zeroes), DOOR_WRONG_TOKEN);
	ck_assert_int_eq(door_judge(&policy, 8080, &right), DOOR_LET_IN);
}
END_TEST

START_TEST(the_rule_of_a_port_comes_before_that_of_all)
{
	struct door_policy policy = private_one();

	for (int is_public = 0; is_public < 2; is_public++) {
		policy.is_public = is_public;
		ck_assert_int_eq(door_judge(&policy, 80, &no_token), DOOR_LET_IN);
		ck_assert_int_eq(door_judge(&policy, 81, &no_token), DOOR_NO_TOKEN);
		ck_assert_int_eq(door_judge(&policy, 81, &right), DOOR_LET_IN);
		ck_assert_int_eq(door_judge(&policy, 82, &no_token), DOOR_SHUT);
		ck_assert_int_eq(door_judge(&policy, 82, &right), DOOR_SHUT);
	}
}
END_TEST

START_TEST(each_bit_of_a_token_counts)
{
	struct door_policy policy = private_one();

	for (size_t bit = 0; bit < 8 * sizeof(right.sha256); bit++) {
		struct door_token other = right;

		other.sha256[bit / 8] ^= (uint8_t)(1U << bit % 8);
		ck_assert_int_eq(door_judge(&policy, 8080, &other), DOOR_WRONG_TOKEN);
	}
}
END_TEST

START_TEST(without_a_token_of_its_own_a_private_one_lets_nobody_in)
{
	struct door_policy policy = { .is_public = false };

	ck_assert_int_eq(door_judge(&policy, 8080, &no_token), DOOR_NO_TOKEN);
	ck_assert_int_eq(door_judge(&policy, 8080, &zeroes), DOOR_WRONG_TOKEN);
}
END_TEST

START_TEST(envd_wants_no_token_but_may_be_closed)
{
	struct door_policy policy = private_one();

	ck_assert_int_eq(door_judge(&policy, DOOR_FREE_PORT, &no_token), DOOR_LET_IN);
	ck_assert_int_eq(door_judge(&policy, DOOR_FREE_PORT, &zeroes), DOOR_LET_IN);
	policy.ports[policy.port_count++] = (struct door_port){ DOOR_FREE_PORT, DOOR_ACCESS_CLOSED };
	ck_assert_int_eq(door_judge(&policy, DOOR_FREE_PORT, &right), DOOR_SHUT);
}
END_TEST

START_TEST(the_last_of_all_rules_counts_too)
{
	struct door_policy policy = { .is_public = true, .port_count = DOOR_PORTS_MAX };

	for (size_t i = 0; i < DOOR_PORTS_MAX; i++)
		policy.ports[i] = (struct door_port){ (uint16_t)(1000 + i), DOOR_ACCESS_CLOSED };
	ck_assert_int_eq(door_judge(&policy, 999, &no_token), DOOR_LET_IN);
	ck_assert_int_eq(door_judge(&policy, 1000, &no_token), DOOR_SHUT);
	ck_assert_int_eq(door_judge(&policy, 1000 + DOOR_PORTS_MAX - 1, &no_token), DOOR_SHUT);
	ck_assert_int_eq(door_judge(&policy, 1000 + DOOR_PORTS_MAX, &no_token), DOOR_LET_IN);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("judge");

	tcase_add_test(cases, a_public_sandbox_is_open_to_everybody);
	tcase_add_test(cases, a_private_one_wants_its_token);
	tcase_add_test(cases, the_rule_of_a_port_comes_before_that_of_all);
	tcase_add_test(cases, each_bit_of_a_token_counts);
	tcase_add_test(cases, without_a_token_of_its_own_a_private_one_lets_nobody_in);
	tcase_add_test(cases, envd_wants_no_token_but_may_be_closed);
	tcase_add_test(cases, the_last_of_all_rules_counts_too);

	Suite *suite = suite_create("judge");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
