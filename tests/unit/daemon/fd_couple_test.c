/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A couple of queues, read after its writer is gone: by copies of the receiving ends, as the service manager has them. */
#include "daemon/fd_couple.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 3000 };

static struct fd_couple couple;
static int kept[2]; /* copies of the receiving ends */

static void setup(void)
{
	struct rlimit limit = { 8192, 8192 };

	setrlimit(RLIMIT_NOFILE, &limit);
	daemon_fd_couple_init(&couple, 7, 1);
	ck_assert_int_eq(daemon_fd_couple_open(&couple), 0);
	for (size_t i = 0; i < 2; i++)
		kept[i] = dup(couple.queues[i].out);
}

static void teardown(void)
{
	for (size_t i = 0; i < couple.fds.count; i++)
		close(couple.fds.items[i]);
	daemon_fd_couple_free(&couple);
	close(kept[0]);
	close(kept[1]);
}

static ino_t inode_of(int fd)
{
	struct stat status;

	ck_assert_int_eq(fstat(fd, &status), 0);
	return status.st_ino;
}

/* Adds COUNT UDP sockets. */
static void add(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(daemon_fd_couple_add(&couple, fd), 0);
	}
}

static void take_out(size_t index)
{
	close(couple.fds.items[index]);
	daemon_fd_couple_remove(&couple, index);
}

static void write_it(void)
{
	ck_assert_int_eq(daemon_fd_couple_write(&couple), 0);
	ck_assert(daemon_fd_couple_is_written(&couple));
}

/* What the next run finds: the descriptors of the chosen list, in FDS. */
static size_t read_it(int *fds)
{
	struct fd_survey surveys[2];
	size_t count = 0;

	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(daemon_fd_couple_survey(kept[i], &surveys[i]), 0);
	daemon_fd_queue_choose(surveys, 2);
	ck_assert(!surveys[0].chosen || !surveys[1].chosen);
	for (size_t i = 0; i < 2; i++) {
		if (!surveys[i].chosen)
			continue;
		ck_assert_uint_le(surveys[i].fds, FDS_MAX);
		count = daemon_fd_couple_copy(kept[i], &surveys[i], fds);
		ck_assert_uint_eq(count, surveys[i].fds);
	}
	return count;
}

static int compare(const void *a, const void *b)
{
	const ino_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

static void assert_reads_as_written(void)
{
	static int fds[FDS_MAX];
	static ino_t found[FDS_MAX], wanted[FDS_MAX];
	size_t count = read_it(fds);

	ck_assert_uint_eq(count, couple.fds.count);
	for (size_t i = 0; i < count; i++) {
		found[i] = inode_of(fds[i]);
		wanted[i] = inode_of(couple.fds.items[i]);
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
	qsort(found, count, sizeof(*found), compare);
	qsort(wanted, count, sizeof(*wanted), compare);
	ck_assert_mem_eq(found, wanted, count * sizeof(*found));
}

static size_t messages_in(int out)
{
	struct fd_survey survey;

	ck_assert_int_eq(daemon_fd_couple_survey(out, &survey), 0);
	ck_assert(!survey.strange);
	return survey.messages;
}

START_TEST(what_is_written_is_read_as_often_as_one_likes)
{
	static const size_t steps[] = { 0, 1, 252, 1, 300, 1400 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		add(steps[i]);
		write_it();
		assert_reads_as_written();
		assert_reads_as_written();
	}
	daemon_fd_couple_free(&couple);
	int fds[FDS_MAX];
	ck_assert_uint_eq(read_it(fds), 1954); /* the writer is gone */
}
END_TEST

START_TEST(an_addition_is_one_message_and_a_removal_a_new_list)
{
	add(600);
	write_it();
	unsigned current = couple.current;
	add(1);
	write_it();
	ck_assert_uint_eq(couple.current, current);
	ck_assert_uint_eq(messages_in(kept[current]), 4);
	take_out(0);
	write_it();
	ck_assert_uint_ne(couple.current, current);
	ck_assert_uint_eq(messages_in(kept[current]), 0);
	assert_reads_as_written();
}
END_TEST

START_TEST(additions_do_not_pile_up)
{
	for (size_t i = 0; i < 400; i++) {
		add(1);
		write_it();
		ck_assert_uint_le(messages_in(kept[couple.current]), 140);
	}
	assert_reads_as_written();
}
END_TEST

/* A UDP socket's port is free as soon as no queue holds the socket. */
START_TEST(what_was_taken_out_is_closed)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	add(300);
	ck_assert_int_eq(bind(couple.fds.items[100], (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(couple.fds.items[100], (struct sockaddr *)&address, &size), 0);
	write_it();
	take_out(100);
	ck_assert_int_lt(bind(other, (struct sockaddr *)&address, size), 0);
	write_it();
	ck_assert_int_eq(bind(other, (struct sockaddr *)&address, size), 0);
	close(other);
}
END_TEST

START_TEST(what_was_never_written_needs_no_new_list)
{
	add(3);
	write_it();
	add(2);
	take_out(3);
	take_out(3);
	ck_assert(daemon_fd_couple_is_written(&couple));
	assert_reads_as_written();
}
END_TEST

/* As a kill amid writing or draining leaves it. */
START_TEST(a_list_that_is_not_whole_leaves_the_other)
{
	uint8_t byte;
	int fds[FDS_MAX];

	add(600);
	write_it();
	unsigned former = couple.current;
	take_out(0);
	write_it();
	/* The new one, as it was before its last message. */
	struct fd_header list = couple.list;
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];
	list.generation++;
	list.index = 0;
	list.count = (uint16_t)daemon_fd_queue_part(list.total, 0);
	daemon_fd_queue_encode(&list, bytes);
	ck_assert_int_eq(send(couple.queues[former].in, bytes, sizeof(bytes), 0), sizeof(bytes));
	ck_assert_uint_eq(read_it(fds), 599);
	/* The former one, without its first message. */
	ck_assert_int_eq(recv(kept[!former], &byte, 1, 0), 1);
	ck_assert_uint_eq(read_it(fds), 0);
}
END_TEST

START_TEST(a_shortage_leaves_the_former_list)
{
	int size = 1, fds[FDS_MAX];

	add(FD_COUPLE_MAX);
	write_it();
	/* The least that the kernel allows: room for some messages. */
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(couple.queues[i].in, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), 0);
	take_out(0);
	ck_assert_int_lt(daemon_fd_couple_write(&couple), 0);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert(!daemon_fd_couple_is_written(&couple));
	ck_assert_uint_eq(messages_in(kept[!couple.current]), 0);
	size_t count = read_it(fds);
	ck_assert_uint_eq(count, FD_COUPLE_MAX);
	while (count)
		close(fds[--count]);
	size = 1 << 20;
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(couple.queues[i].in, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), 0);
	write_it();
	assert_reads_as_written();
}
END_TEST

