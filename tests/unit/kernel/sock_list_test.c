/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients of a guest are found by where they went and by what they had asked for, and they alone are ended. */
#include "kernel/sock_list.h"

#include "kernel/sock_kill.h"
#include "unit/kernel/loopback_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 20000 };

static struct loopback_lab lab;
static const uint32_t here[] = { LAB_HOST_IP }, elsewhere[] = { LAB_HOST_IP + 1 };

/* How many of what was asked for. */
struct clients {
	unsigned count, led;
	struct kern_sock last;
};

static void open_lab(void)
{
	lab = loopback_lab_open();
	if (!kern_loopback_is_built())
		return;
	loopback_lab_start(&lab);
	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_TCP);
	loopback_lab_put(&lab, "127.0.0.2:7000", PROTO_TCP);
	loopback_lab_put(&lab, "[::1]:7000", PROTO_TCP);
}

static void close_lab(void)
{
	loopback_lab_close(&lab);
}

/* A client of ADDR; *GUEST: its other end. */
static int connect_to(const struct addr *addr, int *guest)
{
	int fd = loopback_lab_socket(addr, SOCK_STREAM);

	ck_assert_msg(connect(fd, &addr->any, addr_length(addr)) == 0, "%s", strerror(errno));
	ck_assert_int_eq(loopback_lab_accept(&lab, guest), GUEST);
	return fd;
}

static int connect_by_text(const char *text, int *guest)
{
	struct addr addr = loopback_lab_addr(text);

	return connect_to(&addr, guest);
}

static void count(void *context, const struct kern_sock *sock)
{
	struct clients *clients = context;

	clients->count++;
	clients->led += sock->led;
	clients->last = *sock;
}

static struct clients list(const struct kern_sock_filter *filter)
{
	struct clients clients = { 0 };

	ck_assert_msg(kern_sock_list_to(filter, count, &clients, &lab.err) == 0, "%s", lab.err.text);
	return clients;
}

static int origins(void)
{
	return lab.loopback ? kern_loopback_origins(lab.loopback) : -1;
}

static bool is_ended(int fd, int code)
{
	struct pollfd poll_it = { .fd = fd, .events = POLLIN };
	char byte;

	if (poll(&poll_it, 1, 0) != 1)
		return false;
	return recv(fd, &byte, 1, 0) < 0 && errno == code;
}

START_TEST(clients_are_listed_by_destination_and_port)
{
	int guest[2];
	struct addr mapped = loopback_lab_mapped("10.11.0.1:7001");
	int plain = connect_by_text("10.11.0.1:7001", &guest[0]), six = connect_to(&mapped, &guest[1]);
	struct clients clients = list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = -1 });
	char bytes[8];

	ck_assert_uint_eq(clients.count, 2);
	ck_assert_uint_eq(clients.led, 0);
	ck_assert_uint_eq(clients.last.dest_ip, LAB_HOST_IP);
	ck_assert_uint_eq(clients.last.dest_port, LAB_GUEST_PORT);
	ck_assert(clients.last.has_counts && !clients.last.connecting && !clients.last.closing);
	ck_assert_uint_eq(list(&(struct kern_sock_filter){
				   .dest_ips = here, .dest_count = 1, .dest_port = LAB_GUEST_PORT, .origins = -1 })
			      .count,
			  2);
	ck_assert_uint_eq(
	    list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .dest_port = LAB_PORT, .origins = -1 })
		.count,
	    0);
	ck_assert_uint_eq(
	    list(&(struct kern_sock_filter){ .dest_ips = elsewhere, .dest_count = 1, .origins = -1 }).count, 0);
	ck_assert_uint_eq(list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 0, .origins = -1 }).count,
			  0);
	close(six);
	close(guest[1]);
	/* What the guest has read is acknowledged, and what came from it was counted when it was read here. */
	ck_assert(send(plain, "abc", 3, 0) == 3 && recv(guest[0], bytes, 3, MSG_WAITALL) == 3);
	ck_assert(send(guest[0], "abcd", 4, 0) == 4 && recv(plain, bytes, 4, MSG_WAITALL) == 4);
	do
		clients = list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = -1 });
	while (clients.last.sent < 3);
	ck_assert_uint_eq(clients.last.sent, 3);
	ck_assert_uint_eq(clients.last.received, 4);
	close(plain);
	close(guest[0]);
}
END_TEST

