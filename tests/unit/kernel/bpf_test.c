/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that have an entry are led to the guest, and cannot tell; all others reach the forwarder. */
#include "kernel/bpf.h"

#include "base/netns.h"
#include "kernel/sock_list.h"
#include "unit/kernel/loopback_lab.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct loopback_lab lab;

static void open_lab(void)
{
	lab = loopback_lab_open();
	loopback_lab_start(&lab);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	loopback_lab_put(&lab, "[::1]:7000", PROTO_TCP);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_UDP);
	loopback_lab_put(&lab, "[::1]:7000", PROTO_UDP);
}

static void close_lab(void)
{
	loopback_lab_close(&lab);
}

static void take(const char *listen, enum proto proto, uint64_t wanted)
{
	struct addr addr = loopback_lab_addr(listen);
	uint64_t hits;

	ck_assert_msg(kern_loopback_take(lab.loopback, &addr, proto, &hits, &lab.err) == 0, "%s", lab.err.text);
	ck_assert_uint_eq(hits, wanted);
}

/* Connects FD, which is closed, to ADDR: who got it. */
static enum who who_gets(int fd, const struct addr *addr)
{
	ck_assert_msg(connect(fd, &addr->any, addr_length(addr)) == 0, "connect: %s", strerror(errno));
	enum who who = loopback_lab_accept(&lab, NULL);
	close(fd);
	return who;
}

static enum who who_gets_plain(const char *text)
{
	struct addr addr = loopback_lab_addr(text);

	return who_gets(loopback_lab_socket(&addr, SOCK_STREAM), &addr);
}

START_TEST(a_client_with_an_entry_reaches_the_guest)
{
	static const char *const places[] = { "127.0.0.1:7000", "[::1]:7000" };
	static const char *const selves[] = { "127.0.0.1", "[::1]" };
	struct addr addr = loopback_lab_addr(places[_i]);
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), guest = -1;
	char byte = 'x';

	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(loopback_lab_accept(&lab, &guest), GUEST);
	ck_assert_str_eq(loopback_lab_peer(fd), places[_i]);
	ck_assert_str_eq(loopback_lab_self(fd), selves[_i]);
	ck_assert_int_eq(strncmp(loopback_lab_peer(guest), "10.12.0.2:", 10), 0);
	ck_assert_int_eq(send(fd, &byte, 1, 0), 1);
	ck_assert_int_eq(recv(guest, &byte, 1, 0), 1);
	ck_assert_int_eq(send(guest, &byte, 1, 0), 1);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
	close(fd);
	close(guest);
	take(places[_i], PROTO_TCP, 1);
}
END_TEST

START_TEST(a_mapped_address_is_that_of_ipv4)
{
	struct addr addr = loopback_lab_mapped("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM);

	take("[::1]:7000", PROTO_TCP, 0);
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(loopback_lab_accept(&lab, NULL), GUEST);
	ck_assert_str_eq(loopback_lab_peer(fd), "[::ffff:127.0.0.1]:7000");
	ck_assert_str_eq(loopback_lab_self(fd), "[::ffff:127.0.0.1]");
	close(fd);
	take("127.0.0.1:7000", PROTO_TCP, 1);
}
END_TEST

START_TEST(a_client_without_an_entry_reaches_the_forwarder)
{
	take("127.0.0.1:7000", PROTO_TCP, 0);
	ck_assert_int_eq(who_gets_plain("127.0.0.1:7000"), FORWARDER);
	ck_assert_int_eq(who_gets_plain("[::1]:7000"), GUEST);
	take("[::1]:7000", PROTO_TCP, 1);
	take("[::1]:7000", PROTO_TCP, 0);
	ck_assert_int_eq(who_gets_plain("[::1]:7000"), FORWARDER);
}
END_TEST

START_TEST(a_refusal_is_told_at_once)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM);

	close(lab.tcp[0]);
	lab.tcp[0] = -1;
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	/* The same socket, once nobody leads it any more. */
	take("127.0.0.1:7000", PROTO_TCP, 1);
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	ck_assert_int_eq(loopback_lab_accept(&lab, NULL), FORWARDER);
	close(fd);
}
END_TEST

