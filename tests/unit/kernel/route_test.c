/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, routes and neighbours: asked for twice they are there once, and somebody else's route stays. */
#include "kernel/kern_route.h"

#include "base/err.h"
#include "kernel/address.h"
#include "kernel/neighbour.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define OK(call)       ck_assert_msg((call) == 0, "%s", err.text)
#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static struct lab lab;
static struct kern_rtnl rtnl;
static struct err err;
static int index_of_link;

static void open_lab(void)
{
	lab = lab_open();
	lab_run("ip link add veth-1 type veth peer name veth-2 && ip link set veth-1 up && ip link set veth-2 up");
	index_of_link = (int)if_nametoindex("veth-1");
	OK(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err));
}

static void close_lab(void)
{
	kern_rtnl_close(&rtnl);
	config_free(lab.config);
}

static void expect(const char *command, const char *wanted)
{
	char *text = lab_output(command);

	ck_assert_msg(strstr(text, wanted) != NULL, "%s: %s, not %s", command, text, wanted);
	free(text);
}

static void add_address(void)
{
	struct cidr4 cidr = { IP(10, 12, 0, 2), 31 };
	bool added;

	OK(kern_address_ensure(&rtnl, index_of_link, &cidr, &added, &err));
	ck_assert(added);
}

/* Adds the address that its gateway is a neighbour of. */
static struct kern_route by_a_gateway(void)
{
	struct kern_route route = { .to = { IP(10, 11, 0, 1), 32 },
				    .gateway = IP(10, 12, 0, 3),
				    .index = index_of_link };

	add_address();
	return route;
}

static void expect_our_route(void)
{
	expect("ip route show 10.11.0.1", "10.11.0.1 via 10.12.0.3 dev veth-1 proto 174");
}

START_TEST(an_address_is_added_once)
{
	struct cidr4 cidr = { IP(10, 12, 0, 2), 31 };
	bool added;

	add_address();
	expect("ip -o -4 addr show dev veth-1", "inet 10.12.0.2/31 scope global veth-1");
	OK(kern_address_ensure(&rtnl, index_of_link, &cidr, &added, &err));
	ck_assert(!added);
	ck_assert_int_lt(kern_address_ensure(&rtnl, 4711, &cidr, NULL, &err), 0);
	ck_assert_int_eq(err.code, ENODEV);
}
END_TEST

START_TEST(a_neighbour_is_permanent_and_replaces_another)
{
	const struct mac first = { { 2, 0, 0, 0, 0, 1 } }, second = { { 2, 0, 0, 0, 0, 2 } };

	OK(kern_neighbour_ensure(&rtnl, index_of_link, IP(10, 12, 0, 3), &first, &err));
	OK(kern_neighbour_ensure(&rtnl, index_of_link, IP(10, 12, 0, 3), &second, &err));
	expect("ip neigh show dev veth-1", "10.12.0.3 lladdr 02:00:00:00:00:02 PERMANENT");
}
END_TEST

START_TEST(a_route_by_a_gateway_is_ours_and_added_once)
{
	struct kern_route route = by_a_gateway();
	bool done;

	OK(kern_route_ensure(&rtnl, &route, &done, &err));
	ck_assert(done);
	expect_our_route();
	OK(kern_route_ensure(&rtnl, &route, &done, &err));
	ck_assert(!done);
	OK(kern_route_remove(&rtnl, &route, &done, &err));
	ck_assert(done);
	OK(kern_route_remove(&rtnl, &route, &done, &err));
	ck_assert(!done);
}
END_TEST

START_TEST(a_default_route_has_no_destination)
{
	struct kern_route route = { .gateway = IP(10, 12, 0, 3), .index = index_of_link };
	bool added;
	int index;

	add_address();
	OK(kern_route_default_link(&rtnl, &index, &err));
	ck_assert_int_eq(index, 0);
	OK(kern_route_ensure(&rtnl, &route, &added, &err));
	expect("ip route show default", "default via 10.12.0.3 dev veth-1 proto 174");
	OK(kern_route_ensure(&rtnl, &route, &added, &err));
	ck_assert(!added);
	OK(kern_route_default_link(&rtnl, &index, &err));
	ck_assert_int_eq(index, index_of_link);
}
END_TEST

START_TEST(a_route_without_a_gateway_is_of_its_link)
{
	struct kern_route route = { .to = { IP(10, 11, 0, 1), 32 }, .index = index_of_link };

	OK(kern_route_ensure(&rtnl, &route, NULL, &err));
	expect("ip route show 10.11.0.1", "10.11.0.1 dev veth-1 proto 174 scope link");
	OK(kern_route_remove(&rtnl, &route, NULL, &err));
}
END_TEST

