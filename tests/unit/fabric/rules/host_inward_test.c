/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's table: the packets it lets into sandboxes, published ports, and the flows forgotten with a sandbox. */
#include "unit/fabric/rules/nft_host_lab.h"
#include "unit/run_suite.h"

#include "fabric/slot/flows.h"
#include "kernel/conntrack.h"
#include "kernel/rtnl.h"
#include "nft/batch.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Towards sandboxes ---- */

static int connect_to(uint32_t ip, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

/* Waits for the attempt to connect to end. Returns its error. */
static int connect_error(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int error = -1;
	socklen_t size = sizeof(error);

	ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	close(fd);
	return error;
}

static void must_connect(int fd, int link, struct packet answer)
{
	struct packet last;

	lab_sends(link, &answer);
	do /* a SYN without an answer for a second is sent again */
		ck_assert(lab_receives(link, &last));
	while (last.tcp_flags == TH_SYN);
	ck_assert_uint_eq(last.tcp_flags, TH_ACK);
	ck_assert_int_eq(connect_error(fd), 0);
}

START_TEST(the_host_itself_reaches_its_sandboxes)
{
	int fd = connect_to(first_ip, 8080);
	struct packet got;

	ck_assert(lab_receives(first, &got));
	ck_assert_uint_eq(got.source, veth_ip);
	must_connect(fd, first, reply_to(&got, TH_SYN | TH_ACK));
}
END_TEST

START_TEST(strangers_do_not_unless_they_are_listed)
{
	struct cidr4 allow = { IP(1, 0, 0, 0), 24 };

	is_dropped(uplink, syn(CLIENT, first_ip, 8080));
	ck_assert_uint_eq(lab_counter("inet", "denied_ingress"), 1);
	lab.config->ingress.allow = (struct cidr4_list){ .items = &allow, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	struct packet in = passes(uplink, first, syn(CLIENT, first_ip, 8081));
	ck_assert_uint_eq(in.source, CLIENT);
	struct packet out = passes(first, uplink, reply_to(&in, TH_SYN | TH_ACK));
	ck_assert_uint_eq(out.source, first_ip);
	is_dropped(uplink, syn(ELSEWHERE, first_ip, 8080));
}
END_TEST

/* ---- Users of the host ---- */

/* A UDP socket of user UID with group GID, connected to IP. */
static int socket_of(uid_t uid, gid_t gid, uint32_t ip)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(ip) };

	ck_assert_int_eq(setegid(gid), 0);
	ck_assert_int_eq(seteuid(uid), 0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(setegid(0), 0);
	return fd;
}

static bool may_send(int fd, int link)
{
	struct packet got;

	if (send(fd, "x", 1, 0) == 1)
		return lab_receives(link, &got);
	nothing_anywhere();
	return false;
}

static bool user_reaches_first(uid_t uid, gid_t gid)
{
	int fd = socket_of(uid, gid, first_ip);
	bool reaches = may_send(fd, first);

	close(fd);
	return reaches;
}

static void only_for(struct config_users *ids, size_t count)
{
	/* What was written is of no concern here, only that there is something. */
	lab.config->ingress.local_users = (struct config_users_list){ .items = ids, .count = 1 };
	lab.config->ingress.local_ids = (struct config_users_list){ .items = ids, .count = count };
	OK(rules_host_apply(lab.config, &err));
	ck_assert(is_intact());
}

START_TEST(every_user_of_the_host_reaches_them_unless_some_are_named)
{
	struct config_users ids[] = { { .first = 33, .last = 33 },
				      { .first = 1000, .last = 1999 },
				      { .group = true, .first = 5, .last = 7 } };

	ck_assert(user_reaches_first(4000, 4000));
	only_for(ids, 3);
	ck_assert(user_reaches_first(33, 33));
	ck_assert(user_reaches_first(1000, 1) && user_reaches_first(1999, 1));
	ck_assert(user_reaches_first(4000, 5) && user_reaches_first(4000, 7));
	ck_assert(user_reaches_first(0, 0));
	ck_assert(!user_reaches_first(32, 33) && !user_reaches_first(34, 33));
	ck_assert(!user_reaches_first(999, 1000) && !user_reaches_first(2000, 1000));
	ck_assert(!user_reaches_first(4000, 4) && !user_reaches_first(4000, 8));
	ck_assert_uint_eq(lab_counter("inet", "denied_local"), 6);
	only_for(ids, 0);
	ck_assert(user_reaches_first(0, 0) && !user_reaches_first(33, 33));
	free(lab_round_trip());
	ck_assert(is_intact());
}
END_TEST

START_TEST(a_user_who_may_not_is_refused_at_once)
{
	struct config_users ids = { .first = 33, .last = 33 };

	only_for(&ids, 1);
	ck_assert_int_eq(seteuid(4000), 0);
	int fd = connect_to(first_ip, 8080);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(connect_error(fd), ECONNREFUSED);
	nothing_anywhere();
}
END_TEST

START_TEST(a_flow_ends_for_a_user_who_may_no_longer)
{
	struct config_users ids = { .first = 33, .last = 33 };
	int stays = socket_of(33, 33, first_ip), ends = socket_of(4000, 33, first_ip);

	ck_assert(may_send(stays, first) && may_send(ends, first));
	only_for(&ids, 1);
	ck_assert(may_send(stays, first) && !may_send(ends, first));
	close(stays);
	close(ends);
}
END_TEST

START_TEST(users_who_may_not_still_reach_published_ports_and_the_world)
{
	const struct fabric_nat nat = { addr_from_ipv4(UPLINK_IP, 9), PROTO_UDP, 7 };
	struct config_users ids = { .first = 33, .last = 33 };

	OK(rules_host_publish(&lab.config->layout, 2, &nat, 1, &err));
	only_for(&ids, 1);
	int published = socket_of(4000, 1, UPLINK_IP), world = socket_of(4000, 1, ELSEWHERE);
	ck_assert(may_send(published, second) && may_send(world, uplink));
	close(published);
	close(world);
	/* And what comes from elsewhere, or from a sandbox, is no matter of users. */
	passes(first, uplink, syn(first_ip, ELSEWHERE, 443));
}
END_TEST

START_TEST(published_ports_lead_to_their_sandbox)
{
	const struct fabric_nat nat[] = { { addr_from_ipv4(UPLINK_IP, 30888), PROTO_TCP, 8080 },
					  { addr_from_ipv4(0, 30053), PROTO_UDP, 53 } };

	OK(rules_host_publish(&lab.config->layout, 2, nat, 2, &err));
	struct packet in = passes(uplink, second, syn(CLIENT, UPLINK_IP, 30888));
	ck_assert_uint_eq(in.destination, second_ip);
	ck_assert_uint_eq(in.destination_port, 8080);
	struct packet out = passes(second, uplink, reply_to(&in, TH_SYN | TH_ACK));
	ck_assert_uint_eq(out.source, UPLINK_IP);
	ck_assert_uint_eq(out.source_port, 30888);
	in = passes(uplink, second, make(IPPROTO_UDP, CLIENT, UPLINK_IP, 30053));
	ck_assert_uint_eq(in.destination_port, 53);
	/* Neither the other protocol, nor a way between sandboxes. */
	struct packet refused = passes(uplink, uplink, syn(CLIENT, UPLINK_IP, 30053));
	ck_assert_uint_eq(refused.tcp_flags & TH_RST, TH_RST);
	is_denied(syn(first_ip, UPLINK_IP, 30888));
}
END_TEST

START_TEST(published_ports_lead_there_from_the_host_itself)
{
	const struct fabric_nat nat[] = { { addr_from_ipv4(0, 30888), PROTO_TCP, 8080 } };
	struct packet got;

	OK(rules_host_publish(&lab.config->layout, 1, nat, 1, &err));
	/* From loopback no answer could come back, so it is refused, not lost. */
	ck_assert_int_eq(connect_error(connect_to(IP(127, 0, 0, 1), 30888)), ECONNREFUSED);
	nothing_anywhere();
	int fd = connect_to(UPLINK_IP, 30888);
	ck_assert(lab_receives(first, &got));
	ck_assert_uint_eq(got.destination, first_ip);
	ck_assert_uint_eq(got.destination_port, 8080);
	must_connect(fd, first, reply_to(&got, TH_SYN | TH_ACK));
}
END_TEST

START_TEST(publishing_changes_one_slot_and_no_other)
{
	const struct fabric_nat one[] = { { addr_from_ipv4(UPLINK_IP, 1001), PROTO_TCP, 1 },
					  { addr_from_ipv4(UPLINK_IP, 1002), PROTO_TCP, 2 } };
	const struct fabric_nat two[] = { { addr_from_ipv4(UPLINK_IP, 2001), PROTO_TCP, 1 } };
	const struct fabric_nat moved[] = { { addr_from_ipv4(UPLINK_IP, 1002), PROTO_TCP, 3 },
					    { addr_from_ipv4(0, 1003), PROTO_UDP, 4 } };

	OK(rules_host_publish(&lab.config->layout, 1, one, 2, &err));
	OK(rules_host_publish(&lab.config->layout, 2, two, 1, &err));
	OK(rules_host_publish(&lab.config->layout, 1, moved, 2, &err));
	char *map = lab_output("nft list map inet weft published");
	ck_assert_ptr_null(strstr(map, "1001"));
	ck_assert_ptr_nonnull(strstr(map, "1.0.0.2 . tcp . 1002 : 10.11.0.1 . 3"));
	ck_assert_ptr_nonnull(strstr(map, "1.0.0.2 . tcp . 2001 : 10.11.0.2 . 1"));
	free(map);
	OK(rules_host_publish(&lab.config->layout, 1, NULL, 0, &err));
	map = lab_output("nft list table inet weft");
	ck_assert_ptr_null(strstr(map, "10.11.0.1 ."));
	ck_assert_ptr_nonnull(strstr(map, "10.11.0.2 . 1"));
	free(map);
}
END_TEST

START_TEST(a_port_of_another_slot_is_refused_and_nothing_changes)
{
	const struct fabric_nat one[] = { { addr_from_ipv4(UPLINK_IP, 1001), PROTO_TCP, 1 } };
	const struct fabric_nat two[] = { { addr_from_ipv4(UPLINK_IP, 1000), PROTO_TCP, 1 },
					  { addr_from_ipv4(UPLINK_IP, 1001), PROTO_TCP, 1 } };

	OK(rules_host_publish(&lab.config->layout, 1, one, 1, &err));
	ck_assert_int_eq(rules_host_publish(&lab.config->layout, 2, two, 2, &err), -1);
	ck_assert_int_eq(err.code, EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "new elements of set published"));
	char *map = lab_output("nft list map inet weft published");
	ck_assert_ptr_null(strstr(map, "1000"));
	free(map);
}
END_TEST