START_TEST(one_of_many_destinations_is_enough)
{
	uint32_t many[300];
	int guest;
	int fd = connect_by_text("10.11.0.1:7001", &guest);

	for (unsigned i = 0; i < 300; i++)
		many[i] = LAB_HOST_IP + 1 + i;
	/* Up to 16 are tested by the kernel one by one. */
	for (unsigned size = 1; size <= 300; size = size < 18 ? size + 1 : size + 94) {
		for (unsigned at = 0; at < size; at += size < 18 ? 1 : size / 3) {
			ck_assert_uint_eq(
			    list(&(struct kern_sock_filter){ .dest_ips = many, .dest_count = size, .origins = -1 })
				.count,
			    0);
			many[at] = LAB_HOST_IP;
			ck_assert_uint_eq(
			    list(&(struct kern_sock_filter){ .dest_ips = many, .dest_count = size, .origins = -1 })
				.count,
			    1);
			many[at] = LAB_HOST_IP + 1 + at;
		}
	}
	close(fd);
	close(guest);
}
END_TEST

START_TEST(what_a_client_had_asked_for_is_told)
{
	static const char *const places[] = { "127.0.0.1:7000", "127.0.0.2:7000", "[::1]:7000" };
	int fd[4], other[4];
	struct clients clients;

	for (unsigned i = 0; i < 3; i++)
		fd[i] = connect_by_text(places[i], &other[i]);
	fd[3] = connect_by_text("10.11.0.1:7001", &other[3]);
	clients = list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = origins() });
	ck_assert_uint_eq(clients.count, 4);
	ck_assert_uint_eq(clients.led, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct addr asked = loopback_lab_addr(places[i]);

		clients = list(&(struct kern_sock_filter){
		    .dest_ips = here, .dest_count = 1, .origins = origins(), .asked = &asked });
		ck_assert_uint_eq(clients.count, 1);
		ck_assert(addr_equal(&clients.last.asked, &asked));
		ck_assert_uint_gt(clients.last.since_ns, 0);
		ck_assert_uint_eq(clients.last.dest_port, LAB_GUEST_PORT);
	}
	for (unsigned i = 0; i < 4; i++) {
		close(fd[i]);
		close(other[i]);
	}
}
END_TEST

START_TEST(clients_of_datagrams_are_ended)
{
	struct addr led = loopback_lab_addr("127.0.0.1:7000"), away = loopback_lab_addr("10.11.0.2:7001");
	int first = loopback_lab_socket(&led, SOCK_DGRAM), second = loopback_lab_socket(&away, SOCK_DGRAM);
	const struct kern_sock_filter filter = {
		.dest_ips = here, .dest_count = 1, .origins = origins(), .proto = PROTO_UDP
	};
	size_t ended;

	loopback_lab_put(&lab, "127.0.0.1:7000", PROTO_UDP);
	ck_assert_int_eq(connect(first, &led.any, addr_length(&led)), 0);
	ck_assert_int_eq(connect(second, &away.any, addr_length(&away)), 0);
	ck_assert_uint_eq(list(&filter).count, 1);
	ck_assert_uint_eq(
	    list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = origins() }).count, 0);
	ck_assert_int_eq(kern_sock_kill_to(&filter, &ended, &lab.err), 0);
	ck_assert_uint_eq(ended, 1);
	ck_assert(is_ended(first, ECONNABORTED) && !is_ended(second, ECONNABORTED));
	close(first);
	close(second);
}
END_TEST

START_TEST(clients_of_one_endpoint_are_ended)
{
	struct addr asked = loopback_lab_addr("127.0.0.1:7000");
	int other[3];
	int first = connect_by_text("127.0.0.1:7000", &other[0]), second = connect_by_text("127.0.0.2:7000", &other[1]);
	int plain = connect_by_text("10.11.0.1:7001", &other[2]);
	size_t ended;

	ck_assert_int_eq(
	    kern_sock_kill_to(
		&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = origins(), .asked = &asked },
		&ended, &lab.err),
	    0);
	ck_assert_uint_eq(ended, 1);
	ck_assert(is_ended(first, ECONNABORTED));
	ck_assert(!is_ended(second, ECONNABORTED) && !is_ended(plain, ECONNABORTED));
	/* The plain one may have been led by a table that is gone. */
	ck_assert_uint_eq(
	    list(&(struct kern_sock_filter){
		     .dest_ips = here, .dest_count = 1, .origins = origins(), .asked = &asked, .untold = true })
		.count,
	    1);
	ck_assert_int_eq(send(second, "x", 1, 0), 1);
	for (unsigned i = 0; i < 3; i++)
		close(other[i]);
	close(first);
	close(second);
	close(plain);
}
END_TEST

