/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A change of a slot is noticed, reported once, and repaired where that can be. */
#include "unit/fabric/fabric_fixture.h"

#include "fabric/patrol.h"
#include "fabric/repair.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct fabric_slot slot;

static void setup(void)
{
	fixture_setup();
	slot = fixture_make(1, "a1");
}

static void teardown(void)
{
	fixture_destroy(&slot);
	fixture_teardown();
}

static bool carrier_is_up(void *context)
{
	(void)context;
	return host.seen[1].carrier;
}

static bool carrier_is_down(void *context)
{
	(void)context;
	return !host.seen[1].carrier && host.seen[1].carrier_down;
}

START_TEST(a_vm_that_opens_the_tap_is_reported_once)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	close(tap);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	ck_assert_uint_eq(host.seen[1].carrier_up, 1);
	ck_assert_uint_eq(host.seen[1].carrier_down, 1);
}
END_TEST

/* More messages than one iteration reads. They wait, for the loop does not run meanwhile; a look comes before them. */
static void delay_later_messages(void)
{
	free(fixture_shell("for i in $(seq 1000); do echo link set tap0 alias a$i; done | ip -n ns-1 -batch -"));
}

START_TEST(late_messages_of_before_the_vm_came_are_no_loss)
{
	int tap;

	delay_later_messages();
	tap = fixture_open_tap(&slot);
	fabric_recheck(host.fabric, 1);
	fixture_await_that(carrier_is_up, NULL, "carrier");
	close(tap);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	ck_assert_uint_eq(host.seen[1].carrier_up, 1);
	ck_assert_uint_eq(host.seen[1].carrier_down, 1);
}
END_TEST

static bool came_back(void *context)
{
	(void)context;
	return host.seen[1].carrier_up == 2;
}

START_TEST(a_vm_that_takes_the_place_of_another_is_not_overlooked)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	close(tap);
	tap = fixture_open_tap(&slot);
	fixture_await_that(came_back, NULL, "carrier lost and won");
	ck_assert_uint_eq(host.seen[1].carrier_down, 1);
	close(tap);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
}
END_TEST

START_TEST(a_vm_that_takes_the_place_of_another_before_a_look_is_not_overlooked)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	delay_later_messages();
	close(tap);
	tap = fixture_open_tap(&slot);
	fabric_recheck(host.fabric, 1);
	fixture_await_that(came_back, NULL, "carrier lost and won");
	close(tap);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	ck_assert_uint_eq(host.seen[1].carrier_up, 2);
	ck_assert_uint_eq(host.seen[1].carrier_down, 2);
}
END_TEST

START_TEST(carriers_of_different_slots_are_told_apart)
{
	struct fabric_slot other = fixture_make(2, "a2");
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	ck_assert_uint_eq(host.seen[2].carrier_up, 0);
	close(tap);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	fixture_destroy(&other);
}
END_TEST

static bool is_repaired(void *context)
{
	return host.seen[1].repaired && strstr(host.seen[1].what, context);
}

static void expect_whole_slot(void)
{
	free(fixture_shell("test \"$(readlink /proc/%d/fd/%d)\" = \"net:[$(stat -L -c %%i /run/netns/ns-1)]\"",
			   getpid(), slot.netns_fd));
	ck_assert(fixture_shell_says("169.254.0.22/30", "ip -n ns-1 addr show tap0"));
	ck_assert(fixture_shell_says("group 1874", "ip link show veth-1"));
	ck_assert(fixture_shell_says("10.11.0.1 via 10.12.0.3 dev veth-1", "ip route show 10.11.0.1"));
	ck_assert(fixture_shell_says("default via 10.12.0.2", "ip -n ns-1 route show default"));
	ck_assert(fixture_shell_says("table inet weft", "ip netns exec ns-1 nft list tables"));
	ck_assert(fixture_shell_says("table netdev weft", "ip netns exec ns-1 nft list tables"));
	ck_assert_uint_eq(host.seen[1].failed, 0);
}

static bool slot_rules_are_there(void *context)
{
	(void)context;
	return fixture_shell_says("table inet weft", "ip netns exec ns-1 nft list tables") &&
	       fixture_shell_says("table netdev weft", "ip netns exec ns-1 nft list tables");
}

