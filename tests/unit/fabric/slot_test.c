/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots come and go whole. */
#include "base/netns.h"
#include "fabric/job.h"
#include "fabric/slot/fault.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "inspect/look.h"
#include "kernel/namespace.h"
#include "kernel/sock_kill.h"
#include "unit/fabric/fabric_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_slot_has_all_its_parts)
{
	struct fabric_slot slot = fixture_make(110, "a1");

	ck_assert(!slot.carrier);
	ck_assert_uint_eq(slot.mtu, 1500);
	ck_assert(fixture_shell_says("10.12.0.220/31", "ip -4 addr show veth-110"));
	ck_assert(fixture_shell_says("02:fc:01:00:00:6e", "ip link show veth-110"));
	ck_assert(fixture_shell_says("group 1874", "ip link show veth-110"));
	ck_assert(fixture_shell_says("10.11.0.110 via 10.12.0.221 dev veth-110", "ip route show 10.11.0.110"));
	ck_assert(fixture_shell_says("10.12.0.221 lladdr 02:fc:02:00:00:6e PERMANENT", "ip neigh show dev veth-110"));
	ck_assert(fixture_shell_says("10.12.0.221/31", "ip -n ns-110 -4 addr show eth0"));
	ck_assert(fixture_shell_says("02:fc:02:00:00:6e", "ip -n ns-110 link show eth0"));
	ck_assert(fixture_shell_says("default via 10.12.0.220", "ip -n ns-110 route show default"));
	ck_assert(fixture_shell_says("PERMANENT", "ip -n ns-110 neigh show 10.12.0.220"));
	ck_assert(fixture_shell_says("169.254.0.22/30", "ip -n ns-110 -4 addr show tap0"));
	ck_assert(fixture_shell_says("02:fc:00:00:00:06", "ip -n ns-110 link show tap0"));
	ck_assert(fixture_shell_says("02:fc:00:00:00:05 PERMANENT", "ip -n ns-110 neigh show 169.254.0.21"));
	ck_assert(fixture_shell_says("tun type tap pi off vnet_hdr on persist on", "ip -n ns-110 -d link show tap0"));
	ck_assert(fixture_shell_says("0\n", "ip netns exec ns-110 cat /sys/class/net/tap0/carrier"));
	ck_assert(fixture_shell_says(",UP", "ip -n ns-110 link show lo"));
	ck_assert(fixture_shell_says("none",
				     "echo none $(ip -6 -o addr show veth-110) $(ip -n ns-110 -6 -o addr show eth0)"
				     " $(ip -n ns-110 -6 -o addr show tap0) | grep -x none"));
	ck_assert(fixture_shell_says("1\n1", "ip netns exec ns-110 cat /proc/sys/net/ipv4/conf/eth0/forwarding"
					     " /proc/sys/net/ipv4/conf/tap0/forwarding"));
	ck_assert(fixture_shell_says("1\n1024\t65535\n4096\t131072\t4194304",
				     "ip netns exec ns-110 cat /proc/sys/net/ipv4/tcp_tw_reuse"
				     " /proc/sys/net/ipv4/ip_local_port_range /proc/sys/net/ipv4/tcp_rmem"));
	ck_assert(fixture_shell_says("1", "cat /proc/sys/net/ipv6/conf/veth-110/disable_ipv6"));
	/* Each such route would make all links that come and go slower. */
	ck_assert(fixture_shell_says("none", "echo none $(ip -6 route show table all dev veth-110) | grep -x none"));
	fixture_destroy(&slot);
}
END_TEST

/* The kernel walks the numbers from the lowest on, and most messages are about the namespace that is being made. */
START_TEST(each_new_namespace_has_the_lowest_number)
{
	struct fabric_slot slots[3];
	struct kern_rtnl rtnl;
	struct err err;
	int former = NAMESPACE_ID_MAX + 1;

	ck_assert_int_eq(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		int nsid;

		slots[i] = fixture_make(i + 1, "a");
		ck_assert_int_eq(kern_namespace_id(&rtnl, slots[i].netns_fd, &nsid, &err), 0);
		ck_assert_int_lt(nsid, former);
		ck_assert_int_gt(nsid, NAMESPACE_ID_MIN);
		former = nsid;
	}
	kern_rtnl_close(&rtnl);
	for (unsigned i = 0; i < 3; i++)
		fixture_destroy(&slots[i]);
}
END_TEST

