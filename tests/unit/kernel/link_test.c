/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links as they are asked for, and nothing else of them changed. */
#include "kernel/link.h"

#include "base/err.h"
#include "kernel/qdisc.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static struct lab lab;
static struct kern_rtnl rtnl;
static struct err err;
static int other_fd = -1; /* another namespace */

static const struct mac mac = { { 2, 0, 0, 0, 0, 1 } }, peer_mac = { { 2, 0, 0, 0, 0, 2 } };

static int this_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void open_lab(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	other_fd = this_namespace();
	lab = lab_open();
	lab_run("sysctl -qw net.ipv4.ip_forward=0"); /* a new namespace inherits the machine's */
	OK(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err));
}

static void close_lab(void)
{
	kern_rtnl_close(&rtnl);
	close(other_fd);
	config_free(lab.config);
}

static struct kern_veth veth_of(const char *name, const char *peer)
{
	return (struct kern_veth){ .name = name,
				   .peer = peer,
				   .mac = mac,
				   .peer_mac = peer_mac,
				   .peer_fd = other_fd,
				   .mtu = 1400,
				   .group = 4711 };
}

static struct kern_link get(const char *name)
{
	struct kern_link link;

	OK(kern_link_get(&rtnl, KERN_LINK_HERE, name, &link, &err));
	return link;
}

static struct kern_link make_veth(void)
{
	struct kern_veth veth = veth_of("veth-1", "eth0");

	OK(kern_link_make_veth(&rtnl, &veth, &err));
	return get("veth-1");
}

START_TEST(a_veth_has_all_of_its_settings_from_the_first)
{
	struct kern_link link = make_veth(), peer;
	struct kern_rtnl other;

	ck_assert_str_eq(link.kind, "veth");
	ck_assert_uint_eq(link.mtu, 1400);
	ck_assert_uint_eq(link.group, 4711);
	ck_assert(addr_mac_equal(&link.mac, &mac));
	ck_assert(link.has_peer_nsid);
	OK(kern_rtnl_open(&other, other_fd, NETLINK_ROUTE, &err));
	OK(kern_link_get(&other, KERN_LINK_HERE, "eth0", &peer, &err));
	ck_assert_int_eq(peer.index, link.peer_index);
	ck_assert_uint_eq(peer.mtu, 1400);
	ck_assert_uint_eq(peer.group, 0);
	ck_assert(addr_mac_equal(&peer.mac, &peer_mac));
	kern_rtnl_close(&other);
}
END_TEST

START_TEST(a_name_that_is_taken_exists)
{
	struct kern_veth veth = veth_of("veth-1", "eth1");

	make_veth();
	ck_assert_int_lt(kern_link_make_veth(&rtnl, &veth, &err), 0);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_str_eq(err.text, "link veth-1: File exists");
}
END_TEST

#define LONGEST  "veth-4567890123"
#define TOO_LONG LONGEST "4"

START_TEST(a_name_that_is_too_long_is_refused_before_it_is_cut)
{
	struct kern_veth name = veth_of(TOO_LONG, "eth0"), peer = veth_of("veth-1", TOO_LONG);
	struct kern_link link;

	ck_assert_int_lt(kern_link_make_veth(&rtnl, &name, &err), 0);
	ck_assert_int_eq(err.code, ENAMETOOLONG);
	ck_assert_int_lt(kern_link_make_veth(&rtnl, &peer, &err), 0);
	ck_assert_int_eq(err.code, ENAMETOOLONG);
	ck_assert_int_lt(kern_link_get(&rtnl, KERN_LINK_HERE, LONGEST, &link, &err), 0);
	ck_assert_int_eq(err.code, ENODEV);

	name = veth_of(LONGEST, "eth0");
	OK(kern_link_make_veth(&rtnl, &name, &err));
	ck_assert_int_lt(kern_link_delete(&rtnl, KERN_LINK_HERE, TOO_LONG, &err), 0);
	ck_assert_int_eq(err.code, ENAMETOOLONG);
	ck_assert_str_eq(get(LONGEST).name, LONGEST);
}
END_TEST

START_TEST(a_link_that_comes_up_keeps_its_other_flags)
{
	struct kern_link before = make_veth(), after;

	ck_assert_uint_eq(before.flags & IFF_UP, 0);
	ck_assert_uint_ne(before.flags & IFF_MULTICAST, 0);
	OK(kern_link_up(&rtnl, before.index, "veth-1", &err));
	after = get("veth-1");
	ck_assert_uint_eq(after.flags & (IFF_UP | IFF_MULTICAST | IFF_BROADCAST),
			  IFF_UP | IFF_MULTICAST | IFF_BROADCAST);
	ck_assert(!after.forwarding);
}
END_TEST