/* A command of somebody's, and the report of its repair. */
static const struct {
	const char *command, *report;
} mischiefs[] = {
	{ "ip link del veth-1", "veth" },
	{ "ip link set veth-1 down", "veth down" },
	{ "ip addr del 10.12.0.2/31 dev veth-1", "address of the veth" },
	{ "ip route del 10.11.0.1", "route of the host address" },
	{ "ip route replace 10.11.0.1 dev lo", "route of the host address" },
	{ "ip netns del ns-1", "name of the namespace" },
	{ "ip -n ns-1 link del tap0", "tap0" },
	{ "ip -n ns-1 link set tap0 down", "tap0 down" },
	{ "ip -n ns-1 addr flush dev tap0", "address of tap0" },
	{ "ip -n ns-1 route del default", "default route inside" },
	{ "ip netns exec ns-1 nft flush ruleset", "tables inet weft, netdev weft" },
	{ "ip netns exec ns-1 nft flush chain inet weft forward", "tables inet weft, netdev weft" },
};

START_TEST(what_others_took_away_is_put_back)
{
	free(fixture_shell("%s", mischiefs[_i].command));
	fixture_await_that(is_repaired, (void *)mischiefs[_i].report, mischiefs[_i].report);
	fixture_await_that(slot_rules_are_there, NULL, "the slot's tables");
	expect_whole_slot();
}
END_TEST

static bool is_repaired_again(void *context)
{
	const unsigned *before = context;

	return host.seen[1].repaired > *before;
}

/* The patrol would come upon it in time. With many slots that is long. */
START_TEST(an_end_of_the_veth_that_was_set_down_is_put_back_without_a_patrol)
{
	fabric_suspects_notify(host.fabric->suspects, NULL, NULL);
	fabric_patrol_free(host.fabric->patrol);
	host.fabric->patrol = NULL;
	for (unsigned turn = 1; turn <= 3; turn++) {
		unsigned before = host.seen[1].repaired;

		free(fixture_shell("ip -n ns-1 link set eth0 down"));
		fixture_await_that(is_repaired_again, &before, "eth0");
	}
	ck_assert(fixture_shell_says("default via 10.12.0.2", "ip -n ns-1 route show default"));
}
END_TEST

static bool host_is_repaired(void *context)
{
	return host.seen[0].repaired && strstr(host.seen[0].what, context);
}

START_TEST(a_flushed_host_table_is_put_back)
{
	free(fixture_shell("nft flush ruleset"));
	fixture_await_that(host_is_repaired, (void *)"table inet weft", "the host's table");
	ck_assert(fixture_shell_says("table inet weft", "nft list tables"));
}
END_TEST

START_TEST(a_lost_unreachable_route_is_put_back)
{
	free(fixture_shell("ip route del unreachable 10.11.0.0/16"));
	fixture_await_that(host_is_repaired, (void *)"unreachable", "the unreachable route");
	ck_assert(fixture_shell_says("unreachable 10.11.0.0/16", "ip route show type unreachable"));
}
END_TEST

static bool is_failed(void *context)
{
	(void)context;
	return host.seen[1].failed;
}

static bool no_look_is_under_way(void *context)
{
	(void)context;
	return !fabric_slot_find(host.fabric, 1)->look;
}

/*
 * Returns the VM's descriptor. The loop does not run after the deletion, so nothing is known of it yet, and no look that saw the
 * TAP is still to be reported.
 */
static int delete_tap_under_a_vm(void)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	fixture_await_that(no_look_is_under_way, NULL, "the end of the looks");
	free(fixture_shell("ip -n ns-1 link del tap0"));
	return tap;
}

START_TEST(a_tap_deleted_under_a_vm_is_reported_as_failed)
{
	int tap = delete_tap_under_a_vm();

	fixture_await_that(is_failed, NULL, "the failed slot");
	ck_assert_ptr_nonnull(strstr(host.seen[1].what, "tap0"));
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	close(tap);
}
END_TEST

START_TEST(a_repair_that_comes_first_makes_no_tap_under_a_vm)
{
	int tap = delete_tap_under_a_vm();

	/* The event of its address may come before that of the link. */
	fabric_slot_repair(fabric_slot_find(host.fabric, 1));
	fixture_await_that(is_failed, NULL, "the failed slot");
	ck_assert_ptr_nonnull(strstr(host.seen[1].what, "tap0 was deleted under the VM"));
	ck_assert_uint_eq(host.seen[1].repaired, 0);
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	close(tap);
}
END_TEST

START_TEST(a_vm_that_ends_while_its_slot_waits_for_a_repair_is_no_obstacle)
{
	int tap = delete_tap_under_a_vm();

	fabric_slot_repair(fabric_slot_find(host.fabric, 1));
	/* As after a look that was made before the TAP went. */
	close(tap);
	fabric_slot_find(host.fabric, 1)->carrier = false;
	fixture_await_that(is_repaired, (void *)"tap0", "the repair");
	ck_assert_uint_eq(host.seen[1].failed, 0);
}
END_TEST