START_TEST(loopback_is_not_published_by_nat)
{
	const struct fabric_nat nat = { addr_from_ipv4(IP(127, 0, 0, 1), 1001), PROTO_TCP, 1 };

	ck_assert_int_eq(rules_host_publish(&lab.config->layout, 1, &nat, 1, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "127.0.0.1:1001"));
}
END_TEST

/* ---- Conntrack ---- */

static int flush_one_by_one(uint32_t host_ip, struct err *error)
{
	struct kern_rtnl netfilter;
	int status = kern_rtnl_open(&netfilter, -1, NETLINK_NETFILTER, error);

	if (status == 0)
		status = kern_conntrack_flush_one_by_one(&netfilter, host_ip, error);
	kern_rtnl_close(&netfilter);
	return status;
}

/* By the kernel's own search, or the way for an older kernel. */
static void forget_flows_with(int (*flush)(uint32_t, struct err *))
{
	const struct fabric_nat nat = { addr_from_ipv4(UPLINK_IP, 30888), PROTO_TCP, 8080 };
	unsigned tracked;
	struct packet got;

	OK(rules_host_publish(&lab.config->layout, 1, &nat, 1, &err));
	passes(first, uplink, make(IPPROTO_UDP, first_ip, ELSEWHERE, 53));
	passes(uplink, first, syn(CLIENT, UPLINK_IP, 30888));
	int fd = connect_to(first_ip, 80);
	ck_assert(lab_receives(first, &got));
	close(fd); /* or it would ask again in a second, as a new flow */
	passes(second, uplink, make(IPPROTO_UDP, second_ip, ELSEWHERE, 53));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 4);
	OK(flush(first_ip, &err));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 1);
	OK(flush(second_ip, &err));
	OK(kern_conntrack_count(-1, &tracked, &err));
	ck_assert_uint_eq(tracked, 0);
}

