/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new daemon on a host where another one was finds, takes over, keeps and removes the slots of that. */
#include "unit/fabric/fabric_fixture.h"

#include "inspect/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOUND_MAX = 16 };

struct scanned {
	bool done;
	struct fabric_found found[FOUND_MAX];
	size_t count;
};

static void on_scanned(void *context, const struct fabric_found *found, size_t count, const struct err *err)
{
	struct scanned *scanned = context;

	ck_assert_msg(!err, "%s", err ? err->text : "");
	ck_assert_uint_le(count, FOUND_MAX);
	if (count)
		memcpy(scanned->found, found, count * sizeof(*found));
	scanned->count = count;
	scanned->done = true;
}

static struct scanned scan(void)
{
	struct scanned scanned = { 0 };

	fabric_scan(host.fabric, on_scanned, &scanned);
	ck_assert(!scanned.done);
	fixture_await(&scanned.done);
	return scanned;
}

static bool is_named(void *context)
{
	return fixture_shell_says(context, "ip link show veth-5");
}

/* A slot that a former daemon left. */
static void leave_slot(void)
{
	struct fabric_slot slot = fixture_make(5, "left-over");

	fixture_await_that(is_named, (void *)"weft:left-over", "the alias");
	close(slot.netns_fd);
	fixture_stop_fabric();
	memset(host.seen, 0, sizeof(host.seen));
}

static struct result adopt(unsigned number)
{
	struct fabric_plan plan = fixture_plan(number, "left-over");
	struct result result = { 0 };

