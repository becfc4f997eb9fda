/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forwarder/udp.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>

enum { MOST = 8, MOST_OF_CLIENT = 3 };

static const struct flow_seed seed = { { 1, 2 } };
static struct udp_table table;

static void setup(void)
{
	fwd_udp_table_init(&table, &seed);
}

static void teardown(void)
{
	while (!LIST_EMPTY(&table.all)) {
		struct udp_flow *flow = LIST_FIRST(&table.all);

		fwd_udp_table_remove(&table, flow);
		free(flow);
	}
	ck_assert_uint_eq(table.clients.count, 0);
	fwd_udp_table_clear(&table);
}

static struct addr client(unsigned host, unsigned port)
{
	return addr_from_ipv4(0x7f000000 + host, (uint16_t)port);
}

static struct udp_flow *add(unsigned host, unsigned port)
{
	struct udp_flow *flow = calloc(1, sizeof(*flow));

	flow->ends.client = client(host, port);
	ck_assert_int_eq(fwd_udp_table_add(&table, flow), 0);
	return flow;
}

/* LOCAL may be NULL. */
static struct udp_flow *find(const struct addr *from, const struct addr *local)
{
	struct udp_ends ends = { .client = *from };

	if (local)
		ends.local = *local;
	return fwd_udp_table_find(&table, &ends);
}

/* The flow that must make room for one more of HOST; NULL with *ROOM: none need, NULL without: none can. */
static struct udp_flow *oldest_for(unsigned host, bool *room)
{
	struct addr from = client(host, 65000);
	struct udp_flow *oldest;

	*room = fwd_udp_table_has_room(&table, &from, MOST, MOST_OF_CLIENT, &oldest);
	return oldest;
}

START_TEST(a_flow_is_found_by_address_and_port)
{
	struct addr six = addr_loopback6(1000), other_port = client(1, 1001), other_host = client(2, 1000);
	struct udp_flow *flow = add(1, 1000), *of_six = calloc(1, sizeof(*of_six));

	of_six->ends.client = six;
	ck_assert_int_eq(fwd_udp_table_add(&table, of_six), 0);
	ck_assert_ptr_eq(find(&flow->ends.client, NULL), flow);
	ck_assert_ptr_eq(find(&six, NULL), of_six);
	ck_assert_ptr_null(find(&other_port, NULL));
	ck_assert_ptr_null(find(&other_host, NULL));
}
END_TEST

START_TEST(a_client_has_a_flow_for_each_address_that_it_asks)
{
	struct addr from = client(1, 1000), here = client(7, 0), there = client(8, 0);
	struct udp_flow *flows[2] = { calloc(1, sizeof(struct udp_flow)), calloc(1, sizeof(struct udp_flow)) };

	flows[0]->ends = (struct udp_ends){ .client = from, .local = here };
	flows[1]->ends = (struct udp_ends){ .client = from, .local = there };
	ck_assert_int_eq(fwd_udp_table_add(&table, flows[0]), 0);
	ck_assert_int_eq(fwd_udp_table_add(&table, flows[1]), 0);
	ck_assert_ptr_eq(find(&from, &here), flows[0]);
	ck_assert_ptr_eq(find(&from, &there), flows[1]);
	ck_assert_ptr_null(find(&from, NULL));
	ck_assert_uint_eq(table.clients.count, 1);
}
END_TEST

START_TEST(an_address_at_its_limit_gives_up_its_own_oldest)
{
	struct udp_flow *others = add(2, 1000);
	struct udp_flow *first = add(1, 1000), *second = add(1, 1001), *third;
	bool room;

	ck_assert_ptr_null(oldest_for(1, &room));
	ck_assert(room);
	third = add(1, 1002);
	ck_assert_ptr_eq(oldest_for(1, &room), first);
	ck_assert(!room);
	ck_assert_ptr_null(oldest_for(2, &room));
	ck_assert(room);

	fwd_udp_table_answer(&table, first);
	ck_assert_ptr_eq(oldest_for(1, &room), second);
	fwd_udp_table_answer(&table, second);
	fwd_udp_table_answer(&table, third);
	ck_assert_ptr_null(oldest_for(1, &room));
	ck_assert(!room);

	/* A place that gets free is free, whoever had it. */
	fwd_udp_table_remove(&table, second);
	free(second);
	ck_assert_ptr_null(oldest_for(1, &room));
	ck_assert(room);
	ck_assert_ptr_nonnull(find(&others->ends.client, NULL));
}
END_TEST

START_TEST(an_endpoint_at_its_limit_gives_up_the_oldest_that_was_never_answered)
{
	struct udp_flow *flows[MOST];
	bool room;

	for (unsigned i = 0; i < MOST; i++)
		flows[i] = add(1 + i / 2, 1000 + i);
	ck_assert_ptr_eq(oldest_for(100, &room), flows[0]);
	ck_assert(!room);
	for (unsigned i = 0; i < MOST - 1; i++) {
		fwd_udp_table_answer(&table, flows[i]);
		ck_assert_ptr_eq(oldest_for(100, &room), flows[i + 1]);
	}
	fwd_udp_table_answer(&table, flows[MOST - 1]);
	ck_assert_ptr_null(oldest_for(100, &room));
	ck_assert(!room);
}
END_TEST

START_TEST(an_address_without_a_flow_costs_nothing)
{
	struct udp_flow *first = add(1, 1000), *second = add(1, 1001);

	add(2, 1000);
	ck_assert_uint_eq(table.clients.count, 2);
	fwd_udp_table_remove(&table, first);
	ck_assert_uint_eq(table.clients.count, 2);
	fwd_udp_table_remove(&table, second);
	ck_assert_uint_eq(table.clients.count, 1);
	free(first);
	free(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forwarder/udp_table");
	TCase *tcase = tcase_create("table");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_flow_is_found_by_address_and_port);
	tcase_add_test(tcase, a_client_has_a_flow_for_each_address_that_it_asks);
	tcase_add_test(tcase, an_address_at_its_limit_gives_up_its_own_oldest);
	tcase_add_test(tcase, an_endpoint_at_its_limit_gives_up_the_oldest_that_was_never_answered);
	tcase_add_test(tcase, an_address_without_a_flow_costs_nothing);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
