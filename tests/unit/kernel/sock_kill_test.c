/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that are ended by their destination. */
#include "kernel/sock_kill.h"

#include "base/err.h"
#include "kernel/sock_list.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 7000, WANTED = 0x7f000002, OTHER = 0x7f000003, NOBODY = 0x7f000004 };

static struct lab lab;
static struct err err;
static int listener;

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static void setup(void)
{
	const struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	lab = lab_open();
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(listener, 16), 0);
}

static void teardown(void)
{
	close(listener);
	config_free(lab.config);
}

static int connect_to(uint32_t ip)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = { htonl(ip) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int connect_mapped(uint32_t ip)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	const uint32_t words[] = { 0, 0, htonl(0xffff), htonl(ip) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&to.sin6_addr, words, sizeof(words));
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* What the socket was told by the kernel; 0: nothing. */
static int error_of(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	close(fd);
	return error;
}

static int end_clients_of(uint32_t ip)
{
	const struct kern_sock_filter filter = { .dest_ips = &ip, .dest_count = 1, .connected_only = true };

	return kern_sock_kill_to(&filter, NULL, &err);
}

START_TEST(connections_to_an_address_end_and_others_go_on)
{
	int ended = connect_to(WANTED), mapped = connect_mapped(WANTED), kept = connect_to(OTHER),
	    kept_mapped = connect_mapped(OTHER);
	char byte;

	OK(end_clients_of(WANTED));
	int accepted = accept(listener, NULL, NULL);
	ck_assert_int_eq(recv(accepted, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(accepted);
	ck_assert_int_eq(error_of(ended), ECONNABORTED);
	ck_assert_int_eq(error_of(mapped), ECONNABORTED);
	ck_assert_int_eq(error_of(kept), 0);
	ck_assert_int_eq(error_of(kept_mapped), 0);
	OK(end_clients_of(NOBODY));
	/* Who listens is not connected. */
	ck_assert_int_eq(error_of(connect_to(WANTED)), 0);
}
END_TEST

START_TEST(an_attempt_to_connect_goes_on)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(PORT),
					.sin_addr = { htonl(0xc0000201) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	lab_add_link("away", "192.0.2.9/24", "192.0.2.1", 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), -1);
	ck_assert_int_eq(errno, EINPROGRESS);
	OK(end_clients_of(0xc0000201));
	ck_assert_int_eq(error_of(fd), 0);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("kern_sock_kill");
	TCase *sockets = tcase_create("sockets");

	tcase_add_checked_fixture(sockets, setup, teardown);
	tcase_add_test(sockets, connections_to_an_address_end_and_others_go_on);
	tcase_add_test(sockets, an_attempt_to_connect_goes_on);
	suite_add_tcase(suite, sockets);
	return run_suite(suite);
}
