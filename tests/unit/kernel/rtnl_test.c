/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors reach the caller as the kernel made them, and a request that failed leaves nothing behind for the next. */
#include "kernel/rtnl.h"

#include "base/err.h"
#include "kernel/link.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More than one packet of the kernel's. */
enum { ADDRESSES = 3000 };

static struct lab lab;
static struct kern_rtnl rtnl;
static struct err err;

static void open_lab(void)
{
	lab = lab_open();
	ck_assert_int_eq(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err), 0);
}

static void close_lab(void)
{
	kern_rtnl_close(&rtnl);
	config_free(lab.config);
}

struct seen {
	unsigned count;
	bool meddle; /* changes an address in the midst */
	bool refuse; /* calls each message malformed */
};

static int take(const struct nlmsghdr *header, void *context)
{
	struct seen *seen = context;

	(void)header;
	if (seen->meddle)
		lab_run("ip addr add 10.99.0.1/32 dev lo");
	seen->meddle = false;
	seen->count++;
	return seen->refuse ? -1 : 0;
}

/* Of the link INDEX; 0: of all. */
static int dump(uint32_t index, struct seen *seen)
{
	const struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_index = index };
	struct nl_msg *message = kern_rtnl_message(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body));

	return kern_rtnl_ask(&rtnl, message, take, seen, &err, "addresses");
}

static void add_addresses(void)
{
	lab_run("for i in $(seq 12); do for j in $(seq 250); do echo addr add 10.9.$i.$j/32 dev lo; done; done | ip "
		"-batch -");
}

START_TEST(an_interrupted_dump_says_so_and_can_be_taken_again)
{
	struct seen seen = { .meddle = true };

	add_addresses();
	ck_assert_int_lt(dump(0, &seen), 0);
	ck_assert_int_eq(err.code, EINTR);
	seen.count = 0;
	ck_assert_msg(dump(0, &seen) == 0, "%s", err.text);
	ck_assert_uint_ge(seen.count, ADDRESSES);
}
END_TEST

START_TEST(a_dump_that_fails_has_the_code_of_its_end)
{
	struct seen seen = { 0 };

	ck_assert_int_lt(dump(4711, &seen), 0);
	ck_assert_int_eq(err.code, ENODEV);
	ck_assert_msg(dump(0, &seen) == 0, "%s", err.text);
}
END_TEST

START_TEST(a_malformed_message_fails_the_request)
{
	struct seen seen = { .refuse = true };

	add_addresses();
	ck_assert_int_lt(dump(0, &seen), 0);
	ck_assert_int_eq(err.code, EBADMSG);
	/* The kernel begins no other dump on a socket before the first one was read to its end. */
	seen = (struct seen){ 0 };
	ck_assert_msg(dump(0, &seen) == 0, "%s", err.text);
	ck_assert_uint_ge(seen.count, ADDRESSES);
}
END_TEST

/* A request that the kernel refuses: a route by a gateway that no link leads to. */
static int ask_for_the_impossible(void)
{
	const struct rtmsg body = { .rtm_family = AF_INET,
				    .rtm_dst_len = 32,
				    .rtm_table = RT_TABLE_MAIN,
				    .rtm_protocol = RTPROT_STATIC,
				    .rtm_type = RTN_UNICAST };
	struct nl_msg *message = kern_rtnl_message(RTM_NEWROUTE, NLM_F_CREATE, &body, sizeof(body));

	message = kern_rtnl_put_u32(message, RTA_DST, htonl(0x0a090909));
	message = kern_rtnl_put_u32(message, RTA_GATEWAY, htonl(0xc0000201));
	return kern_rtnl_send(&rtnl, message, &err, "route");
}

START_TEST(an_error_has_the_kernels_code_and_text)
{
	ck_assert_int_lt(ask_for_the_impossible(), 0);
	ck_assert_int_eq(err.code, ENETUNREACH);
	ck_assert_str_eq(err.text, "route: Nexthop has invalid gateway: Network is unreachable");
}
END_TEST

START_TEST(want_of_memory_for_a_message_is_the_requests_error)
{
	struct nl_msg *message = kern_rtnl_put_string(kern_rtnl_put_u32(NULL, IFLA_MTU, 1), IFLA_IFNAME, "a");

	ck_assert_ptr_null(message);
	ck_assert_int_lt(kern_rtnl_send(&rtnl, message, &err, "link %s", "a"), 0);
	ck_assert_int_eq(err.code, ENOMEM);
	ck_assert_str_eq(err.text, "link a: Cannot allocate memory");
	ck_assert_int_lt(kern_rtnl_ask(&rtnl, NULL, take, NULL, &err, "link"), 0);
	ck_assert_int_eq(err.code, ENOMEM);
}
END_TEST

