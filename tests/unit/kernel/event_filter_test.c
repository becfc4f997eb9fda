/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitors receive the messages that they need and no others: each change is made by ip or nft, in a namespace of the
 * test's.
 */
#include "kernel/event_filter.h"

#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	NEW_RULES = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE,
	GENERATION = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN
};

static int hear(int family, int group, int other, int (*filter)(int fd))
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(filter(fd), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
	if (other)
		ck_assert_int_eq(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &other, sizeof(other)), 0);
	return fd;
}

/*
 * How many packets that begin with a message of TYPE (0: of any) wait at FD; the kernel has sent them before the command
 * ended.
 */
static unsigned heard(int fd, int type)
{
	_Alignas(struct nlmsghdr) char buffer[32768];
	const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;
	unsigned count = 0;

	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		count += !type || header->nlmsg_type == type;
	return count;
}

START_TEST(a_tap_is_heard_of)
{
	struct lab lab = lab_open();
	int fd = hear(NETLINK_ROUTE, RTNLGRP_LINK, 0, kern_event_filter_links);

	lab_add_links(&lab);
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip link set tap0 alias a");
	ck_assert_uint_eq(heard(fd, 0), 1);
	close(fd);
	config_free(lab.config);
}
END_TEST

START_TEST(a_link_that_changes_or_goes_away_is_heard_of)
{
	struct lab lab = lab_open();
	int fd;

	lab_run("ip link add veth-1 type veth peer name veth-2");
	fd = hear(NETLINK_ROUTE, RTNLGRP_LINK, 0, kern_event_filter_links);
	lab_run("ip link set veth-1 up");
	ck_assert_uint_eq(heard(fd, 0), 0);
	lab_run("ip link set veth-1 mtu 1400");
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip link set veth-1 group 7");
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip link set veth-1 arp off");
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip link set veth-1 down");
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip link del veth-1");
	ck_assert_uint_eq(heard(fd, RTM_DELLINK), 2);
	close(fd);
	config_free(lab.config);
}
END_TEST

START_TEST(routes_that_go_or_are_replaced_are_heard_of)
{
	struct lab lab = lab_open();
	int fd;

	fd = hear(NETLINK_ROUTE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_IFADDR, kern_event_filter_routes);
	lab_run("ip address add 10.9.9.1/24 dev lo && ip route add 10.8.0.0/16 dev lo");
	ck_assert_uint_eq(heard(fd, 0), 0);
	lab_run("ip route replace 10.8.0.0/16 dev lo mtu 1400");
	ck_assert_uint_eq(heard(fd, RTM_NEWROUTE), 1);
	lab_run("ip route del 10.8.0.0/16");
	ck_assert_uint_eq(heard(fd, RTM_DELROUTE), 1);
	lab_run("ip route add 10.7.0.1 dev lo proto 174 && ip route add 10.7.0.1 dev lo table 7");
	ck_assert_uint_eq(heard(fd, 0), 0);
	lab_run("ip route prepend blackhole 10.7.0.1");
	ck_assert_uint_eq(heard(fd, RTM_NEWROUTE), 1);
	lab_run("ip address del 10.9.9.1/24 dev lo");
	ck_assert_uint_eq(heard(fd, RTM_DELADDR), 1);
	lab_run("ip address add 10.11.0.1/32 dev lo");
	ck_assert_uint_eq(heard(fd, RTM_NEWADDR), 1);
	lab_run("ip rule add pref 90 to 10.11.0.1 blackhole");
	ck_assert_uint_eq(heard(fd, 0), 0);
	close(fd);
	config_free(lab.config);
}
END_TEST

START_TEST(rules_are_heard_of_and_their_generation_is_not)
{
	struct lab lab = lab_open();
	int fd;

	fd = hear(NETLINK_NETFILTER, NFNLGRP_NFTABLES, 0, kern_event_filter_rules);
	lab_run("nft add table inet weft");
	ck_assert_uint_eq(heard(fd, NEW_RULES), 1);
	lab_run("nft add table inet weft2 && nft delete table inet weft");
	ck_assert_uint_eq(heard(fd, 0), 2);
	lab_run("nft flush ruleset");
	ck_assert_uint_eq(heard(fd, GENERATION), 0);
	close(fd);
	config_free(lab.config);
}
END_TEST

static int uplink;

static int filter_uplink(int fd)
{
	return kern_event_filter_uplink(fd, uplink);
}

START_TEST(the_uplink_and_default_routes_are_heard_of)
{
	struct lab lab = lab_open();
	int fd;

	lab_run("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
	lab_run("ip address add 10.9.9.1/24 dev up0");
	uplink = (int)if_nametoindex("up0");
	ck_assert_int_gt(uplink, 0);
	fd = hear(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, filter_uplink);
	lab_run("ip link set up1 mtu 1300 && ip route add 10.8.0.0/16 dev up0 && ip address add 10.9.9.2/24 dev up0");
	ck_assert_uint_eq(heard(fd, 0), 0);
	lab_run("ip link set up0 mtu 1300");
	ck_assert_uint_gt(heard(fd, RTM_NEWLINK), 0);
	lab_run("ip route add default dev up0");
	ck_assert_uint_eq(heard(fd, RTM_NEWROUTE), 1);
	lab_run("ip route del default");
	ck_assert_uint_eq(heard(fd, RTM_DELROUTE), 1);
	lab_run("ip link del up1");
	ck_assert_uint_eq(heard(fd, RTM_DELLINK), 1);
	close(fd);
	config_free(lab.config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("event_filter");
	TCase *tests = tcase_create("heard");

	lab_require_root();
	tcase_add_test(tests, a_tap_is_heard_of);
	tcase_add_test(tests, a_link_that_changes_or_goes_away_is_heard_of);
	tcase_add_test(tests, routes_that_go_or_are_replaced_are_heard_of);
	tcase_add_test(tests, rules_are_heard_of_and_their_generation_is_not);
	tcase_add_test(tests, the_uplink_and_default_routes_are_heard_of);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