START_TEST(descriptors_that_find_no_room_are_missing)
{
	struct fd_survey survey;
	struct rlimit limit, less;
	int fds[FDS_MAX], probe;

	add(600);
	write_it();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	probe = dup(0);
	less = (struct rlimit){ (rlim_t)probe + 100, limit.rlim_max };
	close(probe);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
	ck_assert_int_eq(daemon_fd_couple_survey(kept[couple.current], &survey), 0);
	ck_assert_uint_eq(survey.fds, 600);
	size_t count = daemon_fd_couple_copy(kept[couple.current], &survey, fds);
	ck_assert_uint_eq(count, 100);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	setrlimit(RLIMIT_NOFILE, &limit);
	/* The queue has them all the same. */
	assert_reads_as_written();
}
END_TEST

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* WEFT_MEASURE=1 prints what a change costs. */
START_TEST(a_full_couple_is_written_and_read)
{
	enum { ROUNDS = 20 };
	double additions = 0, lists = 0, reads = 0;
	int fds[FDS_MAX];

	add(FD_COUPLE_MAX);
	write_it();
	for (size_t i = 0; i < ROUNDS; i++) {
		take_out(i);
		double start = milliseconds();
		write_it();
		lists += milliseconds() - start;
		add(1);
		start = milliseconds();
		write_it();
		additions += milliseconds() - start;
		start = milliseconds();
		size_t count = read_it(fds);
		reads += milliseconds() - start;
		for (size_t j = 0; j < count; j++)
			close(fds[j]);
	}
	assert_reads_as_written();
	if (getenv("WEFT_MEASURE"))
		printf("%d sockets: list anew %.3f ms, addition %.4f ms, read %.3f ms\n", FD_COUPLE_MAX, lists / ROUNDS,
		       additions / ROUNDS, reads / ROUNDS);
}
END_TEST

int main(void)
{
	TCase *queues = tcase_create("queues");
	tcase_add_checked_fixture(queues, setup, teardown);
	tcase_add_test(queues, what_is_written_is_read_as_often_as_one_likes);
	tcase_add_test(queues, an_addition_is_one_message_and_a_removal_a_new_list);
	tcase_add_test(queues, additions_do_not_pile_up);
	tcase_add_test(queues, what_was_taken_out_is_closed);
	tcase_add_test(queues, what_was_never_written_needs_no_new_list);
	tcase_add_test(queues, a_list_that_is_not_whole_leaves_the_other);
	tcase_add_test(queues, a_shortage_leaves_the_former_list);
	tcase_add_test(queues, descriptors_that_find_no_room_are_missing);
	tcase_add_test(queues, a_full_couple_is_written_and_read);

	Suite *suite = suite_create("fd_couple");
	suite_add_tcase(suite, queues);

	return run_suite(suite);
}
