/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others change of a slot's links, and of all that belongs to them, is put back exactly as it was, by an event or by the patrol. */
#include "unit/fabric/fabric_fixture.h"

#include "fabric/patrol.h"
#include "fabric/state.h"
#include "fabric/suspects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static bool is_repaired(void *context)
{
	return host.seen[1].repaired && strstr(host.seen[1].what, context);
}

static bool trouble_is_over(void *context)
{
	(void)context;
	return host.seen[1].over && host.seen[1].over == host.seen[1].troubled;
}

static void stop_patrol(void)
{
	fabric_suspects_notify(host.fabric->suspects, NULL, NULL);
	fabric_patrol_free(host.fabric->patrol);
	host.fabric->patrol = NULL;
}

/* All that is known of the slot's links, but for numbers that change. malloc()ed. */
static char *describe_slot(void)
{
	return fixture_shell(
	    "{ for run in '' '-n ns-1'; do ip $run -o link show group 1874; ip $run -o link | grep -E 'eth0|tap0'; "
	    "ip $run -4 -o addr; ip $run route show table all | grep -v -e br0 -e broadcast | sort; "
	    "ip $run neigh show nud permanent; tc -n ns-1 qdisc show; done; ip netns exec ns-1 sysctl "
	    "net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse net.ipv4.tcp_rmem; } | sed 's/^[0-9]*: //; "
	    "s/@if[0-9]*//; "
	    "s/state [A-Z]*//; s/NO-CARRIER,//; s/.    alias.*//; s/ linkdown//'");
}

static void expect_slot(char *before)
{
	char *after = describe_slot();
	bool same = strcmp(after, before) == 0;

	/* Check has no room for so long a message. */
	if (!same)
		fprintf(stderr, "--- before\n%s+++ after\n%s", before, after);
	ck_assert_msg(same, "the slot is not as it was");
	free(after);
	free(before);
}

/* What sends an event: the patrol, which may come late, is not needed. */
static const struct {
	const char *command, *report;
} loud[] = {
	{ "ip link set veth-1 down", "veth down" },
	{ "ip addr del 10.12.0.2/31 dev veth-1", "address of the veth" },
	{ "ip -n ns-1 link set eth0 down", "eth0 down" },
	{ "ip -n ns-1 link set tap0 down", "tap0 down" },
	{ "ip link set veth-1 group 0", "group of the veth" },
	{ "ip link set veth-1 mtu 1300", "MTU of the veth" },
	{ "ip link set veth-1 address 02:00:00:00:00:01", "MAC of the veth" },
	{ "ip link set veth-1 arp off", "ARP of the veth" },
	{ "ip link add br0 type bridge && ip link set veth-1 master br0", "bridge of the veth" },
	{ "ip link set veth-1 name stolen", "name of the veth" },
	{ "ip -n ns-1 link set eth0 mtu 1300", "MTU of eth0" },
	{ "ip -n ns-1 link set eth0 address 02:00:00:00:00:02", "MAC of eth0" },
	{ "ip -n ns-1 link set eth0 name stolen", "name of eth0" },
	{ "ip -n ns-1 link set tap0 mtu 1300", "MTU of tap0" },
	{ "ip -n ns-1 link set tap0 address 02:00:00:00:00:03", "MAC of tap0" },
	{ "ip -n ns-1 link set tap0 name stolen", "name of tap0" },
	{ "ip route del 10.12.0.2/31", "connected route of the veth" },
	{ "ip -n ns-1 route del 169.254.0.20/30", "connected route of tap0" },
	{ "ip -n ns-1 route del 10.12.0.2/31", "connected route of eth0" },
};

START_TEST(what_sends_an_event_is_put_back_without_a_patrol)
{
	char *before = describe_slot();

	stop_patrol();
	free(fixture_shell("%s", loud[_i].command));
	fixture_await_that(is_repaired, (void *)loud[_i].report, loud[_i].report);
	expect_slot(before);
	ck_assert_uint_eq(host.seen[1].failed, 0);
}
END_TEST