	fabric_adopt(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	return result;
}

static char *slot_state(void)
{
	/* Operational states lag behind. */
	return fixture_shell(
	    "(ip -d -o link show veth-5; ip -d -o -n ns-5 link | grep -v ' lo:') |"
	    "sed 's/<[^>]*>//; s/ state [A-Z]*//'; ip -n ns-5 route | sed 's/ linkdown//'; ip -n ns-5 neigh;"
	    "ip route show 10.11.0.5; ip netns exec ns-5 nft -a list ruleset;"
	    "stat -L -c %%i /run/netns/ns-5");
}

/* Frees both. The texts are too long for Check's own comparison. */
static void expect_same(char *before, char *after)
{
	bool same = strcmp(before, after) == 0;

	if (!same)
		fprintf(stderr, "before:\n%s\nafter:\n%s\n", before, after);
	free(before);
	free(after);
	ck_assert_msg(same, "the slot was touched");
}

START_TEST(a_whole_slot_is_found_and_taken_over_untouched)
{
	struct scanned scanned;
	struct result result;
	char *before, *after;

	leave_slot();
	before = slot_state();
	fixture_start_fabric();
	scanned = scan();
	ck_assert_uint_eq(scanned.count, 1);
	ck_assert_uint_eq(scanned.found[0].slot, 5);
	ck_assert(scanned.found[0].has_netns && scanned.found[0].has_veth && scanned.found[0].has_tap);
	ck_assert(!scanned.found[0].carrier);
	ck_assert_str_eq(scanned.found[0].alias, "left-over");
	result = adopt(5);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert_msg(host.seen[5].repaired == 0, "%s", host.seen[5].what);
	after = slot_state();
	expect_same(before, after);
	fixture_destroy(&result.slot);
}
END_TEST

START_TEST(a_vm_keeps_its_carrier_over_a_restart)
{
	struct fabric_slot slot = fixture_make(5, "left-over");
	int tap = fixture_open_tap(&slot);
	struct result result;

	close(slot.netns_fd);
	fixture_stop_fabric();
	fixture_start_fabric();
	ck_assert(scan().found[0].carrier);
	result = adopt(5);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(result.slot.carrier);
	close(tap);
	fixture_destroy(&result.slot);
}
END_TEST

static const struct {
	const char *command, *told;
} damages[] = {
	{ "ip route del 10.11.0.5", "route of the host address" },
	{ "ip netns exec ns-5 nft delete table inet weft", "nft table" },
	{ "ip -n ns-5 link del tap0", "tap0" },
	{ "ip -n ns-5 addr flush dev eth0", "address of eth0" },
	{ "ip netns del ns-5; ip link show veth-5 || true", "made anew" },
	{ "ip link set veth-5 down", "veth down" },
};

START_TEST(a_damaged_slot_is_repaired_when_it_is_taken_over)
{
	struct result result;

	leave_slot();
	free(fixture_shell("%s", damages[_i].command));
	fixture_start_fabric();
	scan();
	result = adopt(5);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert_uint_eq(host.seen[5].repaired, 1);
	ck_assert_msg(strstr(host.seen[5].what, damages[_i].told) != NULL, "%s", host.seen[5].what);
	ck_assert(fixture_shell_says("10.11.0.5 via 10.12.0.11 dev veth-5", "ip route show 10.11.0.5"));
	ck_assert(fixture_shell_says("169.254.0.22/30", "ip -n ns-5 addr show tap0"));
	fixture_destroy(&result.slot);
}
END_TEST

static const struct {
	const char *foreign, *gone;
	bool with_vm;
} failures[] = {
	{ "ip link del veth-5 && ip link add veth-5 type veth peer name other", "ip link del veth-5", true },
	{ "ip -n ns-5 link del tap0 && ip -n ns-5 link add tap0 type veth peer name other", "ip -n ns-5 link del tap0",
	  false },
};

static bool has_recovered(void *context)
{
	(void)context;
	return host.seen[5].recovered;
}

static bool has_lost_carrier(void *context)
{
	(void)context;
	return host.seen[5].carrier_down;
}

START_TEST(a_failed_slot_is_taken_over_as_it_is)
{
	struct fabric_slot slot = fixture_make(5, "left-over");
	struct fabric_plan plan = fixture_plan(5, "left-over");
	int tap = failures[_i].with_vm ? fixture_open_tap(&slot) : -1;
	struct result result = { 0 };

	plan.netns_device = slot.netns_device;
	plan.netns_inode = slot.netns_inode;
	close(slot.netns_fd);
	fixture_stop_fabric();
	free(fixture_shell("%s", failures[_i].foreign));
	fixture_start_fabric();
	scan();
	fabric_adopt(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert_int_eq(result.slot.failure, FAILURE_LINK);
	ck_assert_uint_eq(host.seen[5].failed, 1);
	ck_assert_msg(strstr(host.seen[5].what, "link") != NULL, "%s", host.seen[5].what);
	ck_assert(result.slot.carrier == failures[_i].with_vm);
	ck_assert_uint_eq(result.slot.netns_inode, slot.netns_inode);
	if (failures[_i].with_vm) {
		close(tap);
		fixture_await_that(has_lost_carrier, NULL, "the VM to leave");
	}
	ck_assert_uint_eq(host.seen[5].recovered, 0);
	free(fixture_shell("%s", failures[_i].gone));
	fixture_await_that(has_recovered, NULL, "the recovery");
	ck_assert(fixture_shell_says("169.254.0.22/30", "ip -n ns-5 addr show tap0"));
	ck_assert(fixture_shell_says("10.11.0.5 via 10.12.0.11 dev veth-5", "ip route show 10.11.0.5"));
	fixture_destroy(&result.slot);
}
END_TEST

START_TEST(a_kept_slot_is_watched_and_not_touched)
{
	struct fabric_slot slot = fixture_make(5, "left-over");
	int tap = fixture_open_tap(&slot);
	struct result kept = { 0 };
	char *before, *after;

	close(slot.netns_fd);
	fixture_stop_fabric();
	fixture_start_fabric();
	scan();
	before = slot_state();
	fabric_keep(host.fabric, 5, NULL, fixture_slot_done, &kept);
	fixture_await(&kept.done);
	ck_assert_msg(!kept.failed, "%s", kept.err.text);
	ck_assert(kept.slot.carrier);
	after = slot_state();
	expect_same(before, after);
	close(tap);
	fixture_destroy(&kept.slot);
}
END_TEST

START_TEST(an_unwanted_slot_is_removed_without_being_adopted)
{
	struct result gone = { 0 };
	char *world;

	fixture_stop_fabric();
	fixture_start_fabric();
	world = fixture_world();
	leave_slot();
	fixture_start_fabric();
	scan();
	fabric_destroy(host.fabric, 5, NULL, fixture_done, &gone);
	fixture_await(&gone.done);
	ck_assert_msg(!gone.failed, "%s", gone.err.text);
	ck_assert_uint_eq(host.seen[5].slot_free, 1);
	fixture_expect_world(world);
}
END_TEST

START_TEST(destroying_what_is_not_there_is_done_at_once)
{
	struct result gone = { 0 };

	fabric_destroy(host.fabric, 9, NULL, fixture_done, &gone);
	fixture_await(&gone.done);
	ck_assert(!gone.failed);
	ck_assert_uint_eq(host.seen[9].slot_free, 1);
}
END_TEST

START_TEST(names_of_others_are_told_and_half_made_ones_of_ours_removed)
{
	free(fixture_shell("ip netns add ns-3 && ip link add veth-4 type veth peer name d1 && touch /run/netns/ns-6 &&"
			   "touch /run/netns/ns-7 && chmod 1000 /run/netns/ns-7"));
	ck_assert_uint_eq(scan().count, 0);
	ck_assert_uint_eq(host.seen[3].foreign, 1);
	ck_assert_uint_eq(host.seen[4].foreign, 1);
	ck_assert_uint_eq(host.seen[6].foreign, 1);
	ck_assert_uint_eq(host.seen[7].foreign, 0);
	ck_assert_int_ne(access("/run/netns/ns-7", F_OK), 0);
	ck_assert_int_eq(access("/run/netns/ns-3", F_OK), 0);
}
END_TEST

START_TEST(a_namespace_that_our_veth_does_not_lead_to_is_not_ours)
{
	struct result gone = { 0 };

	leave_slot();
	free(fixture_shell(
	    "ip netns del ns-5; ip link del veth-5 2>/dev/null;"
	    "ip netns add elsewhere && ip link add veth-5 group 1874 type veth peer name eth0 netns elsewhere &&"
	    "ip netns add ns-5"));
	fixture_start_fabric();
	ck_assert(!scan().found[0].has_netns);
	ck_assert_uint_eq(host.seen[5].foreign, 1);
	fabric_destroy(host.fabric, 5, NULL, fixture_done, &gone);
	fixture_await(&gone.done);
	free(fixture_shell("ip netns exec ns-5 true"));
}
END_TEST

static void count_told(void *context, const char *what)
{
	unsigned *told = context;

	ck_assert(what[0]);
	++*told;
}

START_TEST(cleanup_leaves_nothing_of_ours_and_all_of_others)
{
	unsigned told = 0;
	struct err err;
	char *world;

	fixture_stop_fabric();
	free(fixture_shell("ip netns add ns-9 && nft add table inet other"));
	ck_assert_int_eq(fabric_cleanup(host.config, count_told, &told, &err), 0);
	world = fixture_world();
	fixture_start_fabric();
	leave_slot();
	told = 0;
	ck_assert_msg(fabric_cleanup(host.config, count_told, &told, &err) == 0, "%s", err.text);
	ck_assert_uint_ge(told, 4);
	fixture_expect_world(world);
	ck_assert(!fixture_shell_says("weft", "nft list ruleset"));
	ck_assert(fixture_shell_says("other", "nft list ruleset"));
	free(fixture_shell("ip netns exec ns-9 true"));
}
END_TEST

/* ---- whether the configuration fits the host ---- */

static size_t mistakes_after(const char *command, char *text, size_t size)
{
	struct config_mistakes mistakes = { 0 };
	size_t count;

	free(fixture_shell("%s", command));
	inspect_check_config(host.config, &mistakes);
	count = mistakes.count;
	snprintf(text, size, "%s", count ? mistakes.items[0].text : "");
	config_mistakes_clear(&mistakes);
	return count;
}

START_TEST(a_host_that_fits_has_no_mistakes)
{
	char text[512];
	struct fabric_slot slot;

	fixture_start_fabric();
	slot = fixture_make(5, "a5");
	/* Not even with a slot of ours on it. */
	ck_assert_uint_eq(mistakes_after("true", text, sizeof(text)), 0);
	/* A wider route, and a default one, only warn. */
	ck_assert_uint_eq(
	    mistakes_after(
		"ip link add d0 type veth peer name d1 && ip link set d0 up && ip route add 10.0.0.0/8 dev d0 &&"
		"ip route add default dev d0",
		text, sizeof(text)),
	    0);
	fixture_destroy(&slot);
}
END_TEST

static const struct {
	const char *command, *key, *object, *link;
} conflicts[] = {
	{ "ip link add d0 type veth peer name d1 && ip addr add 10.11.3.4/32 dev d0", "host_cidr", "10.11.3.4", "d0" },
	{ "ip link add d0 type veth peer name d1 && ip link set d0 up && ip route add 10.12.0.0/16 dev d0", "veth_cidr",
	  "10.12.0.0/16", "d0" },
	{ "ip link add d0 type veth peer name d1 && ip link set d0 up && ip route add 10.12.9.0/24 dev d0", "veth_cidr",
	  "10.12.9.0/24", "d0" },
	/* The name of a veth of ours, but not its address. */
	{ "ip link add veth-7 type veth peer name d1 && ip addr add 10.12.3.4/31 dev veth-7", "veth_cidr", "10.12.3.4",
	  "veth-7" },
};

START_TEST(what_the_host_uses_is_refused_by_name)
{
	char text[512];

	ck_assert_uint_eq(mistakes_after(conflicts[_i].command, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, conflicts[_i].key) && strstr(text, conflicts[_i].object) &&
			  strstr(text, conflicts[_i].link),
		      "%s", text);
}
END_TEST

START_TEST(an_address_that_the_host_lacks_is_refused)
{
	char text[512];

	ck_assert_int_eq(addr_parse("192.0.2.1:49983", &host.config->forwarder.default_listen.items[0]), 0);
	ck_assert_uint_eq(mistakes_after("true", text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, "default_listen") && strstr(text, "192.0.2.1"), "%s", text);
}
END_TEST

START_TEST(an_uplink_that_is_not_there_is_refused)
{
	char text[512];

	host.config->addresses.uplink = strdup("eth9");
	ck_assert_uint_eq(mistakes_after("true", text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, "uplink") && strstr(text, "eth9"), "%s", text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric adopt");
	TCase *adopting = tcase_create("adopt"), *fit = tcase_create("fit");

	tcase_add_checked_fixture(adopting, fixture_setup, fixture_teardown);
	tcase_set_timeout(adopting, 120);
	tcase_add_test(adopting, a_whole_slot_is_found_and_taken_over_untouched);
	tcase_add_test(adopting, a_vm_keeps_its_carrier_over_a_restart);
	tcase_add_loop_test(adopting, a_damaged_slot_is_repaired_when_it_is_taken_over, 0,
			    (int)(sizeof(damages) / sizeof(damages[0])));
	tcase_add_loop_test(adopting, a_failed_slot_is_taken_over_as_it_is, 0,
			    (int)(sizeof(failures) / sizeof(failures[0])));
	tcase_add_test(adopting, a_kept_slot_is_watched_and_not_touched);
	tcase_add_test(adopting, an_unwanted_slot_is_removed_without_being_adopted);
	tcase_add_test(adopting, destroying_what_is_not_there_is_done_at_once);
	tcase_add_test(adopting, names_of_others_are_told_and_half_made_ones_of_ours_removed);
	tcase_add_test(adopting, a_namespace_that_our_veth_does_not_lead_to_is_not_ours);
	tcase_add_test(adopting, cleanup_leaves_nothing_of_ours_and_all_of_others);
	suite_add_tcase(suite, adopting);

	tcase_add_checked_fixture(fit, fixture_setup_host, fixture_teardown);
	tcase_set_timeout(fit, 120);
	tcase_add_test(fit, a_host_that_fits_has_no_mistakes);
	tcase_add_loop_test(fit, what_the_host_uses_is_refused_by_name, 0,
			    (int)(sizeof(conflicts) / sizeof(conflicts[0])));
	tcase_add_test(fit, an_address_that_the_host_lacks_is_refused);
	tcase_add_test(fit, an_uplink_that_is_not_there_is_refused);
	suite_add_tcase(suite, fit);
	return fixture_run(suite);
}
