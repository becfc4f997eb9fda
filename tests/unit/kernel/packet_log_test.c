/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets reach the reader of their group, as far as it wants them. */
#include "kernel/packet_log.h"

#include "base/err.h"
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GROUP = 77, SNAPLEN = 64 };

static struct lab lab;
static struct kern_packet_log reader;
static struct err err;
static unsigned taken;
static size_t last_size;
static uint8_t last[256];

static void take(void *context, const uint8_t *bytes, size_t size)
{
	(void)context;
	ck_assert_uint_le(size, sizeof(last));
	memcpy(last, bytes, size);
	last_size = size;
	taken++;
}

static void open_all(void)
{
	lab = lab_open();
	lab_run("nft add table inet t && nft 'add chain inet t out { type filter hook output priority 0; }' && "
		"nft add rule inet t out udp dport 9 log prefix '\"x\"' group %d && "
		"nft add rule inet t out udp dport 10 log group %d",
		GROUP, GROUP + 1);
	ck_assert_msg(kern_packet_log_open(&reader, GROUP, SNAPLEN, &err) == 0, "%s", err.text);
}

static void close_all(void)
{
	kern_packet_log_close(&reader);
	config_free(lab.config);
}

static void send_datagrams(uint16_t port, size_t payload, unsigned count)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char bytes[1024] = { 'x', 'x', 'x', 'x' };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(sendto(fd, bytes, payload, 0, (const struct sockaddr *)&to, sizeof(to)),
				 (ssize_t)payload);
	close(fd);
}

static int read_next(void)
{
	struct pollfd ready = { .fd = kern_packet_log_fd(&reader), .events = POLLIN };

	ck_assert_int_eq(poll(&ready, 1, LAB_TIMEOUT_MS), 1);
	return kern_packet_log_read(&reader, take, NULL, &err);
}

START_TEST(a_packet_is_copied_from_its_ip_header_on)
{
	send_datagrams(9, 4, 1);
	ck_assert_int_eq(read_next(), 1);
	ck_assert_uint_eq(taken, 1);
	ck_assert_uint_eq(last_size, 32);
	ck_assert_uint_eq(last[0], 0x45);
	ck_assert_mem_eq(last + 28, "xxxx", 4);
	ck_assert_int_eq(kern_packet_log_read(&reader, take, NULL, &err), 0);
}
END_TEST

START_TEST(a_long_packet_is_cut)
{
	send_datagrams(9, 1000, 1);
	ck_assert_int_eq(read_next(), 1);
	ck_assert_uint_eq(last_size, SNAPLEN);
}
END_TEST

START_TEST(each_packet_comes_at_once)
{
	send_datagrams(9, 4, 3);
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(read_next(), 1);
		ck_assert_uint_eq(taken, i);
	}
}
END_TEST

START_TEST(other_groups_are_others)
{
	send_datagrams(10, 4, 1);
	send_datagrams(9, 5, 1);
	ck_assert_int_eq(read_next(), 1);
	ck_assert_uint_eq(taken, 1);
	ck_assert_uint_eq(last_size, 33);
}
END_TEST

START_TEST(a_group_has_one_reader_at_a_time)
{
	struct kern_packet_log second;

	ck_assert_int_lt(kern_packet_log_open(&second, GROUP, SNAPLEN, &err), 0);
	ck_assert_int_eq(err.code, EPERM);
	ck_assert_int_eq(kern_packet_log_fd(&second), -1);
	kern_packet_log_close(&reader);
	ck_assert_msg(kern_packet_log_open(&second, GROUP, SNAPLEN, &err) == 0, "%s", err.text);
	reader = second;
	send_datagrams(9, 4, 1);
	ck_assert_int_eq(read_next(), 1);
	ck_assert_uint_eq(taken, 1);
}
END_TEST

START_TEST(an_overrun_is_said_once_and_reading_goes_on)
{
	int got;

	send_datagrams(9, 4, 20000);
	ck_assert_int_lt(read_next(), 0);
	ck_assert_int_eq(err.code, ENOBUFS);
	while ((got = kern_packet_log_read(&reader, take, NULL, &err)) > 0)
		;
	ck_assert_int_eq(got, 0);
	ck_assert_uint_gt(taken, 0);
	taken = 0;
	send_datagrams(9, 7, 1);
	ck_assert_int_eq(read_next(), 1);
	ck_assert_uint_eq(last_size, 35);
}
END_TEST

int main(void)
{
	lab_require_root();
	Suite *suite = suite_create("packet_log");
	TCase *reading = tcase_create("reading");

	tcase_set_timeout(reading, 120);
	tcase_add_checked_fixture(reading, open_all, close_all);
	tcase_add_test(reading, a_packet_is_copied_from_its_ip_header_on);
	tcase_add_test(reading, a_long_packet_is_cut);
	tcase_add_test(reading, each_packet_comes_at_once);
	tcase_add_test(reading, other_groups_are_others);
	tcase_add_test(reading, a_group_has_one_reader_at_a_time);
	tcase_add_test(reading, an_overrun_is_said_once_and_reading_goes_on);
	suite_add_tcase(suite, reading);
	return run_suite(suite);
}