START_TEST(a_socket_of_ipv6_alone_is_not_led)
{
	struct addr addr = loopback_lab_addr("[::1]:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), one = 1;

	ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
	ck_assert_int_eq(who_gets(fd, &addr), FORWARDER);
	take("[::1]:7000", PROTO_TCP, 0);
}
END_TEST

START_TEST(datagrams_of_ipv6_alone_are_not_led)
{
	struct addr addr = loopback_lab_addr("[::1]:7000");
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM), one = 1;

	ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
	ck_assert_msg(connect(fd, &addr.any, addr_length(&addr)) == 0, "%s", strerror(errno));
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	ck_assert_int_eq(loopback_lab_answer(&lab), FORWARDER);
	close(fd);
}
END_TEST

START_TEST(a_socket_bound_to_an_address_is_not_led)
{
	static const struct {
		const char *to;
		const char *bound; /* without a port */
		enum who who;
	} rows[] = {
		{ "127.0.0.1:7000", "127.0.0.1:1", FORWARDER },
		{ "127.0.0.1:7000", "127.0.0.7:1", FORWARDER },
		{ "[::1]:7000", "[::1]:1", FORWARDER },
		{ "127.0.0.1:7000", "0.0.0.0:1", GUEST },
		{ "[::1]:7000", "[::]:1", GUEST },
		{ "127.0.0.1:7000", "10.12.0.2:1", FORWARDER },
	};
	struct addr addr = loopback_lab_addr(rows[_i].to), bound = loopback_lab_addr(rows[_i].bound);
	int fd = loopback_lab_socket(&addr, SOCK_STREAM);

	addr_set_port(&bound, 0);
	ck_assert_int_eq(bind(fd, &bound.any, addr_length(&bound)), 0);
	ck_assert_int_eq(who_gets(fd, &addr), rows[_i].who);
}
END_TEST

START_TEST(a_socket_bound_to_a_link_or_marked_is_not_led)
{
	struct addr addr = loopback_lab_addr(_i & 1 ? "[::1]:7000" : "127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), mark = 7;

	if (_i < 2)
		ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
	else
		ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	ck_assert_int_eq(who_gets(fd, &addr), FORWARDER);
}
END_TEST

/* On the loopback link that is no hindrance. */
START_TEST(a_socket_that_stays_near_is_not_led)
{
	static const struct {
		int level, option, value;
		enum who who;
	} cases[] = {
		{ SOL_SOCKET, SO_DONTROUTE, 1, FORWARDER },
		{ IPPROTO_IP, IP_TTL, 1, FORWARDER },
		{ IPPROTO_IP, IP_TTL, 2, GUEST },
		{ SOL_SOCKET, SO_KEEPALIVE, 1, GUEST },
	};
	struct addr addr = loopback_lab_addr(_i % 2 ? "[::1]:7000" : "127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), value = cases[_i / 2].value;

	ck_assert_int_eq(setsockopt(fd, cases[_i / 2].level, cases[_i / 2].option, &value, sizeof(value)), 0);
	ck_assert_int_eq(who_gets(fd, &addr), cases[_i / 2].who);
}
END_TEST

START_TEST(a_part_of_mptcp_is_not_led)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	if (fd < 0)
		return; /* this kernel has none */
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	ck_assert_int_eq(loopback_lab_accept(&lab, NULL), FORWARDER);
	close(fd);
}
END_TEST

START_TEST(a_connect_that_does_not_wait_is_led)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM | SOCK_NONBLOCK);
	struct pollfd poll_it = { .fd = fd, .events = POLLOUT };

	ck_assert(connect(fd, &addr.any, addr_length(&addr)) == 0 || errno == EINPROGRESS);
	ck_assert_int_eq(poll(&poll_it, 1, LAB_TIMEOUT_MS), 1);
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	ck_assert_int_eq(loopback_lab_accept(&lab, NULL), GUEST);
	close(fd);
}
END_TEST

START_TEST(fast_open_is_led)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM), one = 1, guest = -1;
	char text[8] = "";

	if (_i == 0) {
		ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)), 0);
		ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
		ck_assert_int_eq(send(fd, "early", 5, 0), 5);
	} else {
		ck_assert_int_eq(sendto(fd, "early", 5, MSG_FASTOPEN, &addr.any, addr_length(&addr)), 5);
	}
	ck_assert_int_eq(loopback_lab_accept(&lab, &guest), GUEST);
	ck_assert_int_eq(recv(guest, text, 5, MSG_WAITALL), 5);
	ck_assert_str_eq(text, "early");
	close(fd);
	close(guest);
}
END_TEST