START_TEST(an_unreachable_range_is_added_and_removed)
{
	struct kern_route route = { .to = { IP(10, 11, 0, 0), 16 } };
	bool done;

	OK(kern_route_ensure(&rtnl, &route, &done, &err));
	ck_assert(done);
	expect("ip route show 10.11.0.0/16", "unreachable 10.11.0.0/16 proto 174");
	OK(kern_route_ensure(&rtnl, &route, &done, &err));
	ck_assert(!done);
	OK(kern_route_remove(&rtnl, &route, &done, &err));
	ck_assert(done);
}
END_TEST

START_TEST(a_route_of_somebody_else_stays_in_a_shared_table)
{
	struct kern_route route = by_a_gateway();
	bool added;

	route.shared = true;
	lab_run("ip route add 10.11.0.1 dev lo");
	ck_assert_int_lt(kern_route_ensure(&rtnl, &route, &added, &err), 0);
	ck_assert_int_eq(err.code, EEXIST);
	route.shared = false;
	OK(kern_route_ensure(&rtnl, &route, &added, &err));
	ck_assert(added);
	expect_our_route();
}
END_TEST

static struct kern_route_rival rival;

static void expect_state(const struct kern_route *route, enum kern_route_state wanted)
{
	enum kern_route_state state;

	OK(kern_route_look(&rtnl, route, &state, &rival, &err));
	ck_assert_int_eq(state, wanted);
	ck_assert_int_eq(rival.present, wanted == KERN_ROUTE_BEHIND);
}

START_TEST(a_route_in_front_of_ours_is_named_and_both_stay)
{
	struct kern_route route = by_a_gateway();
	bool added;

	OK(kern_route_ensure(&rtnl, &route, NULL, &err));
	lab_run("ip route prepend 10.11.0.1 via 198.51.100.9 dev lo onlink proto static");
	expect_state(&route, KERN_ROUTE_BEHIND);
	ck_assert_uint_eq(rival.gateway, IP(198, 51, 100, 9));
	ck_assert_int_eq(rival.index, (int)if_nametoindex("lo"));
	ck_assert_int_eq(rival.protocol, RTPROT_STATIC);
	ck_assert_uint_eq(rival.table, RT_TABLE_MAIN);
	ck_assert_int_lt(kern_route_ensure(&rtnl, &route, &added, &err), 0);
	expect_our_route();
	expect("ip route show 10.11.0.1", "198.51.100.9");
	lab_run("ip route del 10.11.0.1 dev lo");
	expect_state(&route, KERN_ROUTE_DECIDES);
}
END_TEST

START_TEST(a_route_behind_ours_is_no_rival)
{
	struct kern_route route = by_a_gateway();

	OK(kern_route_ensure(&rtnl, &route, NULL, &err));
	lab_run("ip route append 10.11.0.1 dev lo && ip route add 10.11.0.1 dev lo metric 9");
	expect_state(&route, KERN_ROUTE_DECIDES);
	/* One that took the place of ours is replaced. */
	lab_run("ip route del 10.11.0.1 proto 174");
	expect_state(&route, KERN_ROUTE_MISSING);
	OK(kern_route_put(&rtnl, &route, &err));
	expect_state(&route, KERN_ROUTE_DECIDES);
	expect_our_route();
}
END_TEST