/* What sends no event that is listened to, or too many. The patrol comes upon it. */
static const struct {
	const char *command, *report;
} quiet[] = {
	{ "ip neigh replace 10.12.0.3 lladdr 02:00:00:00:00:09 dev veth-1 nud permanent", "neighbour of the veth" },
	{ "ip -n ns-1 neigh del 10.12.0.2 dev eth0", "neighbour of eth0" },
	{ "ip -n ns-1 neigh del 169.254.0.21 dev tap0", "neighbour of tap0" },
	{ "ip netns exec ns-1 sysctl -qw net.ipv4.conf.eth0.forwarding=0", "eth0 not forwarding" },
	{ "sysctl -qw net.ipv4.conf.veth-1.accept_redirects=1", "redirects of the veth" },
	{ "sysctl -qw net.ipv6.conf.veth-1.disable_ipv6=0", "IPv6 of the veth" },
	{ "ip netns exec ns-1 sysctl -qw net.ipv6.conf.tap0.disable_ipv6=0", "IPv6 of tap0" },
	{ "ip netns exec ns-1 sysctl -qw net.ipv4.ip_local_port_range='40000 40010'", "settings of the namespace" },
	{ "ip netns exec ns-1 sysctl -qw net.ipv4.tcp_tw_reuse=0", "settings of the namespace" },
	{ "ip -n ns-1 route del local 169.254.0.22 table local", "local route of tap0" },
	{ "tc qdisc add dev veth-1 root tbf rate 10kbit burst 2000 latency 50ms", "limit of the veth" },
	{ "tc -n ns-1 qdisc replace dev tap0 root tbf rate 10kbit burst 2000 latency 50ms", "limit of tap0" },
};

START_TEST(what_changes_without_an_event_is_put_back)
{
	char *before = describe_slot();

	free(fixture_shell("%s", quiet[_i].command));
	fixture_await_that(is_repaired, (void *)quiet[_i].report, quiet[_i].report);
	expect_slot(before);
	ck_assert_uint_eq(host.seen[1].troubled, 0);
}
END_TEST

/* The guest was told the MTU, and has the MAC of its gateway in its cache. */
START_TEST(a_tap_is_put_right_under_its_vm)
{
	char *before = describe_slot();
	int tap;

	free(before);
	tap = fixture_open_tap(&slot);
	fixture_await_that(carrier_is_up, NULL, "carrier");
	before = describe_slot();
	free(fixture_shell("ip -n ns-1 link set tap0 mtu 1300 address 02:00:00:00:00:03"));
	fixture_await_that(is_repaired, (void *)"MTU of tap0", "MAC and MTU");
	expect_slot(before);
	ck_assert_uint_eq(host.seen[1].carrier_down, 0);
	close(tap);
}
END_TEST

static bool is_fought_over(void *context)
{
	(void)context;
	if (host.seen[1].troubled)
		return true;
	free(fixture_shell("ip link set veth-1 mtu 1300"));
	return false;
}

START_TEST(a_part_that_somebody_changes_again_and_again_is_left_and_reported_once)
{
	unsigned repaired;

	fixture_await_that(is_fought_over, NULL, "the report");
	ck_assert_ptr_nonnull(strstr(host.seen[1].trouble, "MTU of the veth"));
	repaired = host.seen[1].repaired;
	fixture_await_that(trouble_is_over, NULL, "its end");
	ck_assert_uint_eq(host.seen[1].troubled, 1);
	ck_assert_uint_eq(host.seen[1].repaired, repaired);
	ck_assert(fixture_shell_says("mtu 1500", "ip link show veth-1"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fabric drift");
	TCase *drift = tcase_create("drift");

	tcase_add_checked_fixture(drift, setup, teardown);
	tcase_set_timeout(drift, 120);
	tcase_add_loop_test(drift, what_sends_an_event_is_put_back_without_a_patrol, 0,
			    (int)(sizeof(loud) / sizeof(loud[0])));
	tcase_add_loop_test(drift, what_changes_without_an_event_is_put_back, 0,
			    (int)(sizeof(quiet) / sizeof(quiet[0])));
	tcase_add_test(drift, a_tap_is_put_right_under_its_vm);
	tcase_add_test(drift, a_part_that_somebody_changes_again_and_again_is_left_and_reported_once);
	suite_add_tcase(suite, drift);
	return fixture_run(suite);
}