/* ---- Datagrams ---- */

static void receive_from(int fd, const char *wanted)
{
	struct addr from;
	socklen_t length = sizeof(from);
	char bytes[8], text[ADDR_TEXT_SIZE];

	ck_assert_msg(recvfrom(fd, bytes, sizeof(bytes), 0, &from.any, &length) == 4, "%s", strerror(errno));
	ck_assert_str_eq(addr_format(&from, text), wanted);
}

START_TEST(a_connected_client_of_datagrams_is_led)
{
	static const char *const places[] = { "127.0.0.1:7000", "[::1]:7000" };
	struct addr addr = loopback_lab_addr(places[_i]);
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM);

	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_str_eq(loopback_lab_peer(fd), places[_i]);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
		ck_assert_int_eq(loopback_lab_answer(&lab), GUEST);
		receive_from(fd, places[_i]);
	}
	close(fd);
	take(places[_i], PROTO_UDP, 1);
}
END_TEST

/* Where the guest would answer FD. */
static struct sockaddr_in lab_sender(int fd)
{
	struct addr own;
	socklen_t length = sizeof(own);

	ck_assert_int_eq(getsockname(fd, &own.any, &length), 0);
	return addr_from_ipv4(0x0a0c0002, addr_port(&own)).in;
}

static void ask(int fd, const struct addr *addr, enum who who, const char *from)
{
	ck_assert_msg(sendto(fd, "ping", 4, 0, &addr->any, addr_length(addr)) == 4, "%s", strerror(errno));
	ck_assert_int_eq(loopback_lab_answer(&lab), who);
	receive_from(fd, from);
}

START_TEST(a_client_of_datagrams_is_led_here_and_there)
{
	struct addr led = loopback_lab_addr("127.0.0.1:7000"), other = loopback_lab_addr("127.0.0.9:7009");
	int fd = loopback_lab_socket(&led, SOCK_DGRAM), forwarder = loopback_lab_socket(&other, SOCK_DGRAM);

	ck_assert_int_eq(bind(forwarder, &other.any, addr_length(&other)), 0);
	close(lab.udp[1]);
	lab.udp[1] = forwarder;
	for (int i = 0; i < 3; i++) {
		ask(fd, &led, GUEST, "127.0.0.1:7000");
		ask(fd, &other, FORWARDER, "127.0.0.9:7009");
	}
	close(fd);
	take("127.0.0.1:7000", PROTO_UDP, 1);
}
END_TEST

START_TEST(answers_of_two_guests_are_told_apart)
{
	const struct kern_loopback_entry entry = { .listen = loopback_lab_addr("127.0.0.2:7000"),
						   .proto = PROTO_UDP,
						   .host_ip = LAB_HOST_IP + 1,
						   .guest_port = LAB_GUEST_PORT };
	struct addr first = loopback_lab_addr("127.0.0.1:7000"), own = loopback_lab_addr("10.11.0.2:7001");
	int fd = loopback_lab_socket(&first, SOCK_DGRAM);
	int other = base_netns_socket(lab.guest_netns, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, &lab.err);

	ck_assert_int_eq(bind(other, &own.any, addr_length(&own)), 0);
	close(lab.udp[1]);
	lab.udp[1] = other;
	ck_assert_int_eq(kern_loopback_put(lab.loopback, &entry, &lab.err), 0);
	for (int i = 0; i < 3; i++) {
		ask(fd, &first, GUEST, "127.0.0.1:7000");
		ask(fd, &entry.listen, FORWARDER, "127.0.0.2:7000"); /* it stands in the forwarder's place */
	}
	take("127.0.0.1:7000", PROTO_UDP, 1);
	take("127.0.0.2:7000", PROTO_UDP, 1);
	/* What comes after the entry's end is still from whom it was asked. */
	ck_assert_int_eq(
	    sendto(lab.udp[0], "late", 4, 0, &(struct addr){ .in = lab_sender(fd) }.any, sizeof(struct sockaddr_in)),
	    4);
	receive_from(fd, "127.0.0.1:7000");
	close(fd);
}
END_TEST

