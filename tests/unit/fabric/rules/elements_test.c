/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fabric/rules/elements.h"

#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* Few addresses and ports, so that random elements meet. */
enum { ADDRESSES = 16, PORTS = 24, ROUNDS = 500 };

static bool holds(const struct nft_element *element, uint32_t address, uint16_t port, uint8_t proto)
{
	return element->proto == proto && element->first <= address && address <= element->last &&
	       element->port <= port && port <= element->port_last;
}

static size_t holding(const struct rules_elements *list, uint32_t address, uint16_t port, uint8_t proto)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		count += holds(&list->items[i], address, port, proto);
	return count;
}

static void add(struct rules_elements *list, uint32_t first, unsigned length, uint16_t port, uint16_t port_last,
		uint8_t proto)
{
	struct nft_element *element = vec_push(list);

	*element = (struct nft_element){
		.first = first, .last = first + length - 1, .proto = proto, .port = port, .port_last = port_last
	};
}

/* Each address and port is in one element if it was in any, and in none otherwise. */
static void check_separation(struct rules_elements *list)
{
	struct rules_elements before = { 0 };
	bool separate = true;

	for (size_t i = 0; i < list->count; i++)
		*(struct nft_element *)vec_push(&before) = list->items[i];
	ck_assert_int_eq(rules_elements_separate(list, SIZE_MAX), 0);
	for (uint32_t address = 0; address < ADDRESSES; address++)
		for (uint16_t port = 0; port <= PORTS; port++)
			for (uint8_t proto = IPPROTO_TCP; proto <= IPPROTO_UDP; proto += IPPROTO_UDP - IPPROTO_TCP)
				separate &=
				    holding(list, address, port, proto) == (holding(&before, address, port, proto) > 0);
	ck_assert(separate); /* one assertion for all, as each costs a system call */
	vec_free(&before);
}

START_TEST(an_inner_network_keeps_the_ports_that_the_outer_one_has_not)
{
	struct rules_elements list = { 0 };

	add(&list, 4, 4, 5, 20, IPPROTO_TCP);
	add(&list, 0, 16, 10, 12, IPPROTO_TCP);
	add(&list, 5, 1, 11, 11, IPPROTO_TCP);
	check_separation(&list);
	ck_assert_uint_eq(list.count, 3); /* the outer one, and two parts of the inner one */
	vec_free(&list);
}
END_TEST

START_TEST(random_elements_are_separated)
{
	srand(7);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct rules_elements list = { 0 };
		unsigned count = (unsigned)rand() % 9;

		for (unsigned i = 0; i < count; i++) {
			unsigned length = 1u << (rand() % 5);
			uint16_t port = (uint16_t)(1 + rand() % PORTS),
				 last = (uint16_t)(port + rand() % (PORTS - port + 1));

			add(&list, (uint32_t)rand() % ADDRESSES / length * length, length, port, last,
			    rand() % 2 ? IPPROTO_TCP : IPPROTO_UDP);
		}
		check_separation(&list);
		vec_free(&list);
	}
}
END_TEST

START_TEST(more_elements_than_the_limit_are_refused)
{
	struct rules_elements list = { 0 };

	add(&list, 0, 16, 10, 12, IPPROTO_TCP);
	add(&list, 0, 16, 14, 15, IPPROTO_TCP);
	add(&list, 4, 4, 5, 20, IPPROTO_TCP);
	ck_assert_int_eq(rules_elements_separate(&list, 4), -1);
	ck_assert_int_eq(errno, E2BIG);
	ck_assert_uint_eq(list.count, 3);
	ck_assert_int_eq(rules_elements_separate(&list, 5), 0);
	ck_assert_uint_eq(list.count, 5);
	vec_free(&list);
}
END_TEST

START_TEST(the_last_port_is_a_port)
{
	struct rules_elements list = { 0 };

	add(&list, 0, 16, 65535, 65535, IPPROTO_TCP);
	add(&list, 0, 1, 1, 65535, IPPROTO_TCP);
	ck_assert_int_eq(rules_elements_separate(&list, SIZE_MAX), 0);
	ck_assert_uint_eq(list.count, 2);
	ck_assert_uint_eq(holding(&list, 0, 65535, IPPROTO_TCP), 1);
	ck_assert_uint_eq(holding(&list, 0, 65534, IPPROTO_TCP), 1);
	vec_free(&list);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("elements");
	tcase_add_test(tcase, an_inner_network_keeps_the_ports_that_the_outer_one_has_not);
	tcase_add_test(tcase, random_elements_are_separated);
	tcase_add_test(tcase, the_last_port_is_a_port);
	tcase_add_test(tcase, more_elements_than_the_limit_are_refused);

	Suite *suite = suite_create("fabric_rules_elements");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
