/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/addr.h"
#include "base/err.h"
#include "forwarder/flow_table.h"
#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

enum { NODES = 20000 };

static struct flow_node nodes[NODES];

static uint64_t scattered(uint64_t number)
{
	return number * 0x9e3779b97f4a7c15;
}

static bool finds(const struct flow_table *table, const struct flow_node *wanted)
{
	for (struct flow_node *node = fwd_flow_table_first(table, wanted->hash); node; node = node->next)
		if (node == wanted)
			return true;
	return false;
}

static size_t longest_chain(const struct flow_table *table)
{
	size_t longest = 0;

	for (size_t i = 0; i < table->bucket_count; i++) {
		size_t length = 0;

		for (const struct flow_node *node = table->buckets[i]; node; node = node->next)
			length++;
		if (length > longest)
			longest = length;
	}
	return longest;
}

/* The values are those of another implementation, which gives the example of the paper on SipHash. */
START_TEST(the_hash_is_siphash)
{
	struct flow_seed seed;
	uint8_t key[16];
	struct addr four = addr_from_ipv4(0x7f000001, 20007), six = addr_loopback6(20007);

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return;
	for (uint8_t i = 0; i < sizeof(key); i++)
		key[i] = i;
	memcpy(seed.words, key, sizeof(key));
	ck_assert_uint_eq(fwd_flow_hash(&seed, &four, true), 0x4f9236fef6bf961d);
	ck_assert_uint_eq(fwd_flow_hash(&seed, &six, true), 0xa69694150646ab5a);
	ck_assert_uint_eq(fwd_flow_hash(&seed, &four, false), 0xa8059e66776fea7e);
}
END_TEST

START_TEST(each_process_has_a_seed_of_its_own)
{
	struct flow_seed one, other;
	struct addr addr = addr_from_ipv4(0x7f000001, 20007);
	struct err err;

	ck_assert_int_eq(fwd_flow_seed(&one, &err), 0);
	ck_assert_int_eq(fwd_flow_seed(&other, &err), 0);
	ck_assert_uint_ne(fwd_flow_hash(&one, &addr, true), fwd_flow_hash(&other, &addr, true));
}
END_TEST

START_TEST(the_table_grows_with_its_contents)
{
	struct flow_table table = { 0 };

	ck_assert_ptr_null(fwd_flow_table_first(&table, 7));
	for (size_t i = 0; i < NODES; i++) {
		ck_assert_int_eq(fwd_flow_table_add(&table, &nodes[i], scattered(i)), 0);
		ck_assert_uint_eq(table.bucket_count, i + 1);
		/* All are found at each size of a small table. */
		for (size_t j = 0; j <= i && i < 300; j++)
			ck_assert(finds(&table, &nodes[j]));
	}
	ck_assert_uint_lt(longest_chain(&table), 20);
	for (size_t i = 0; i < NODES; i++)
		ck_assert(finds(&table, &nodes[i]));
	for (size_t i = 0; i < NODES; i += 2)
		fwd_flow_table_remove(&table, &nodes[i]);
	ck_assert_uint_eq(table.count, NODES / 2);
	for (size_t i = 0; i < NODES; i++)
		ck_assert(finds(&table, &nodes[i]) == (i % 2 == 1));
	fwd_flow_table_clear(&table);
	ck_assert_ptr_null(fwd_flow_table_first(&table, nodes[1].hash));
}
END_TEST

START_TEST(nodes_of_one_hash_live_together)
{
	struct flow_table table = { 0 };

	for (size_t i = 0; i < 100; i++)
		ck_assert_int_eq(fwd_flow_table_add(&table, &nodes[i], 0x123456789), 0);
	for (size_t i = 0; i < 100; i++)
		ck_assert(finds(&table, &nodes[i]));
	for (size_t i = 0; i < 100; i++)
		fwd_flow_table_remove(&table, &nodes[i]);
	ck_assert_uint_eq(table.count, 0);
	fwd_flow_table_clear(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/flow_table");
	TCase *tcase = tcase_create("table");

	tcase_add_test(tcase, the_hash_is_siphash);
	tcase_add_test(tcase, each_process_has_a_seed_of_its_own);
	tcase_add_test(tcase, the_table_grows_with_its_contents);
	tcase_add_test(tcase, nodes_of_one_hash_live_together);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