START_TEST(a_tap_that_is_deleted_right_after_its_vm_ended_is_no_failure)
{
	int tap = fixture_open_tap(&slot);

	fixture_await_that(carrier_is_up, NULL, "carrier");
	fixture_await_that(no_look_is_under_way, NULL, "the end of the looks");
	close(tap);
	free(fixture_shell("ip -n ns-1 link del tap0"));
	if (_i)
		fabric_slot_repair(fabric_slot_find(host.fabric, 1));
	fixture_await_that(is_repaired, (void *)"tap0", "the repair");
	fixture_await_that(carrier_is_down, NULL, "no carrier");
	ck_assert_uint_eq(host.seen[1].failed, 0);
}
END_TEST

static bool is_troubled(void *context)
{
	(void)context;
	return host.seen[1].troubled > 0;
}

static bool trouble_is_over(void *context)
{
	(void)context;
	return host.seen[1].troubled && host.seen[1].over == host.seen[1].troubled;
}

static bool has_recovered(void *context)
{
	(void)context;
	return host.seen[1].recovered == host.seen[1].failed;
}

/* No descriptor is left, and none of the fabric's spare ones is of use; returns the former limit. */
static struct rlimit take_all_descriptors(void)
{
	struct rlimit former, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &former), 0);
	none = (struct rlimit){ .rlim_cur = STDERR_FILENO + 1, .rlim_max = former.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	return former;
}

START_TEST(a_shortage_of_descriptors_is_reported_twice_and_is_no_failure)
{
	struct rlimit former = take_all_descriptors();

	fabric_slot_repair(fabric_slot_find(host.fabric, 1));
	fabric_suspect_slot(fabric_slot_find(host.fabric, 1));
	for (int i = 0; i < 20; i++)
		fixture_iterate();
	fixture_await_that(is_troubled, NULL, "the trouble");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &former), 0);
	fixture_await_that(trouble_is_over, NULL, "the end of the trouble");
	ck_assert_uint_le(host.seen[1].troubled, 2); /* links and rules */
	ck_assert_uint_eq(host.seen[1].failed, 0);
	ck_assert_int_eq(fabric_slot_find(host.fabric, 1)->phase, SLOT_LIVE);
}
END_TEST

/* Objects that are not ours under the slot's names; their ends, after which the slot is whole again. */
static const struct {
	const char *begin, *end;
} foreign_links[] = {
	{ "printf 'link del veth-1\nlink add veth-1 type veth peer name other\n' | ip -batch -", "ip link del veth-1" },
	{ "printf 'link del tap0\nlink add tap0 type veth peer name other\n' | ip -n ns-1 -batch -",
	  "ip -n ns-1 link del tap0" },
};

START_TEST(a_foreign_link_under_a_name_of_ours_is_a_failure_until_it_goes)
{
	free(fixture_shell("%s", foreign_links[_i].begin));
	fabric_slot_repair(fabric_slot_find(host.fabric, 1));
	fixture_await_that(is_failed, NULL, "the failed slot");
	ck_assert_int_eq(host.seen[1].failure, FAILURE_LINK);
	ck_assert_uint_eq(host.seen[1].troubled, 0);
	free(fixture_shell("%s", foreign_links[_i].end));
	fixture_await_that(has_recovered, NULL, "the end of the failure");
	fixture_await_that(slot_rules_are_there, NULL, "the slot's tables");
	ck_assert_uint_eq(host.seen[1].failed, 1);
	host.seen[1].failed = 0;
	expect_whole_slot();
}
END_TEST

/* What somebody puts in front of a route of ours, its end, and its name in the report. */
static const struct {
	const char *begin, *end, *report;
} rivals[] = {
	{ "ip route prepend 10.11.0.1 via 198.51.100.9 dev lo onlink proto static", "ip route del 10.11.0.1 dev lo",
	  "route of the host address: c6336409 lo static 254 0" },
	{ "ip route prepend blackhole 10.11.0.1", "ip route del blackhole 10.11.0.1",
	  "route of the host address: 00000000  boot 254 0" },
	{ "ip route add default dev lo table 7 && ip rule add pref 90 to 10.11.0.0/16 lookup 7",
	  "ip rule del pref 90 && ip route flush table 7", "route of the host address: 00000000 lo boot 7 90" },
	{ "ip rule add pref 91 to 10.11.0.1 prohibit", "ip rule del pref 91",
	  "route of the host address: 00000000   0 91" },
	{ "ip addr add 10.11.0.1/32 dev lo", "ip addr del 10.11.0.1/32 dev lo",
	  "route of the host address: 00000000 lo kernel 255 0" },
	{ "ip -n ns-1 addr add 169.254.0.21/32 dev lo", "ip -n ns-1 addr del 169.254.0.21/32 dev lo",
	  "connected route of tap0: 00000000 lo kernel 255 0" },
	{ "ip -n ns-1 rule add pref 92 blackhole", "ip -n ns-1 rule del pref 92",
	  "connected route of eth0: 00000000   0 92" },
};