START_TEST(datagrams_to_ipv6_without_connect_reach_the_forwarder)
{
	struct addr addr = loopback_lab_addr("[::1]:7000"), mapped = loopback_lab_mapped("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM);

	ask(fd, &addr, FORWARDER, "[::1]:7000");
	ask(fd, &mapped, GUEST, "[::ffff:127.0.0.1]:7000");
	ask(fd, &addr, FORWARDER, "[::1]:7000");
	close(fd);
}
END_TEST

START_TEST(a_socket_of_datagrams_goes_elsewhere_after_all)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM);

	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	ck_assert_int_eq(loopback_lab_answer(&lab), GUEST);
	receive_from(fd, "127.0.0.1:7000");
	take("127.0.0.1:7000", PROTO_UDP, 1);
	ck_assert_int_eq(connect(fd, &none, sizeof(none)), 0);
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_str_eq(loopback_lab_peer(fd), "127.0.0.1:7000");
	ck_assert_str_eq(loopback_lab_self(fd), "127.0.0.1");
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	ck_assert_int_eq(loopback_lab_answer(&lab), FORWARDER);
	receive_from(fd, "127.0.0.1:7000");
	close(fd);
}
END_TEST

START_TEST(bound_datagrams_reach_the_forwarder)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000"), bound = addr_from_ipv4(INADDR_LOOPBACK, 0);
	int fd = loopback_lab_socket(&addr, SOCK_DGRAM);

	ck_assert_int_eq(bind(fd, &bound.any, addr_length(&bound)), 0);
	ask(fd, &addr, FORWARDER, "127.0.0.1:7000");
	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), 0);
	ck_assert_int_eq(send(fd, "ping", 4, 0), 4);
	ck_assert_int_eq(loopback_lab_answer(&lab), FORWARDER);
	close(fd);
	take("127.0.0.1:7000", PROTO_UDP, 0);
}
END_TEST

/* ---- Who is concerned ---- */

START_TEST(clients_of_other_namespaces_are_left_alone)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = base_netns_socket(lab.guest_netns, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, &lab.err);

	ck_assert_int_eq(connect(fd, &addr.any, addr_length(&addr)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED); /* nobody listens there; the guest would have accepted */
	close(fd);
	take("127.0.0.1:7000", PROTO_TCP, 0);
}
END_TEST

START_TEST(clients_of_other_cgroups_are_left_alone)
{
	loopback_lab_move(lab.other_cgroup);
	ck_assert_int_eq(who_gets_plain("127.0.0.1:7000"), FORWARDER);
	loopback_lab_move(lab.cgroup);
	ck_assert_int_eq(who_gets_plain("127.0.0.1:7000"), GUEST);
}
END_TEST

START_TEST(nothing_counts_after_the_lease)
{
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, 1, &lab.err), 0);
	ck_assert_int_eq(who_gets_plain("127.0.0.1:7000"), FORWARDER);
	ck_assert_int_eq(who_gets_plain("[::1]:7000"), FORWARDER);
	ck_assert_int_eq(kern_loopback_renew(lab.loopback, UINT64_MAX, &lab.err), 0);
	ck_assert_int_eq(who_gets_plain("127.0.0.1:7000"), GUEST);
}
END_TEST

/* ---- Entries that come and go meanwhile ---- */

static struct kern_loopback_entry entry_of(const char *listen, uint32_t host_ip)
{
	return (struct kern_loopback_entry){ .listen = loopback_lab_addr(listen),
					     .proto = PROTO_UDP,
					     .host_ip = host_ip,
					     .guest_port = LAB_GUEST_PORT };
}

static atomic_bool enough;

/* The two are never there at once, so the kernel gives the room of one to the other. */
static void *change_entries(void *context)
{
	const struct kern_loopback_entry mine = entry_of("127.0.0.1:7000", LAB_HOST_IP),
					 others = entry_of("127.0.0.3:7000", LAB_HOST_IP + 1);
	struct err err;
	uint64_t hits;

	(void)context;
	while (!enough) {
		kern_loopback_take(lab.loopback, &mine.listen, PROTO_UDP, &hits, &err);
		kern_loopback_put(lab.loopback, &others, &err);
		kern_loopback_take(lab.loopback, &others.listen, PROTO_UDP, &hits, &err);
		kern_loopback_put(lab.loopback, &mine, &err);
	}
	return NULL;
}

