/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each system call, and each allocation, of the work on a slot fails once: the first, the second, ... until the work needs no more of
 * them. Whatever fails and however, a living slot is never taken apart or held for somebody else's, nothing is left behind, and
 * the work is done when it is asked for again.
 */
#include "unit/fabric/fabric_fixture.h"
#include "unit/faults.h"

#include "base/spares.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/destroy.h"
#include "fabric/slot/scan.h"
#include "fabric/slot/work.h"
#include "kernel/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOT = 5, MTU = 1500, CALLS_MAX = 2000 };

#define NAMESPACE "/run/netns/ns-5"
#define VETH      "veth-5"

static struct kern_rtnl rtnl = KERN_RTNL_CLOSED;
static struct egress egress = { .internet = true };
static struct bandwidth bandwidth;

static struct fabric_nat nat = { .proto = PROTO_TCP, .guest_port = 80 };
static struct fabric_plan plan = {
	.slot = SLOT, .id = "a", .egress = &egress, .bandwidth = &bandwidth, .nat = &nat, .nat_count = 1
};

static void setup(void)
{
	struct err err;

	ck_assert_int_eq(addr_parse("192.0.2.7:2000", &nat.listen), 0);

	fixture_setup();
	fixture_stop_fabric();
	ck_assert_int_eq(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err), 0);
}

static void teardown(void)
{
	kern_rtnl_close(&rtnl);
	base_spares_drop();
	kern_sysctl_close();
	fixture_teardown();
}

static void init(struct slot_work *work)
{
	slot_build_init(work, host.config, &rtnl, &plan, MTU);
}

/* ---- the kinds of work: 0, or -1 with ERR ---- */

static int build(struct slot_work *work, struct err *err)
{
	init(work);
	return slot_build_slot(work, err);
}

static int adopt(struct slot_work *work, struct err *err)
{
	init(work);
	return slot_adopt_links(work, err) < 0 ? -1 : slot_adopt_rules(work, err);
}

static int repair(struct slot_work *work, int netns_fd, struct err *err)
{
	init(work);
	work->netns_fd = netns_fd;
	work->attached = true;
	return slot_adopt_repair(work, err);
}

static int destroy(struct err *err)
{
	struct slot_remains remains = {
		.slot = SLOT, .layout = &host.config->layout, .nsid = -1, .leftovers = true, .published = true
	};

	if (slot_destroy_slot(&rtnl, &remains, err) == 0 && slot_destroy_links(&rtnl, &remains, err) == 0)
		return 0;
	/* There is no foreign object. */
	ck_assert_msg(!remains.refused, "%s: %s", faults_last(), err->text);
	return -1;
}

/* ---- what must be true ---- */

static ino_t inode_of(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_ino : 0;
}