START_TEST(what_stands_in_front_of_ours_is_reported_until_it_goes)
{
	free(fixture_shell("%s", rivals[_i].begin));
	fixture_await_that(is_troubled, NULL, "the report of the route");
	ck_assert_str_eq(host.seen[1].trouble, rivals[_i].report);
	ck_assert(fixture_shell_says("10.11.0.1 via 10.12.0.3 dev veth-1 proto 174", "ip route show 10.11.0.1"));
	free(fixture_shell("%s", rivals[_i].end));
	fixture_await_that(trouble_is_over, NULL, "the end of it");
	ck_assert_uint_eq(host.seen[1].troubled, 1);
	ck_assert_uint_eq(host.seen[1].repaired, 0);
	expect_whole_slot();
}
END_TEST

START_TEST(a_slot_that_is_taken_apart_piece_by_piece_during_its_repairs_comes_back)
{
	for (int i = 0; i < 5; i++) {
		free(fixture_shell("(ip netns del ns-1; ip link del veth-1; ip route del 10.11.0.1; true) 2>&-"));
		fixture_await_that(is_repaired, (void *)"", "a repair");
		host.seen[1].repaired = 0;
	}
	while (fabric_slot_find(host.fabric, 1)->repair)
		fixture_iterate();
	ck_assert_uint_eq(host.seen[1].failed, 0);
}
END_TEST

START_TEST(objects_of_others_are_left_alone)
{
	free(fixture_shell(
	    "nft add table inet other && ip netns add ns-77 && ip link add veth-78 type veth peer name d1 &&"
	    "nft flush ruleset && nft add table inet other"));
	fixture_await_that(host_is_repaired, (void *)"table inet weft", "the host's table");
	ck_assert(fixture_shell_says("table inet other", "nft list tables"));
	free(fixture_shell("ip netns exec ns-77 true && ip link show veth-78"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric watch");
	TCase *watch = tcase_create("watch");

	tcase_add_checked_fixture(watch, setup, teardown);
	tcase_set_timeout(watch, 120);
	tcase_add_test(watch, a_vm_that_opens_the_tap_is_reported_once);
	tcase_add_test(watch, late_messages_of_before_the_vm_came_are_no_loss);
	tcase_add_test(watch, a_vm_that_takes_the_place_of_another_is_not_overlooked);
	tcase_add_test(watch, a_vm_that_takes_the_place_of_another_before_a_look_is_not_overlooked);
	tcase_add_test(watch, carriers_of_different_slots_are_told_apart);
	tcase_add_loop_test(watch, what_others_took_away_is_put_back, 0,
			    (int)(sizeof(mischiefs) / sizeof(mischiefs[0])));
	tcase_add_test(watch, an_end_of_the_veth_that_was_set_down_is_put_back_without_a_patrol);
	tcase_add_test(watch, a_flushed_host_table_is_put_back);
	tcase_add_test(watch, a_lost_unreachable_route_is_put_back);
	tcase_add_test(watch, a_tap_deleted_under_a_vm_is_reported_as_failed);
	tcase_add_test(watch, a_repair_that_comes_first_makes_no_tap_under_a_vm);
	tcase_add_test(watch, a_vm_that_ends_while_its_slot_waits_for_a_repair_is_no_obstacle);
	tcase_add_loop_test(watch, a_tap_that_is_deleted_right_after_its_vm_ended_is_no_failure, 0, 2);
	tcase_add_test(watch, a_shortage_of_descriptors_is_reported_twice_and_is_no_failure);
	tcase_add_loop_test(watch, a_foreign_link_under_a_name_of_ours_is_a_failure_until_it_goes, 0,
			    (int)(sizeof(foreign_links) / sizeof(foreign_links[0])));
	tcase_add_loop_test(watch, what_stands_in_front_of_ours_is_reported_until_it_goes, 0,
			    (int)(sizeof(rivals) / sizeof(rivals[0])));
	tcase_add_test(watch, a_slot_that_is_taken_apart_piece_by_piece_during_its_repairs_comes_back);
	tcase_add_test(watch, objects_of_others_are_left_alone);
	suite_add_tcase(suite, watch);
	return fixture_run(suite);
}
