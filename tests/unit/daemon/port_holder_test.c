/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/port_holder.h"
#include "unit/run_suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A socket bound to a free port of ADDR, whose port is set to the one that it got. */
static int bound(struct addr *addr, int type)
{
	socklen_t length = sizeof(*addr);
	int fd = socket(addr->any.sa_family, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &addr->any, addr_length(addr)), 0);
	ck_assert_int_eq(getsockname(fd, &addr->any, &length), 0);
	return fd;
}

static void assert_is_us(const struct socket_holder *holder)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "(pid %d) of uid %u", (int)getpid(), geteuid());
	ck_assert_msg(strstr(holder->text, pid) != NULL, "%s does not name %s", holder->text, pid);
	ck_assert_uint_eq(holder->uid, geteuid());
}

START_TEST(a_listener_is_named_with_its_process)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	int fd = bound(&addr, SOCK_STREAM);
	struct socket_holder holder;

	ck_assert_int_eq(listen(fd, 1), 0);
	daemon_port_holder_find(&addr, PROTO_TCP, &holder);
	ck_assert(holder.found);
	ck_assert(holder.listening);
	assert_is_us(&holder);
	close(fd);
}
END_TEST

START_TEST(another_process_that_has_it_too_is_named_first)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	int fd = bound(&addr, SOCK_STREAM);
	struct socket_holder holder;
	char other[32];
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (!child)
		for (;;)
			pause();
	ck_assert_int_eq(listen(fd, 1), 0);
	snprintf(other, sizeof(other), "(pid %d) of uid", (int)child);
	daemon_port_holder_find(&addr, PROTO_TCP, &holder);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ck_assert_msg(strstr(holder.text, other) != NULL, "%s does not name %s", holder.text, other);
	close(fd);
}
END_TEST

/* The kernel lists such a socket nowhere; its process is asked. That takes privileges. */
START_TEST(a_socket_that_is_bound_and_does_not_listen_is_named_with_its_process)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	int fd = bound(&addr, SOCK_STREAM);
	struct socket_holder holder;

	daemon_port_holder_find(&addr, PROTO_TCP, &holder);
	if (geteuid() == 0) {
		ck_assert(holder.found);
		assert_is_us(&holder);
	}
	ck_assert(!holder.listening);
	close(fd);
	daemon_port_holder_find(&addr, PROTO_TCP, &holder);
	ck_assert(!holder.found);
	ck_assert_str_eq(holder.text, "a process that is not visible from here");
}
END_TEST

START_TEST(a_listener_on_all_addresses_is_in_the_way_of_one)
{
	struct addr all = addr_from_ipv4(0, 0);
	int fd = bound(&all, SOCK_STREAM);
	struct addr one = addr_from_ipv4(0x7f000001, addr_port(&all));
	struct socket_holder holder;

	ck_assert_int_eq(listen(fd, 1), 0);
	daemon_port_holder_find(&one, PROTO_TCP, &holder);
	ck_assert(holder.listening);
	close(fd);
}
END_TEST

START_TEST(an_outgoing_connection_is_no_listener)
{
	struct addr server = addr_from_ipv4(0x7f000001, 0), client = addr_from_ipv4(0x7f000002, 0);
	int listener = bound(&server, SOCK_STREAM);
	int fd = bound(&client, SOCK_STREAM);
	struct socket_holder holder;

	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(connect(fd, &server.any, addr_length(&server)), 0);
	daemon_port_holder_find(&client, PROTO_TCP, &holder);
	ck_assert(holder.found);
	ck_assert(!holder.listening);
	assert_is_us(&holder);
	close(fd);
	close(listener);
}
END_TEST

/* A UDP socket bound to a port of ADDR that no TCP socket of the machine has. */
static int bound_alone(struct addr *addr)
{
	for (;;) {
		int udp = bound(addr, SOCK_DGRAM), tcp = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool alone = bind(tcp, &addr->any, addr_length(addr)) == 0;

		close(tcp);
		if (alone)
			return udp;
		close(udp);
		addr_set_port(addr, 0);
	}
}

START_TEST(udp_and_ipv6_are_found_too)
{
	struct addr udp = addr_from_ipv4(0x7f000001, 0), six = addr_loopback6(0);
	int udp_fd = bound_alone(&udp);
	struct socket_holder holder;

	daemon_port_holder_find(&udp, PROTO_UDP, &holder);
	ck_assert(holder.listening);
	daemon_port_holder_find(&udp, PROTO_TCP, &holder);
	ck_assert(!holder.found);
	close(udp_fd);

	int six_fd = bound(&six, SOCK_STREAM);
	ck_assert_int_eq(listen(six_fd, 1), 0);
	daemon_port_holder_find(&six, PROTO_TCP, &holder);
	ck_assert(holder.listening);
	assert_is_us(&holder);
	close(six_fd);
}
END_TEST

START_TEST(a_free_port_has_no_holder)
{
	struct addr addr = addr_from_ipv4(0x7f000001, 0);
	struct socket_holder holder;

	close(bound(&addr, SOCK_STREAM));
	daemon_port_holder_find(&addr, PROTO_TCP, &holder);
	ck_assert(!holder.found);
}
END_TEST

int main(void)
{
	TCase *finding = tcase_create("finding");
	tcase_add_test(finding, a_listener_is_named_with_its_process);
	tcase_add_test(finding, another_process_that_has_it_too_is_named_first);
	tcase_add_test(finding, a_socket_that_is_bound_and_does_not_listen_is_named_with_its_process);
	tcase_add_test(finding, a_listener_on_all_addresses_is_in_the_way_of_one);
	tcase_add_test(finding, an_outgoing_connection_is_no_listener);
	tcase_add_test(finding, udp_and_ipv6_are_found_too);
	tcase_add_test(finding, a_free_port_has_no_holder);

	Suite *suite = suite_create("port_holder");
	suite_add_tcase(suite, finding);

	return run_suite(suite);
}