static unsigned tracked(void)
{
	unsigned count;

	OK(kern_conntrack_count(-1, &count, &err));
	return count;
}

START_TEST(flows_begun_without_the_table_are_forgotten_and_no_others)
{
	const struct fabric_nat nat = { addr_from_ipv4(UPLINK_IP, 30888), PROTO_UDP, 8080 };
	const struct packet outwards = make(IPPROTO_UDP, first_ip, ELSEWHERE, 53);
	const struct packet inwards = make(IPPROTO_UDP, CLIENT, UPLINK_IP, 30888);
	const struct packet elsewhere = make(IPPROTO_UDP, CLIENT, UPLINK_IP, 30889);

	lab_run("nft delete table inet weft");
	lab_run("nft add table ip other");
	lab_run("nft add chain ip other from '{ type nat hook prerouting priority -100; }'");
	lab_run("nft add rule ip other from ct state new accept");
	lab_run("nft add chain ip other to '{ type nat hook postrouting priority 100; }'");
	lab_sends(first, &outwards);
	lab_sends(uplink, &inwards);
	lab_sends(uplink, &elsewhere);
	for (unsigned i = 0; i < LAB_TIMEOUT_MS && tracked() < 3; i++)
		usleep(1000);
	ck_assert_uint_eq(tracked(), 3);
	OK(rules_host_apply(lab.config, &err));
	OK(rules_host_publish(&lab.config->layout, 1, &nat, 1, &err));
	passes(second, uplink, make(IPPROTO_UDP, second_ip, ELSEWHERE, 53));
	ck_assert_uint_eq(tracked(), 4);
	OK(slot_flows_renew_outside(lab.config, &err));
	ck_assert_uint_eq(tracked(), 3);
	OK(slot_flows_renew_published(&nat, 1, &err));
	ck_assert_uint_eq(tracked(), 2);
	passes(uplink, first, inwards);
	ck_assert_uint_eq(tracked(), 3);
	OK(slot_flows_renew_published(&nat, 1, &err));
	OK(slot_flows_renew_outside(lab.config, &err));
	ck_assert_uint_eq(tracked(), 3);
}
END_TEST