/* The destination is another guest's by then, whose clients are not meant. */
START_TEST(who_was_led_after_a_time_is_left_alone)
{
	struct addr asked = loopback_lab_addr("127.0.0.1:7000");
	int other[3], first = connect_by_text("127.0.0.1:7000", &other[0]);
	int plain = connect_by_text("10.11.0.1:7001", &other[1]);
	uint64_t before_ns =
	    list(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = origins(), .asked = &asked })
		.last.since_ns;
	int second = connect_by_text("[::1]:7000", &other[2]);
	struct kern_sock_filter filter = {
		.dest_ips = here, .dest_count = 1, .origins = origins(), .led_before_ns = &before_ns
	};

	ck_assert_uint_eq(list(&filter).count, 1); /* the plain one */
	filter.led_only = true;
	ck_assert_uint_eq(list(&filter).count, 0);
	before_ns++;
	ck_assert_uint_eq(list(&filter).count, 1);
	filter.led_only = false;
	ck_assert_uint_eq(list(&filter).count, 2);
	ck_assert_int_eq(kern_sock_kill_to(&filter, NULL, &lab.err), 0);
	ck_assert(is_ended(first, ECONNABORTED) && is_ended(plain, ECONNABORTED) && !is_ended(second, ECONNABORTED));
	ck_assert_int_eq(send(second, "x", 1, 0), 1);
	for (unsigned i = 0; i < 3; i++)
		close(other[i]);
	close(first);
	close(second);
	close(plain);
}
END_TEST

START_TEST(all_clients_of_a_destination_are_ended)
{
	struct addr mapped = loopback_lab_mapped("10.11.0.1:7001");
	int other[2];
	int plain = connect_by_text("10.11.0.1:7001", &other[0]), six = connect_to(&mapped, &other[1]);
	struct pollfd poll_it = { .fd = other[0], .events = POLLIN };
	size_t ended;
	char byte;

	ck_assert_int_eq(
	    kern_sock_kill_to(&(struct kern_sock_filter){ .dest_ips = elsewhere, .dest_count = 1, .origins = -1 },
			      &ended, &lab.err),
	    0);
	ck_assert_uint_eq(ended, 0);
	ck_assert_int_eq(
	    kern_sock_kill_to(
		&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .dest_port = LAB_PORT, .origins = -1 },
		&ended, &lab.err),
	    0);
	ck_assert_uint_eq(ended, 0);
	ck_assert(!is_ended(plain, ECONNABORTED) && !is_ended(six, ECONNABORTED));
	ck_assert_int_eq(
	    kern_sock_kill_to(&(struct kern_sock_filter){ .dest_ips = here, .dest_count = 1, .origins = -1 }, &ended,
			      &lab.err),
	    0);
	ck_assert_uint_eq(ended, 2);
	ck_assert(is_ended(plain, ECONNABORTED) && is_ended(six, ECONNABORTED));
	/* The guest is told. */
	ck_assert_int_eq(poll(&poll_it, 1, TIMEOUT_MS), 1);
	ck_assert(recv(other[0], &byte, 1, 0) < 0 && errno == ECONNRESET);
	for (unsigned i = 0; i < 2; i++)
		close(other[i]);
	close(plain);
	close(six);
}
END_TEST

/* The guest is gone, and its host address leads nowhere: nothing else would end the wait. */
START_TEST(a_client_that_still_connects_is_ended)
{
	struct addr addr = loopback_lab_addr("10.11.0.9:7001");
	const uint32_t dest[] = { LAB_HOST_IP + 8 };
	int fd = loopback_lab_socket(&addr, SOCK_STREAM | SOCK_NONBLOCK), code = 0;
	socklen_t size = sizeof(code);
	size_t ended;

	loopback_lab_drop(&lab, "10.11.0.9");
	ck_assert(connect(fd, &addr.any, addr_length(&addr)) < 0 && errno == EINPROGRESS);
	ck_assert(list(&(struct kern_sock_filter){ .dest_ips = dest, .dest_count = 1, .origins = -1 }).last.connecting);
	ck_assert_int_eq(
	    kern_sock_kill_to(&(struct kern_sock_filter){ .dest_ips = dest, .dest_count = 1, .origins = -1 }, &ended,
			      &lab.err),
	    0);
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size), 0);
	ck_assert_int_eq(code, ECONNABORTED);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sock_list");
	TCase *tests = tcase_create("sockets");

	loopback_lab_begin();
	tcase_add_checked_fixture(tests, open_lab, close_lab);
	tcase_add_test(tests, clients_are_listed_by_destination_and_port);
	tcase_add_test(tests, one_of_many_destinations_is_enough);
	tcase_add_test(tests, all_clients_of_a_destination_are_ended);
	tcase_add_test(tests, a_client_that_still_connects_is_ended);
	if (kern_loopback_is_built()) {
		tcase_add_test(tests, what_a_client_had_asked_for_is_told);
		tcase_add_test(tests, clients_of_datagrams_are_ended);
		tcase_add_test(tests, clients_of_one_endpoint_are_ended);
		tcase_add_test(tests, who_was_led_after_a_time_is_left_alone);
	}
	suite_add_tcase(suite, tests);
	int status = run_suite(suite);
	loopback_lab_end();
	return status;
}