START_TEST(a_link_of_sandboxes_forwards_and_has_no_redirects)
{
	struct kern_link link = make_veth();
	char *text;

	lab_run("sysctl -qw net.ipv4.conf.veth-1.forwarding=0 net.ipv4.conf.veth-1.send_redirects=1 "
		"net.ipv4.conf.veth-1.accept_redirects=1");
	OK(kern_link_up_forwarding(&rtnl, link.index, "veth-1", &err));
	link = get("veth-1");
	ck_assert(link.forwarding);
	ck_assert_uint_ne(link.flags & IFF_UP, 0);
	text = lab_output("sysctl -n net.ipv4.conf.veth-1.send_redirects net.ipv4.conf.veth-1.accept_redirects");
	ck_assert_str_eq(text, "0\n0\n");
	free(text);
}
END_TEST

START_TEST(mac_mtu_and_alias_are_set_alone)
{
	struct kern_link before = make_veth(), after;

	OK(kern_link_set_mac_mtu(&rtnl, before.index, "veth-1", &peer_mac, 1300, &err));
	OK(kern_link_set_alias(&rtnl, before.index, "veth-1", "weft:a", &err));
	after = get("veth-1");
	ck_assert(addr_mac_equal(&after.mac, &peer_mac));
	ck_assert_uint_eq(after.mtu, 1300);
	ck_assert_str_eq(after.alias, "weft:a");
	ck_assert_uint_eq(after.group, 4711);
	ck_assert_uint_eq(after.flags, before.flags);
	OK(kern_link_set_alias(&rtnl, before.index, "veth-1", "", &err));
	ck_assert_str_eq(get("veth-1").alias, "");
}
END_TEST

START_TEST(a_link_of_another_namespace_is_deleted_by_its_number)
{
	struct kern_link link = make_veth(), peer;

	OK(kern_link_get(&rtnl, link.peer_nsid, "eth0", &peer, &err));
	OK(kern_link_delete(&rtnl, link.peer_nsid, "eth0", &err));
	ck_assert_int_lt(kern_link_delete(&rtnl, KERN_LINK_HERE, "veth-1", &err), 0);
	ck_assert_int_eq(err.code, ENODEV);
	ck_assert_int_lt(kern_link_get(&rtnl, 4711, "eth0", &peer, &err), 0);
	ck_assert_int_eq(err.code, EINVAL);
}
END_TEST

static void expect_rate(const char *rate)
{
	char *text = lab_output("tc qdisc show dev veth-1");

	ck_assert_msg(strstr(text, rate) != NULL, "%s: %s", rate, text);
	free(text);
}

START_TEST(large_rates_are_exact)
{
	struct kern_link link = make_veth();

	OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &(struct kern_rate){ .rate = 5000000000 }, 1400, &err));
	expect_rate(" rate 40Gbit ");
	OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &(struct kern_rate){ .rate = 125000 }, 1400, &err));
	expect_rate(" rate 1Mbit ");
	OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &(struct kern_rate){ 0 }, 1400, &err));
	ck_assert_str_ne(get("veth-1").qdisc, "tbf");
	OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &(struct kern_rate){ 0 }, 1400, &err));
}
END_TEST

START_TEST(a_guard_is_a_limit_of_length_alone)
{
	const struct kern_rate guard = { .rate = 32000000000u, .burst = 16 << 20, .queue = 256 * 1024 };
	struct kern_link link = make_veth();

	for (unsigned i = 0; i < 2; i++) {
		OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &guard, 1400, &err));
		expect_rate(" rate 256Gbit ");
		expect_rate(" limit 256Kb ");
	}
	OK(kern_qdisc_limit(&rtnl, link.index, "veth-1", &(struct kern_rate){ .rate = 125000 }, 1400, &err));
	expect_rate(" rate 1Mbit ");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link");
	TCase *tests = tcase_create("links");

	lab_require_root();
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_test(tests, a_veth_has_all_of_its_settings_from_the_first);
	tcase_add_test(tests, a_name_that_is_taken_exists);
	tcase_add_test(tests, a_name_that_is_too_long_is_refused_before_it_is_cut);
	tcase_add_test(tests, a_link_that_comes_up_keeps_its_other_flags);
	tcase_add_test(tests, a_link_of_sandboxes_forwards_and_has_no_redirects);
	tcase_add_test(tests, mac_mtu_and_alias_are_set_alone);
	tcase_add_test(tests, a_link_of_another_namespace_is_deleted_by_its_number);
	tcase_add_test(tests, large_rates_are_exact);
	tcase_add_test(tests, a_guard_is_a_limit_of_length_alone);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