static unsigned descriptors(void)
{
	unsigned count = 0;

	base_spares_fill();
	kern_sysctl_close();
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static bool is_home(void)
{
	static ino_t home;

	if (!home)
		home = inode_of("/proc/self/ns/net");
	return inode_of("/proc/thread-self/ns/net") == home;
}

static void expect_nothing_left(unsigned open_before, const char *what, int code)
{
	ck_assert_msg(inode_of(NAMESPACE) == 0, "%s failed with %s: a name was left", what, strerror(code));
	/* The kernel drops it with its namespace, some time later. */
	for (int i = 0; if_nametoindex(VETH) && i < 3000; i++)
		usleep(1000);
	ck_assert_msg(if_nametoindex(VETH) == 0, "%s failed with %s: a link was left", what, strerror(code));
	ck_assert_msg(descriptors() == open_before, "%s failed with %s: a descriptor was left", what, strerror(code));
	ck_assert_msg(is_home(), "%s failed with %s: in the wrong namespace", what, strerror(code));
}

static void expect_destroyed(unsigned open_before)
{
	struct err err;

	ck_assert_msg(destroy(&err) == 0, "%s", err.text);
	expect_nothing_left(open_before, "destroying", 0);
}

/* ---- the faults ---- */

/* Works while the call of this NUMBER fails with CODE, or the allocation where CODE is 0. Whether there was one. */
typedef bool works(unsigned number, int code);

static void arm(unsigned number, int code)
{
	if (code)
		faults_arm_calls(number, code);
	else
		faults_arm_memory(number, false);
}

static void fail_each_call(works *work)
{
	bool reached = true;

	for (unsigned number = 1; reached; number++) {
		for (const int *code = faults_codes_for(number); *code; code++)
			reached = work(number, *code);
		ck_assert_uint_lt(number, CALLS_MAX);
	}
}

static void fail_each_allocation(works *work)
{
	for (unsigned number = 1; work(number, 0); number++)
		ck_assert_uint_lt(number, CALLS_MAX);
}

/* ---- making ---- */

/* Without a fault: it opens what stays open. */
static void make_and_destroy(void)
{
	struct slot_work work;
	struct err err;

	base_spares_fill();
	ck_assert_int_eq(build(&work, &err), 0);
	close(work.netns_fd);
	expect_destroyed(descriptors());
}

static bool is_shortage_of_descriptors(int code)
{
	return code == EMFILE || code == ENFILE;
}

static bool build_with_fault(unsigned number, int code)
{
	unsigned before = descriptors();
	struct slot_work work;
	struct err err;

	arm(number, code);
	int result = build(&work, &err);
	bool reached = faults_disarm();

	ck_assert_msg(result == 0 || reached, "%s", err.text);
	ck_assert_msg(!work.foreign, "%s with %s: held for foreign: %s", faults_last(), strerror(code), err.text);
	if (result == 0) {
		close(work.netns_fd);
	} else {
		ck_assert_msg(!is_shortage_of_descriptors(code) || strcmp(faults_last(), "socket") != 0,
			      "no spare descriptor was used: %s", err.text);
		expect_nothing_left(before, faults_last(), code);
		ck_assert_msg(build(&work, &err) == 0, "after %s with %s: %s", faults_last(), strerror(code), err.text);
		close(work.netns_fd);
	}
	expect_destroyed(before);
	base_spares_fill();
	return reached;
}

START_TEST(a_slot_is_made_whole_or_not_at_all)
{
	make_and_destroy();
	fail_each_call(build_with_fault);
}
END_TEST

START_TEST(a_slot_is_made_whole_or_not_at_all_without_memory)
{
	make_and_destroy();
	fail_each_allocation(build_with_fault);
}
END_TEST

/* ---- a living slot ---- */

static struct {
	struct slot_work work;
	ino_t inode;
	unsigned veth;
} living;

static void live(void)
{
	struct fabric_slot slot;
	struct err err;

	base_spares_fill();
	ck_assert_msg(build(&living.work, &err) == 0, "%s", err.text);
	slot.netns_fd = living.work.netns_fd;
	fixture_open_tap(&slot); /* open until the test ends */
	living.inode = inode_of(NAMESPACE);
	living.veth = if_nametoindex(VETH);
}

static void expect_living(int code)
{
	ck_assert_msg(inode_of(NAMESPACE) == living.inode, "%s with %s: its namespace went", faults_last(),
		      strerror(code));
	ck_assert_msg(if_nametoindex(VETH) == living.veth, "%s with %s: its veth went", faults_last(), strerror(code));
	ck_assert_msg(is_home(), "%s with %s: in the wrong namespace", faults_last(), strerror(code));
}

static bool adopt_with_fault(unsigned number, int code)
{
	unsigned before = descriptors();
	struct slot_work work;
	struct err err;

	arm(number, code);
	int result = adopt(&work, &err);
	bool reached = faults_disarm();

	expect_living(code);
	ck_assert_msg(result == 0 || reached, "%s", err.text);
	ck_assert_msg(!work.foreign, "%s with %s: held for foreign: %s", faults_last(), strerror(code), err.text);
	if (result < 0) {
		ck_assert_msg(descriptors() == before, "%s with %s: a descriptor was left", faults_last(),
			      strerror(code));
		ck_assert_msg(adopt(&work, &err) == 0, "after %s with %s: %s", faults_last(), strerror(code), err.text);
	}
	expect_living(code);
	ck_assert_msg(!work.repaired[0] || strcmp(work.repaired, "nft table") == 0, "%s with %s: repaired %s",
		      faults_last(), strerror(code), work.repaired);
	close(work.netns_fd);
	base_spares_fill();
	return reached;
}

START_TEST(a_living_slot_is_adopted_and_never_taken_apart)
{
	live();
	fail_each_call(adopt_with_fault);
	fail_each_allocation(adopt_with_fault);
}
END_TEST

/* A foreign link has the name of its veth. With a fault it is adopted as it is, or another time, and its VM is never overlooked. */
static bool adopt_failed_with_fault(unsigned number, int code)
{
	unsigned before = descriptors();
	struct slot_work work;
	struct err err;

	arm(number, code);
	int result = adopt(&work, &err);
	bool reached = faults_disarm();

	ck_assert_msg(inode_of(NAMESPACE) == living.inode, "%s with %s: its namespace went", faults_last(),
		      strerror(code));
	ck_assert_msg(is_home(), "%s with %s: in the wrong namespace", faults_last(), strerror(code));
	ck_assert_msg(result == 0 || reached, "%s", err.text);
	if (result == 0) {
		ck_assert_msg(work.failure == FAILURE_LINK && work.carrier, "%s with %s: failure %d, carrier %d",
			      faults_last(), strerror(code), work.failure, work.carrier);
		ck_assert_msg(strstr(work.why.text, VETH) != NULL, "%s", work.why.text);
		close(work.netns_fd);
	} else {
		ck_assert_msg(work.failure == FAILURE_NONE || strstr(work.why.text, VETH) != NULL, "%s", work.why.text);
	}
	base_spares_fill();
	ck_assert_msg(descriptors() == before, "%s with %s: a descriptor was left", faults_last(), strerror(code));
	return reached;
}

START_TEST(a_failed_slot_is_adopted_as_it_is)
{
	live();
	plan.netns_device = living.work.key.device;
	plan.netns_inode = living.work.key.inode;
	free(fixture_shell("ip link del " VETH " && ip link add " VETH " type veth peer name other"));
	fail_each_call(adopt_failed_with_fault);
	fail_each_allocation(adopt_failed_with_fault);
	plan.netns_inode = 0;
}
END_TEST

static bool scan_with_fault(unsigned number, int code)
{
	struct scan scan = { 0 };
	struct err err;

	arm(number, code);
	int result = slot_scan_host(&rtnl, host.config, &scan, &err);
	bool reached = faults_disarm();

	expect_living(code);
	if (result == 0) {
		ck_assert_msg(scan.foreign.count == 0, "%s with %s: foreign", faults_last(), strerror(code));
		ck_assert_msg(scan.found.count == 1 && scan.found.items[0].has_netns && scan.found.items[0].has_tap &&
				  scan.found.items[0].carrier,
			      "%s with %s: half of it was found", faults_last(), strerror(code));
	}
	slot_scan_clear(&scan);
	base_spares_fill();
	return reached;
}

START_TEST(a_scan_finds_all_or_fails)
{
	live();
	fail_each_call(scan_with_fault);
	fail_each_allocation(scan_with_fault);
}
END_TEST

static void damage(void)
{
	free(fixture_shell("ip route del 10.11.0.5; ip netns exec ns-5 ip addr flush dev tap0"));
}

static bool repair_with_fault(unsigned number, int code)
{
	struct slot_work work;
	struct err err;

	if (number % 8 == 1)
		damage();
	arm(number, code);
	int result = repair(&work, living.work.netns_fd, &err);
	bool reached = faults_disarm();

	expect_living(code);
	ck_assert_msg(result == 0 || reached, "%s", err.text);
	ck_assert_msg(!work.foreign, "%s with %s: held for foreign: %s", faults_last(), strerror(code), err.text);
	if (result < 0)
		ck_assert_msg(repair(&work, living.work.netns_fd, &err) == 0, "after %s with %s: %s", faults_last(),
			      strerror(code), err.text);
	expect_living(code);
	base_spares_fill();
	return reached;
}

START_TEST(a_living_slot_is_repaired_in_the_end)
{
	live();
	fail_each_call(repair_with_fault);
	fail_each_allocation(repair_with_fault);
	ck_assert(fixture_shell_says("10.11.0.5", "ip route"));
	ck_assert(fixture_shell_says("169.254.0.22", "ip netns exec ns-5 ip addr show tap0"));
}
END_TEST

/* ---- taking apart ---- */

static bool destroy_with_fault(unsigned number, int code)
{
	unsigned before = descriptors();
	struct slot_work work;
	struct err err;

	ck_assert_msg(build(&work, &err) == 0, "%s", err.text);
	close(work.netns_fd);
	arm(number, code);
	int result = destroy(&err);
	bool reached = faults_disarm();

	ck_assert_msg(result == 0 || reached, "%s", err.text);
	if (result < 0)
		ck_assert_msg(destroy(&err) == 0, "after %s with %s: %s", faults_last(), strerror(code), err.text);
	expect_nothing_left(before, faults_last(), code);
	ck_assert(!fixture_shell_says("192.0.2.7", "nft list map inet weft published"));
	base_spares_fill();
	return reached;
}

START_TEST(a_slot_is_taken_apart_in_the_end)
{
	make_and_destroy();
	fail_each_call(destroy_with_fault);
	fail_each_allocation(destroy_with_fault);
}
END_TEST

/* ---- rules ---- */

static bool update_with_fault(unsigned number, int code)
{
	struct fabric_plan former = plan, wanted = plan;
	struct egress closed = { .internet = number % 2 == 0 };
	struct egress open = { .internet = number % 2 != 0 };
	struct err err;
	bool intact;

	former.egress = &open;
	wanted.egress = &closed;
	ck_assert_msg(rules_slot_update(living.work.netns_fd, host.config, &former, NULL, &err) == 0, "%s", err.text);
	arm(number, code);
	int result = rules_slot_update(living.work.netns_fd, host.config, &wanted, &former, &err);
	bool reached = faults_disarm();

	ck_assert_msg(result == 0 || reached, "%s", err.text);
	if (result < 0) {
		ck_assert_msg(rules_slot_update(living.work.netns_fd, host.config, &wanted, &former, &err) == 0,
			      "after %s with %s: %s", faults_last(), strerror(code), err.text);
	}
	ck_assert_msg(rules_slot_check(living.work.netns_fd, host.config, &wanted, &intact, &err) == 0, "%s", err.text);
	ck_assert_msg(intact, "after %s with %s", faults_last(), strerror(code));
	base_spares_fill();
	return reached;
}

START_TEST(a_policy_is_replaced_in_the_end)
{
	live();
	fail_each_call(update_with_fault);
	fail_each_allocation(update_with_fault);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault");
	TCase *tcase = tcase_create("slots");

	tcase_set_timeout(tcase, 600);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_slot_is_made_whole_or_not_at_all);
	tcase_add_test(tcase, a_slot_is_made_whole_or_not_at_all_without_memory);
	tcase_add_test(tcase, a_living_slot_is_adopted_and_never_taken_apart);
	tcase_add_test(tcase, a_failed_slot_is_adopted_as_it_is);
	tcase_add_test(tcase, a_scan_finds_all_or_fails);
	tcase_add_test(tcase, a_living_slot_is_repaired_in_the_end);
	tcase_add_test(tcase, a_slot_is_taken_apart_in_the_end);
	tcase_add_test(tcase, a_policy_is_replaced_in_the_end);
	suite_add_tcase(suite, tcase);
	return fixture_run(suite);
}