/* What decides instead of our route, and how it is named. */
static const struct {
	const char *command, *undo;
	uint32_t table, rule;
	unsigned char protocol;
} obstacles[] = {
	{ "ip rule add pref 90 to 10.11.0.1 lookup 7 && ip route add 10.11.0.1 dev lo table 7",
	  "ip rule del pref 90 && ip route flush table 7", 7, 90, RTPROT_BOOT },
	{ "ip rule add pref 91 to 10.11.0.0/24 lookup 700 && ip route add default dev lo table 700",
	  "ip rule del pref 91 && ip route flush table 700", 700, 91, RTPROT_BOOT },
	{ "ip rule add pref 89 to 10.11.0.0/16 lookup 99 && ip route add blackhole default table 99",
	  "ip rule del pref 89 && ip route flush table 99", 99, 89, RTPROT_BOOT },
	{ "ip rule add pref 92 to 10.11.0.1 blackhole", "ip rule del pref 92", 0, 92, 0 },
	{ "ip rule add pref 93 unreachable", "ip rule del pref 93", 0, 93, 0 },
	{ "ip address add 10.11.0.1/32 dev lo", "ip address del 10.11.0.1/32 dev lo", RT_TABLE_LOCAL, 0,
	  RTPROT_KERNEL },
	{ "ip route prepend blackhole 10.11.0.1", "ip route del blackhole 10.11.0.1", RT_TABLE_MAIN, 0, RTPROT_BOOT },
	{ "ip rule add pref 94 to 10.11.0.0/16 lookup 4711 && ip route add unreachable default table 4711 proto static",
	  "ip rule del pref 94 && ip route flush table 4711", 4711, 94, RTPROT_STATIC },
	{ "ip rule add pref 95 lookup 96 && ip route add throw 10.11.0.1 table 96 && "
	  "ip route add prohibit 10.11.0.0/24 table 97 && ip rule add pref 96 lookup 97",
	  "ip rule del pref 95 && ip rule del pref 96 && ip route flush table 96 && ip route flush table 97", 97, 96,
	  RTPROT_BOOT },
};

START_TEST(whatever_decides_instead_of_ours_is_named)
{
	struct kern_route route = by_a_gateway();

	OK(kern_route_ensure(&rtnl, &route, NULL, &err));
	lab_run("%s", obstacles[_i].command);
	expect_state(&route, KERN_ROUTE_BEHIND);
	ck_assert_uint_eq(rival.table, obstacles[_i].table);
	ck_assert_uint_eq(rival.rule, obstacles[_i].rule);
	ck_assert_uint_eq(rival.protocol, obstacles[_i].protocol);
	lab_run("%s", obstacles[_i].undo);
	expect_state(&route, KERN_ROUTE_DECIDES);
}
END_TEST

START_TEST(routes_that_come_with_an_address_are_put_back_as_they_were)
{
	struct kern_route route = { .to = { IP(10, 12, 0, 2), 31 },
				    .index = index_of_link,
				    .source = IP(10, 12, 0, 2),
				    .probe = IP(10, 12, 0, 3) };
	struct kern_route local = {
		.to = { IP(10, 12, 0, 2), 32 }, .index = index_of_link, .source = IP(10, 12, 0, 2), .local = true
	};
	char *before, *after;

	add_address();
	before = lab_output("ip route show table all | sort");
	expect_state(&route, KERN_ROUTE_DECIDES);
	expect_state(&local, KERN_ROUTE_DECIDES);
	lab_run("ip route del 10.12.0.2/31 && ip route del local 10.12.0.2 table local");
	expect_state(&route, KERN_ROUTE_MISSING);
	expect_state(&local, KERN_ROUTE_MISSING);
	OK(kern_route_put(&rtnl, &local, &err));
	OK(kern_route_put(&rtnl, &route, &err));
	after = lab_output("ip route show table all | sort");
	ck_assert_str_eq(after, before);
	free(before);
	free(after);
}
END_TEST

START_TEST(addresses_of_this_namespace_are_local)
{
	bool local;

	add_address();
	OK(kern_route_is_local(&rtnl, IP(10, 12, 0, 2), &local, &err));
	ck_assert(local);
	OK(kern_route_is_local(&rtnl, IP(10, 12, 0, 3), &local, &err));
	ck_assert(!local);
	OK(kern_route_is_local(&rtnl, IP(192, 0, 2, 1), &local, &err));
	ck_assert(!local);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tests = tcase_create("addresses, routes and neighbours");

	lab_require_root();
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_test(tests, an_address_is_added_once);
	tcase_add_test(tests, a_neighbour_is_permanent_and_replaces_another);
	tcase_add_test(tests, a_route_by_a_gateway_is_ours_and_added_once);
	tcase_add_test(tests, a_default_route_has_no_destination);
	tcase_add_test(tests, a_route_without_a_gateway_is_of_its_link);
	tcase_add_test(tests, an_unreachable_range_is_added_and_removed);
	tcase_add_test(tests, a_route_of_somebody_else_stays_in_a_shared_table);
	tcase_add_test(tests, a_route_in_front_of_ours_is_named_and_both_stay);
	tcase_add_test(tests, a_route_behind_ours_is_no_rival);
	tcase_add_loop_test(tests, whatever_decides_instead_of_ours_is_named, 0,
			    sizeof(obstacles) / sizeof(obstacles[0]));
	tcase_add_test(tests, routes_that_come_with_an_address_are_put_back_as_they_were);
	tcase_add_test(tests, addresses_of_this_namespace_are_local);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