START_TEST(only_the_flows_of_one_sandbox_are_forgotten)
{
	forget_flows_with(kern_conntrack_flush_host);
}
END_TEST

START_TEST(so_they_are_where_the_kernel_cannot_search_for_them)
{
	forget_flows_with(flush_one_by_one);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_host_inward");
	TCase *packets = tcase_create("packets");

	tcase_add_checked_fixture(packets, setup_with_table, NULL);
	tcase_set_timeout(packets, 120);
	tcase_add_test(packets, the_host_itself_reaches_its_sandboxes);
	tcase_add_test(packets, strangers_do_not_unless_they_are_listed);
	tcase_add_test(packets, every_user_of_the_host_reaches_them_unless_some_are_named);
	tcase_add_test(packets, a_user_who_may_not_is_refused_at_once);
	tcase_add_test(packets, a_flow_ends_for_a_user_who_may_no_longer);
	tcase_add_test(packets, users_who_may_not_still_reach_published_ports_and_the_world);
	tcase_add_test(packets, published_ports_lead_to_their_sandbox);
	tcase_add_test(packets, published_ports_lead_there_from_the_host_itself);
	tcase_add_test(packets, publishing_changes_one_slot_and_no_other);
	tcase_add_test(packets, a_port_of_another_slot_is_refused_and_nothing_changes);
	tcase_add_test(packets, loopback_is_not_published_by_nat);
	tcase_add_test(packets, flows_begun_without_the_table_are_forgotten_and_no_others);
	tcase_add_test(packets, only_the_flows_of_one_sandbox_are_forgotten);
	tcase_add_test(packets, so_they_are_where_the_kernel_cannot_search_for_them);
	suite_add_tcase(suite, packets);
	return run_suite(suite);
}