START_TEST(a_destroyed_slot_leaves_nothing)
{
	char *world = fixture_world();
	struct fabric_slot slot = fixture_make(1, "a1");

	fixture_destroy(&slot);
	fixture_expect_world(world);
	ck_assert_uint_eq(host.seen[1].slot_free, 1);
}
END_TEST

static const char *failing;

static bool fails(const char *step)
{
	return strcmp(step, failing) == 0;
}

static size_t step_count(void)
{
	size_t count = 0;

	while (slot_build_steps()[count])
		count++;
	return count;
}

START_TEST(a_slot_that_fails_half_way_leaves_nothing)
{
	char *world = fixture_world();
	struct fabric_plan plan = fixture_plan(7, "a7");
	struct result result = { 0 };

	failing = slot_build_steps()[_i];
	slot_fault_set(fails);
	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	slot_fault_set(NULL);
	ck_assert(result.failed);
	ck_assert_int_eq(result.err.code, EIO);
	ck_assert_ptr_nonnull(strstr(result.err.text, failing));
	ck_assert_ptr_nonnull(strstr(result.err.text, "slot 7"));
	fixture_expect_world(world);

	/* The number can be used at once. */
	struct fabric_slot slot = fixture_make(7, "a7");
	fixture_destroy(&slot);
}
END_TEST

static void expect_refusal(unsigned number, const char *object)
{
	struct fabric_plan plan = fixture_plan(number, "b");
	struct result result = { 0 };
	char *world = fixture_world();

	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert(result.failed);
	ck_assert_int_eq(result.err.code, EEXIST);
	ck_assert_msg(strstr(result.err.text, object) != NULL, "%s", result.err.text);
	ck_assert_uint_eq(host.seen[number].foreign, 1);
	fixture_expect_world(world);
}

START_TEST(names_of_others_are_never_taken)
{
	free(fixture_shell(
	    "ip netns add ns-3 && ip link add veth-4 type veth peer name other && touch /run/netns/ns-5"));
	expect_refusal(3, "/run/netns/ns-3");
	expect_refusal(4, "veth-4");
	expect_refusal(5, "/run/netns/ns-5");
	free(fixture_shell("ip netns exec ns-3 true && ip link show veth-4 && ls /run/netns/ns-5"));
}
END_TEST

static bool three_are_free(void *context)
{
	(void)context;
	return host.seen[3].slot_free && host.seen[4].slot_free && host.seen[5].slot_free;
}

START_TEST(a_number_is_free_when_the_object_of_others_went)
{
	free(fixture_shell(
	    "ip netns add ns-3 && ip link add veth-4 type veth peer name other && touch /run/netns/ns-5"));
	expect_refusal(3, "/run/netns/ns-3");
	expect_refusal(4, "veth-4");
	expect_refusal(5, "/run/netns/ns-5");
	free(fixture_shell("ip netns del ns-3 && ip link del veth-4 && rm /run/netns/ns-5"));
	fixture_await_that(three_are_free, NULL, "three free numbers");
	struct fabric_slot slot = fixture_make(4, "a4");
	fixture_destroy(&slot);
}
END_TEST

