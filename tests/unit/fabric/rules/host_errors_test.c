/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's table: ICMP errors that come out of sandboxes, true and forged, and packets that belong to no flow. */
#include "unit/fabric/rules/nft_host_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	UNREACHABLE = 3, /* ICMP types */
	REDIRECT = 5,
	TOO_OLD = 11,
	PORT_UNREACHABLE = 3, /* codes of UNREACHABLE */
	TOO_BIG = 4,
	LOW_MTU = 600,
};

/* An error about QUOTED, to whom it came from. */
static struct packet error_from(uint32_t source, const struct packet *quoted, uint8_t type, uint8_t code)
{
	return (struct packet){ .proto = IPPROTO_ICMP,
				.source = source,
				.destination = quoted->source,
				.icmp = { type, code },
				.quoted = quoted,
				.mtu = LOW_MTU };
}

static int connected(int kind, uint32_t ip, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	int fd = socket(AF_INET, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	return fd;
}

/* A datagram of the host's own, as LINK gets it. *FD: its socket. */
static struct packet sent_by_host(uint32_t ip, int link, int *fd)
{
	struct packet got = { 0 };

	*fd = connected(SOCK_DGRAM, ip, 9);
	ck_assert_int_eq(send(*fd, "x", 1, 0), 1);
	ck_assert(lab_receives(link, &got));
	return got;
}

static int socket_error(int fd)
{
	int error = -1;
	socklen_t size = sizeof(error);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	return error;
}

static bool host_believes_mtu(uint32_t ip)
{
	char command[64];

	snprintf(command, sizeof(command), "ip route get %u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
		 ip & 255);
	char *route = lab_output(command);
	bool low = strstr(route, "mtu 600") != NULL;
	free(route);
	return low;
}

/* ---- To the host ---- */

START_TEST(a_sandbox_ends_no_flow_of_the_host_with_others)
{
	static const uint8_t errors[][2] = { { UNREACHABLE, PORT_UNREACHABLE }, { UNREACHABLE, TOO_BIG } };
	static const uint32_t sources[] = { IP(10, 11, 0, 1), IP(10, 12, 0, 3) };
	int fds[2];
	const struct packet flows[] = { sent_by_host(ELSEWHERE, uplink, &fds[0]),
					sent_by_host(second_ip, second, &fds[1]) };

	for (size_t flow = 0; flow < 2; flow++) {
		for (size_t i = 0; i < 4; i++) {
			struct packet forged =
			    error_from(sources[i / 2], &flows[flow], errors[i % 2][0], errors[i % 2][1]);
			is_dropped(first, forged);
			ck_assert_int_eq(socket_error(fds[flow]), 0);
			ck_assert(!host_believes_mtu(flows[flow].destination));
		}
		close(fds[flow]);
	}
	ck_assert_uint_eq(lab_counter("inet", "drop_error"), 8);
}
END_TEST

START_TEST(a_sandbox_refuses_what_the_host_sends_it)
{
	const struct fabric_nat nat[] = { { addr_from_ipv4(UPLINK_IP, 9), PROTO_UDP, 7 } };
	int fd;
	struct packet sent = sent_by_host(first_ip, first, &fd);
	struct packet refusal = error_from(first_ip, &sent, UNREACHABLE, PORT_UNREACHABLE);

	lab_sends(first, &refusal);
	ck_assert_int_eq(socket_error(fd), ECONNREFUSED);
	close(fd);

	/* The namespace itself answers, as a router, from its own address. */
	sent = sent_by_host(first_ip, first, &fd);
	refusal = error_from(IP(10, 12, 0, 3), &sent, UNREACHABLE, PORT_UNREACHABLE);
	lab_sends(first, &refusal);
	ck_assert_int_eq(socket_error(fd), ECONNREFUSED);
	close(fd);

	sent = sent_by_host(first_ip, first, &fd);
	refusal = error_from(first_ip, &sent, UNREACHABLE, TOO_BIG);
	lab_sends(first, &refusal);
	ck_assert(host_believes_mtu(first_ip));
	close(fd);

	/* A published port's flow is translated. */
	OK(rules_host_publish(&lab.config->layout, 2, nat, 1, &err));
	sent = sent_by_host(UPLINK_IP, second, &fd);
	ck_assert_uint_eq(sent.destination, second_ip);
	refusal = error_from(second_ip, &sent, UNREACHABLE, PORT_UNREACHABLE);
	lab_sends(second, &refusal);
	ck_assert_int_eq(socket_error(fd), ECONNREFUSED);
	close(fd);
	ck_assert_uint_eq(lab_counter("inet", "drop_error"), 0);

	/* The MTU of the path to the host's own address is not the sandbox's to lower. */
	sent = sent_by_host(UPLINK_IP, second, &fd);
	refusal = error_from(second_ip, &sent, UNREACHABLE, TOO_BIG);
	lab_sends(second, &refusal);
	ck_assert(!host_believes_mtu(UPLINK_IP));
	ck_assert_int_eq(socket_error(fd), 0);
	close(fd);
	ck_assert_uint_eq(lab_counter("inet", "drop_error"), 1);
}
END_TEST

START_TEST(a_sandbox_redirects_nothing)
{
	int fd;

	lab_run("sysctl -qw net.ipv4.conf.all.accept_redirects=1 net.ipv4.conf.veth-1.accept_redirects=1");
	struct packet sent = sent_by_host(first_ip, first, &fd);
	struct packet redirect = error_from(IP(10, 12, 0, 3), &sent, REDIRECT, 1);
	is_dropped(first, redirect);
	close(fd);
	ck_assert_uint_eq(lab_counter("inet", "drop_error"), 1);
}
END_TEST

/* ---- Beyond the host ---- */

START_TEST(a_sandbox_ends_no_forwarded_flow_of_others)
{
	struct cidr4 allow = { IP(1, 0, 0, 0), 24 };
	const struct fabric_nat nat[] = { { addr_from_ipv4(UPLINK_IP, 30053), PROTO_UDP, 53 } };

	lab.config->ingress.allow = (struct cidr4_list){ .items = &allow, .count = 1 };
	OK(rules_host_apply(lab.config, &err));
	OK(rules_host_publish(&lab.config->layout, 2, nat, 1, &err));
	/* What comes in to the second sandbox, to its address and to a published port, and the answer to its own flow. */
	struct packet in = passes(uplink, second, make(IPPROTO_UDP, CLIENT, second_ip, 7));
	struct packet published = passes(uplink, second, make(IPPROTO_UDP, CLIENT, UPLINK_IP, 30053));
	struct packet out = passes(second, uplink, make(IPPROTO_UDP, second_ip, ELSEWHERE, 9));
	struct packet answer = passes(uplink, second, reply_to(&out, 0));
	const struct packet *quoted[] = { &in, &published, &answer };

	for (size_t i = 0; i < 3; i++) {
		struct packet own = error_from(second_ip, quoted[i], UNREACHABLE, TOO_BIG);
		is_dropped(first, error_from(first_ip, quoted[i], UNREACHABLE, TOO_BIG));
		is_dropped(first, error_from(IP(10, 12, 0, 3), quoted[i], TOO_OLD, 0));
		struct packet got = passes(second, uplink, own);
		ck_assert_uint_eq(got.destination, quoted[i]->source);
		ck_assert_mem_eq(got.icmp, "\3\4", 2);
		/* As from the address that the other side knows. */
		ck_assert_uint_eq(got.source, i ? UPLINK_IP : second_ip);
	}
	ck_assert_uint_eq(lab_counter("inet", "drop_error"), 6);
}
END_TEST

START_TEST(errors_from_elsewhere_reach_the_sandbox_that_they_concern)
{
	struct packet out = passes(first, uplink, make(IPPROTO_UDP, first_ip, ELSEWHERE, 9));
	struct packet error = error_from(CLIENT, &out, UNREACHABLE, TOO_BIG);
	struct packet got = passes(uplink, first, error);

	ck_assert_uint_eq(got.source, CLIENT);
	ck_assert_uint_eq(got.destination, first_ip);
}
END_TEST

START_TEST(what_belongs_to_no_flow_does_not_leave)
{
	/* A flow of the host or of another sandbox as the far side knows it, whose error would leave untranslated. */
	struct packet theirs = make(IPPROTO_UDP, ELSEWHERE, UPLINK_IP, 30000);
	struct packet reset = syn(first_ip, ELSEWHERE, 443);

	is_dropped(first, error_from(first_ip, &theirs, UNREACHABLE, TOO_BIG));
	reset.tcp_flags = TH_RST;
	is_dropped(first, reset);
	ck_assert_uint_eq(lab_counter("inet", "drop_forward"), 2);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("nft_host_errors");
	TCase *errors = tcase_create("errors");

	tcase_add_checked_fixture(errors, setup_with_table, NULL);
	tcase_set_timeout(errors, 120);
	tcase_add_test(errors, a_sandbox_ends_no_flow_of_the_host_with_others);
	tcase_add_test(errors, a_sandbox_refuses_what_the_host_sends_it);
	tcase_add_test(errors, a_sandbox_redirects_nothing);
	tcase_add_test(errors, a_sandbox_ends_no_forwarded_flow_of_others);
	tcase_add_test(errors, errors_from_elsewhere_reach_the_sandbox_that_they_concern);
	tcase_add_test(errors, what_belongs_to_no_flow_does_not_leave);
	suite_add_tcase(suite, errors);

	return run_suite(suite);
}
