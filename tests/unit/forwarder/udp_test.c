/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A UDP endpoint that its worker cannot hear, as a file that epoll refuses stands in for its socket, is tried again. */
#include "base/err.h"
#include "base/log.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/udp.h"
#include "unit/forwarder/side_lab.h"
#include "unit/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct side_lab lab;
static struct fwd_endpoint *endpoint;
static struct udp_port *port;
static int fd;

static void setup(void)
{
	struct addr listen;
	struct err err;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	side_lab_open(&lab);
	fwd_wheel_init(&lab.worker.unheard, COARSE_STEP_MS, lab.worker.now_ms, fwd_udp_unheard_expired);
	lab.worker.mailbox = base_mailbox_new(NULL, &err);
	lab.forwarder.mailbox = base_mailbox_new(NULL, &err);
	ck_assert_ptr_nonnull(lab.worker.mailbox);
	ck_assert_ptr_nonnull(lab.forwarder.mailbox);
	ck_assert_int_eq(addr_parse("127.0.0.1:7", &listen), 0);
	endpoint = fwd_endpoint_new(1, &listen, 7, false);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	port = fwd_udp_port_new(lab.routes[0], endpoint, fd);
	ck_assert_ptr_nonnull(port);
	base_mailbox_deliver(lab.worker.mailbox);
}

static void teardown(void)
{
	fwd_udp_port_close(port);
	base_mailbox_deliver(lab.worker.mailbox);
	base_mailbox_deliver(lab.forwarder.mailbox);
	fwd_endpoint_release(endpoint);
	ck_assert_uint_eq(lab.worker.unheard.count, 0);
	base_mailbox_free(lab.worker.mailbox);
	base_mailbox_free(lab.forwarder.mailbox);
	free(lab.worker.datagrams);
	side_lab_close(&lab);
}

/* The seconds until the next attempt, which is made. */
static unsigned try_again(void)
{
	uint64_t due_ms = port->unheard.due_ms;
	unsigned seconds = (unsigned)((due_ms - lab.worker.now_ms) / 1000);

	/* A wheel is late by up to a step. */
	lab.worker.now_ms = due_ms + COARSE_STEP_MS;
	fwd_wheel_turn(&lab.worker.unheard, lab.worker.now_ms);
	return seconds;
}

START_TEST(an_endpoint_without_its_event_is_tried_again_with_growing_pauses)
{
	static const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
		ck_assert_uint_eq(try_again(), pauses[i]);
}
END_TEST

START_TEST(once_it_is_heard_its_datagrams_are_read_and_attempts_end)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int heard = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
	char byte;

	ck_assert_int_eq(bind(heard, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(getsockname(heard, (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(sendto(sender, "x", 1, 0, (struct sockaddr *)&address, size), 1);
	ck_assert_int_eq(dup2(heard, fd), fd);
	ck_assert_uint_eq(try_again(), 1);
	ck_assert_uint_eq(lab.worker.unheard.count, 0);
	fwd_poller_wait(lab.worker.poller, 10000);
	fwd_poller_dispatch(lab.worker.poller);
	ck_assert_int_eq(recv(heard, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_uint_eq(lab.worker.tally.udp_lost, 1); /* no VM is there to send it to */
	close(heard);
	close(sender);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp");
	TCase *tcase = tcase_create("hearing");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_endpoint_without_its_event_is_tried_again_with_growing_pauses);
	tcase_add_test(tcase, once_it_is_heard_its_datagrams_are_read_and_attempts_end);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
