/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that are ended by their destination, and flows that are marked. */
#include "kernel/conntrack.h"
#include "kernel/sock_kill.h"

#include "base/err.h"
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

START_TEST(connections_to_an_address_end_and_others_go_on)
{
	int ended = connect_to(WANTED), mapped = connect_mapped(WANTED), kept = connect_to(OTHER),
	    kept_mapped = connect_mapped(OTHER);
	char byte;

	OK(kern_sock_kill_to(WANTED, &err));
	int accepted = accept(listener, NULL, NULL);
	ck_assert_int_eq(recv(accepted, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(accepted);
	ck_assert_int_eq(error_of(ended), ECONNABORTED);
	ck_assert_int_eq(error_of(mapped), ECONNABORTED);
	ck_assert_int_eq(error_of(kept), 0);
	ck_assert_int_eq(error_of(kept_mapped), 0);
	OK(kern_sock_kill_to(NOBODY, &err));
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
	OK(kern_sock_kill_to(0xc0000201, &err));
	ck_assert_int_eq(error_of(fd), 0);
}
END_TEST

struct count {
	unsigned marked, all;
};

static struct count counted;

static enum kern_conntrack_care count_flow(const struct kern_conntrack_flow *flow, const void *context)
{
	const uint32_t *mark = context;

	counted.all++;
	counted.marked += flow->mark == *mark;
	return KERN_CONNTRACK_KEEP;
}

static struct count count_marked(uint32_t mark)
{
	counted = (struct count){ 0 };
	OK(kern_conntrack_review(-1, count_flow, &mark, &err));
	return counted;
}

START_TEST(answered_flows_of_tcp_are_marked_and_others_are_not)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(WANTED) } };
	int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;

	lab_run("nft 'table ip track { chain c { type filter hook output priority 0; ct state new accept; }; }'");
	fd = connect_to(WANTED);
	ck_assert_int_eq(sendto(datagram, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)), 1);
	ck_assert_uint_eq(count_marked(5).marked, 0);
	ck_assert_uint_ge(count_marked(5).all, 2);
	OK(kern_conntrack_mark(-1, 5, &err));
	ck_assert_uint_eq(count_marked(5).marked, 1);
	OK(kern_conntrack_mark(-1, 5, &err));
	int later = connect_to(WANTED);
	ck_assert_uint_eq(count_marked(5).marked, 1);
	OK(kern_conntrack_mark(-1, 6, &err));
	ck_assert_uint_eq(count_marked(6).marked, 2);
	close(fd);
	close(later);
	close(datagram);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("kern_flows");
	TCase *flows = tcase_create("flows");

	tcase_add_checked_fixture(flows, setup, teardown);
	tcase_add_test(flows, connections_to_an_address_end_and_others_go_on);
	tcase_add_test(flows, an_attempt_to_connect_goes_on);
	tcase_add_test(flows, answered_flows_of_tcp_are_marked_and_others_are_not);
	suite_add_tcase(suite, flows);
	return run_suite(suite);
}