START_TEST(an_attribute_that_has_no_room_is_want_of_memory)
{
	static char large[1 << 16];
	const struct ifinfomsg body = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_GETLINK, 0, &body, sizeof(body));

	ck_assert_ptr_nonnull(message);
	ck_assert_ptr_null(kern_rtnl_put(message, IFLA_IFALIAS, large, 60000));
}
END_TEST

/* The kernel answers the next request as if nothing had been. */
static void expect_answers(void)
{
	struct kern_link link;

	ck_assert_msg(kern_link_get(&rtnl, KERN_LINK_HERE, "lo", &link, &err) == 0, "%s", err.text);
	ck_assert_str_eq(link.name, "lo");
	ck_assert_int_lt(kern_link_get(&rtnl, KERN_LINK_HERE, "none", &link, &err), 0);
	ck_assert_int_eq(err.code, ENODEV);
}

START_TEST(a_request_that_cannot_be_sent_is_no_verdict_on_the_next)
{
	int least = 1;
	struct nl_msg *message = nlmsg_alloc_size(1 << 16);

	ck_assert_ptr_nonnull(nlmsg_put(message, 0, 0, RTM_GETLINK, 60000, 0));
	ck_assert_int_eq(setsockopt(rtnl.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
	ck_assert_int_lt(kern_rtnl_send(&rtnl, message, &err, "large"), 0);
	ck_assert_int_eq(err.code, EMSGSIZE);
	expect_answers();
}
END_TEST

START_TEST(an_answer_that_was_lost_is_no_verdict_on_the_next)
{
	int least = 1, enough = 1 << 17, group = RTNLGRP_IPV4_IFADDR;
	char packet[256];
	struct seen seen = { 0 };

	ck_assert_int_eq(setsockopt(rtnl.fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	ck_assert_int_eq(setsockopt(rtnl.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
	add_addresses();
	ck_assert_int_lt(dump(0, &seen), 0);
	ck_assert_int_eq(err.code, ENOBUFS);
	ck_assert_int_eq(setsockopt(rtnl.fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)), 0);
	ck_assert_int_eq(setsockopt(rtnl.fd, SOL_SOCKET, SO_RCVBUF, &enough, sizeof(enough)), 0);
	/* The kernel adds nothing to a queue that ran over until it was read empty. */
	while (recv(rtnl.fd, packet, sizeof(packet), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
	expect_answers();
	seen.count = 0;
	ck_assert_msg(dump(0, &seen) == 0, "%s", err.text);
	ck_assert_uint_ge(seen.count, ADDRESSES);
}
END_TEST

START_TEST(a_closed_socket_is_closed_once)
{
	ck_assert(kern_rtnl_is_open(&rtnl));
	kern_rtnl_close(&rtnl);
	ck_assert(!kern_rtnl_is_open(&rtnl));
	kern_rtnl_close(&rtnl);
}
END_TEST

/* A full socket drops the object, its acknowledgement or both, and tells so once. No request waits for ever, or succeeds without its answer. */
START_TEST(no_answer_is_waited_for_that_was_lost)
{
	int smallest = 1;
	unsigned lost = 0;

	for (int i = 0; i < 50; i++) {
		struct kern_link info = { 0 };

		/* The socket may be a new one by now. */
		ck_assert_int_eq(setsockopt(rtnl.fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), 0);
		if (kern_link_get(&rtnl, KERN_LINK_HERE, "lo", &info, &err) == 0)
			ck_assert_str_eq(info.name, "lo");
		else
			lost++;
		ck_assert_int_ne(err.code, ENODEV);
	}
	ck_assert_uint_gt(lost, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rtnl");
	TCase *tests = tcase_create("requests");

	lab_require_root();
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_test(tests, an_interrupted_dump_says_so_and_can_be_taken_again);
	tcase_add_test(tests, a_dump_that_fails_has_the_code_of_its_end);
	tcase_add_test(tests, a_malformed_message_fails_the_request);
	tcase_add_test(tests, an_error_has_the_kernels_code_and_text);
	tcase_add_test(tests, want_of_memory_for_a_message_is_the_requests_error);
	tcase_add_test(tests, an_attribute_that_has_no_room_is_want_of_memory);
	tcase_add_test(tests, a_request_that_cannot_be_sent_is_no_verdict_on_the_next);
	tcase_add_test(tests, an_answer_that_was_lost_is_no_verdict_on_the_next);
	tcase_add_test(tests, no_answer_is_waited_for_that_was_lost);
	tcase_add_test(tests, a_closed_socket_is_closed_once);
	suite_add_tcase(suite, tests);

	return run_suite(suite);
}