static void count_led(void *context, const struct kern_sock *sock)
{
	(void)sock;
	++*(unsigned *)context;
}

static unsigned count_led_to(uint32_t host_ip)
{
	unsigned count = 0;

	ck_assert_int_eq(
	    kern_sock_list_to(
		&(struct kern_sock_filter){ .dest_ips = &host_ip, .dest_count = 1, .origins = -1, .proto = PROTO_UDP },
		count_led, &count, &lab.err),
	    0);
	return count;
}

START_TEST(nobody_is_led_by_an_entry_that_became_anothers)
{
	enum { CLIENTS = 100, ROUNDS = 300 };
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	pthread_t changer;
	unsigned led = 0;
	int fds[CLIENTS];

	ck_assert_int_eq(pthread_create(&changer, NULL, change_entries, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			fds[i] = loopback_lab_socket(&addr, SOCK_DGRAM);
			ck_assert_int_eq(connect(fds[i], &addr.any, addr_length(&addr)), 0);
		}
		led += count_led_to(LAB_HOST_IP);
		ck_assert_uint_eq(count_led_to(LAB_HOST_IP + 1), 0);
		for (int i = 0; i < CLIENTS; i++)
			close(fds[i]);
	}
	enough = true;
	pthread_join(changer, NULL);
	ck_assert_uint_gt(led, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bpf");
	TCase *stream = tcase_create("streams"), *datagrams = tcase_create("datagrams"), *whom = tcase_create("whom");

	if (!kern_loopback_is_built())
		return 77;
	loopback_lab_begin();
	tcase_add_checked_fixture(stream, open_lab, close_lab);
	tcase_add_loop_test(stream, a_client_with_an_entry_reaches_the_guest, 0, 2);
	tcase_add_test(stream, a_mapped_address_is_that_of_ipv4);
	tcase_add_test(stream, a_client_without_an_entry_reaches_the_forwarder);
	tcase_add_test(stream, a_refusal_is_told_at_once);
	tcase_add_test(stream, a_socket_of_ipv6_alone_is_not_led);
	tcase_add_loop_test(stream, a_socket_bound_to_an_address_is_not_led, 0, 6);
	tcase_add_loop_test(stream, a_socket_bound_to_a_link_or_marked_is_not_led, 0, 4);
	tcase_add_loop_test(stream, a_socket_that_stays_near_is_not_led, 0, 8);
	tcase_add_test(stream, a_part_of_mptcp_is_not_led);
	tcase_add_test(stream, a_connect_that_does_not_wait_is_led);
	tcase_add_loop_test(stream, fast_open_is_led, 0, 2);
	tcase_add_checked_fixture(datagrams, open_lab, close_lab);
	tcase_add_loop_test(datagrams, a_connected_client_of_datagrams_is_led, 0, 2);
	tcase_add_test(datagrams, a_client_of_datagrams_is_led_here_and_there);
	tcase_add_test(datagrams, answers_of_two_guests_are_told_apart);
	tcase_add_test(datagrams, datagrams_to_ipv6_without_connect_reach_the_forwarder);
	tcase_add_test(datagrams, a_socket_of_datagrams_goes_elsewhere_after_all);
	tcase_add_test(datagrams, datagrams_of_ipv6_alone_are_not_led);
	tcase_add_test(datagrams, bound_datagrams_reach_the_forwarder);
	tcase_add_checked_fixture(whom, open_lab, close_lab);
	tcase_add_test(whom, clients_of_other_namespaces_are_left_alone);
	tcase_add_test(whom, clients_of_other_cgroups_are_left_alone);
	tcase_add_test(whom, nothing_counts_after_the_lease);
	tcase_set_timeout(whom, 120);
	tcase_add_test(whom, nobody_is_led_by_an_entry_that_became_anothers);
	suite_add_tcase(suite, stream);
	suite_add_tcase(suite, datagrams);
	suite_add_tcase(suite, whom);
	int status = run_suite(suite);
	loopback_lab_end();
	return status;
}