/* A process inside the namespace that has the TAP open, as a VMM does. The caller ends it. */
static pid_t start_holder(const struct fabric_slot *slot)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct err err;
		int tap = fixture_open_tap(slot);

		if (tap < 0 || base_netns_enter(slot->netns_fd, &err) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

START_TEST(who_has_a_tap_open_is_told_apart_by_namespace)
{
	struct fabric_slot slot = fixture_make(1, "a1"), other = fixture_make(2, "a2");
	pid_t pid = start_holder(&slot);
	char text[256], wanted[32];

	snprintf(wanted, sizeof(wanted), "(pid %d)", pid);
	inspect_look_tap_holder(slot.netns_fd, "tap0", text, sizeof(text));
	ck_assert_msg(strstr(text, wanted) != NULL, "%s", text);
	inspect_look_tap_holder(other.netns_fd, "tap0", text, sizeof(text));
	ck_assert_str_eq(text, "");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fixture_destroy(&slot);
	fixture_destroy(&other);
}
END_TEST

static int connected_inside(const struct fabric_slot *slot)
{
	struct addr addr = addr_from_ipv4(INADDR_LOOPBACK, 4711);
	struct err err;
	int listener = base_netns_socket(slot->netns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, &err);
	int client = base_netns_socket(slot->netns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, &err);

	ck_assert_int_eq(bind(listener, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(connect(client, &addr.any, addr_length(&addr)), 0);
	close(listener);
	return client;
}

START_TEST(sockets_that_a_predecessor_left_are_ended)
{
	struct fabric_slot slot = fixture_make(1, "a1");
	int client = connected_inside(&slot);
	char byte;
	struct err err;

	ck_assert_msg(kern_sock_kill_all(slot.netns_fd, &err) == 0, "%s", err.text);
	ck_assert_int_eq(recv(client, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_ne(errno, EAGAIN);
	close(client);
	fixture_destroy(&slot);
}
END_TEST

START_TEST(the_tap_belongs_to_who_was_named)
{
	struct fabric_plan plan = fixture_plan(2, "a2");
	struct result result = { 0 };

	plan.has_tap_owner = true;
	plan.tap_uid = 123;
	plan.tap_gid = 100;
	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(fixture_shell_says("user 123 group users", "ip -n ns-2 -d link show tap0"));
	fixture_destroy(&result.slot);
}
END_TEST

START_TEST(a_rate_towards_the_guest_is_a_token_bucket_on_the_tap)
{
	struct bandwidth bandwidth = { .to_guest = { .rate = 12500000, .burst = 1000000 } };
	struct fabric_plan plan = fixture_plan(2, "a2");
	struct result result = { 0 };

	plan.bandwidth = &bandwidth;
	fabric_make(host.fabric, &plan, fixture_slot_done, &result);
	fixture_await(&result.done);
	ck_assert_msg(!result.failed, "%s", result.err.text);
	ck_assert(fixture_shell_says("qdisc tbf", "tc -n ns-2 qdisc show dev tap0"));
	ck_assert(fixture_shell_says("rate 100Mbit", "tc -n ns-2 qdisc show dev tap0"));
	fixture_destroy(&result.slot);
}
END_TEST

static bool is_named(void *context)
{
	(void)context;
	return fixture_shell_says("alias weft:sandbox-nine", "ip link show veth-9");
}

START_TEST(the_alias_follows_the_reply)
{
	struct fabric_slot slot = fixture_make(9, "sandbox-nine");

	fixture_await_that(is_named, NULL, "the alias");
	fixture_destroy(&slot);
}
END_TEST

START_TEST(links_are_deleted_under_who_holds_the_namespace)
{
	char *world = fixture_world();
	struct fabric_slot slot = fixture_make(1, "a1");
	int tap = fixture_open_tap(&slot);

	fixture_destroy(&slot);
	ck_assert_uint_eq(host.seen[1].slot_free, 1);
	close(tap);
	fixture_expect_world(world);
}
END_TEST

START_TEST(a_slot_destroyed_while_it_is_made_goes)
{
	char *world = fixture_world();
	struct fabric_plan plan = fixture_plan(1, "a1");
	struct result made = { 0 }, gone = { 0 };

	fabric_make(host.fabric, &plan, fixture_slot_done, &made);
	fabric_destroy(host.fabric, 1, NULL, fixture_done, &gone);
	fixture_await(&made.done);
	if (!made.failed)
		close(made.slot.netns_fd);
	fixture_await(&gone.done);
	fixture_expect_world(world);
}
END_TEST

START_TEST(a_slot_whose_veth_went_before_its_turn_goes_once)
{
	enum { BUSY = 5 };
	char *world = fixture_world();
	struct fabric_slot slot = fixture_make(1, "a1");
	struct result made[BUSY] = { 0 }, gone = { 0 };

	free(fixture_shell("ip link del veth-1"));
	/* Removals wait for these, and reports of events do not. */
	for (unsigned i = 0; i < BUSY; i++) {
		struct fabric_plan plan = fixture_plan(i + 2, "busy");

		fabric_make(host.fabric, &plan, fixture_slot_done, &made[i]);
	}
	close(slot.netns_fd);
	fabric_destroy(host.fabric, 1, NULL, fixture_done, &gone);
	fixture_await(&gone.done);
	ck_assert_msg(!gone.failed, "%s", gone.err.text);
	ck_assert_uint_eq(host.seen[1].slot_free, 1);
	for (unsigned i = 0; i < BUSY; i++) {
		fixture_await(&made[i].done);
		ck_assert_msg(!made[i].failed, "%s", made[i].err.text);
		fixture_destroy(&made[i].slot);
	}
	fixture_expect_world(world);
}
END_TEST

START_TEST(many_go_at_once)
{
	enum { COUNT = 100 };
	char *world = fixture_world();
	struct result made[COUNT] = { 0 }, gone[COUNT] = { 0 };

	for (unsigned i = 0; i < COUNT; i++) {
		struct fabric_plan plan = fixture_plan(i + 1, "many");

		fabric_make(host.fabric, &plan, fixture_slot_done, &made[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		fixture_await(&made[i].done);
		ck_assert_msg(!made[i].failed, "%s", made[i].err.text);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		close(made[i].slot.netns_fd);
		fabric_destroy(host.fabric, i + 1, NULL, fixture_done, &gone[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		fixture_await(&gone[i].done);
		ck_assert_msg(!gone[i].failed, "%s", gone[i].err.text);
	}
	fixture_expect_world(world);
}
END_TEST

START_TEST(stopping_tells_everybody_who_waits)
{
	struct fabric_plan plan = fixture_plan(1, "a1"), other = fixture_plan(2, "a2");
	struct fabric_slot slot = fixture_make(3, "a3");
	struct result made = { 0 }, also = { 0 }, gone = { 0 };

	close(slot.netns_fd);
	fabric_make(host.fabric, &plan, fixture_slot_done, &made);
	fabric_make(host.fabric, &other, fixture_slot_done, &also);
	fabric_destroy(host.fabric, 3, NULL, fixture_done, &gone);
	fixture_stop_fabric();
	ck_assert(made.done && also.done && gone.done);
	if (!made.failed)
		close(made.slot.netns_fd);
	if (!also.failed)
		close(also.slot.netns_fd);
}
END_TEST

START_TEST(a_slot_that_was_never_begun_closes_no_descriptor)
{
	struct fabric_plan plan = fixture_plan(1, "never");
	struct result made = { 0 };
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(dup2(lowest, 0), 0);
	fabric_job_thread_stop(host.fabric->builder);
	fabric_make(host.fabric, &plan, fixture_slot_done, &made);
	fixture_stop_fabric();
	ck_assert(made.done && made.failed);
	ck_assert_int_ge(fcntl(0, F_GETFD), 0);
	if (lowest)
		close(lowest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric slot");
	TCase *slots = tcase_create("slots");

	tcase_add_checked_fixture(slots, fixture_setup, fixture_teardown);
	tcase_set_timeout(slots, 120);
	tcase_add_test(slots, a_slot_has_all_its_parts);
	tcase_add_test(slots, each_new_namespace_has_the_lowest_number);
	tcase_add_test(slots, a_destroyed_slot_leaves_nothing);
	tcase_add_loop_test(slots, a_slot_that_fails_half_way_leaves_nothing, 0, (int)step_count());
	tcase_add_test(slots, names_of_others_are_never_taken);
	tcase_add_test(slots, a_number_is_free_when_the_object_of_others_went);
	tcase_add_test(slots, who_has_a_tap_open_is_told_apart_by_namespace);
	tcase_add_test(slots, sockets_that_a_predecessor_left_are_ended);
	tcase_add_test(slots, the_tap_belongs_to_who_was_named);
	tcase_add_test(slots, a_rate_towards_the_guest_is_a_token_bucket_on_the_tap);
	tcase_add_test(slots, the_alias_follows_the_reply);
	tcase_add_test(slots, links_are_deleted_under_who_holds_the_namespace);
	tcase_add_test(slots, a_slot_destroyed_while_it_is_made_goes);
	tcase_add_test(slots, a_slot_whose_veth_went_before_its_turn_goes_once);
	tcase_add_test(slots, many_go_at_once);
	tcase_add_test(slots, stopping_tells_everybody_who_waits);
	tcase_add_test(slots, a_slot_that_was_never_begun_closes_no_descriptor);
	suite_add_tcase(suite, slots);
	return fixture_run(suite);
}
