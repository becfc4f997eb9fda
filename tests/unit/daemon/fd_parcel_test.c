/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A parcel arrives whole, once, and a damaged one costs only what is in it. */
#include "daemon/fd_parcel.h"

#include "base/err.h"
#include "daemon/fd_couple.h"
#include "daemon/fd_message.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT = 600 };

static int fds[COUNT];
static ino_t inodes[COUNT];
static struct err err;

static ino_t inode_of(int fd)
{
	struct stat status;

	ck_assert_int_eq(fstat(fd, &status), 0);
	return status.st_ino;
}

static void setup(void)
{
	struct rlimit limit = { 8192, 8192 };

	setrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < COUNT; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(fds[i], 0);
		inodes[i] = inode_of(fds[i]);
	}
}

static void close_all(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static int pack_with(size_t count, const int *burden, size_t burden_count)
{
	static uint8_t memory[] = "state";
	const struct fd_parcel parcel = { .connections = 77,
					  .memory = memory,
					  .size = 5,
					  .fds = fds,
					  .count = count,
					  .burden = burden,
					  .burden_count = burden_count };
	struct fd_queue queue;

	ck_assert_msg(daemon_fd_parcel_pack(&parcel, 7, &queue, &err) == 0, "%s", err.text);
	ck_assert(!daemon_fd_message_is_abandoned(queue.in));
	close(queue.in);
	return queue.out;
}

static int pack(size_t count)
{
	return pack_with(count, NULL, 0);
}

static struct fd_survey survey_of(int out)
{
	struct fd_survey survey;

	ck_assert_int_eq(daemon_fd_couple_survey(out, &survey), 0);
	return survey;
}

/* A queue whose first descriptor is FIRST. */
static int pack_by_hand(int first)
{
	const struct fd_header header = { .run = 7, .generation = 1, .kind = FD_PARCEL, .total = 2, .count = 2 };
	int both[2] = { first, fds[0] };
	struct fd_queue queue;

	ck_assert_int_eq(daemon_fd_message_open(4, &queue), 0);
	ck_assert_int_eq(daemon_fd_message_send(queue.in, &header, both), 0);
	close(queue.in);
	return queue.out;
}

static void assert_is_drained(int out)
{
	char byte;

	ck_assert_int_le(recv(out, &byte, 1, MSG_DONTWAIT), 0);
	close(out);
}

START_TEST(it_arrives_whole_after_its_sender_is_gone)
{
	static const size_t counts[] = { 0, 1, FD_QUEUE_MESSAGE_FDS - 1, FD_QUEUE_MESSAGE_FDS, COUNT };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int out = pack(counts[i]);
		struct fd_survey survey = survey_of(out);
		struct fd_parcel parcel;

		ck_assert(survey.complete && !survey.strange && survey.first.kind == FD_PARCEL);
		ck_assert_msg(daemon_fd_parcel_unpack(out, &survey, &parcel, &err) == 0, "%s", err.text);
		ck_assert_uint_eq(parcel.connections, 77);
		ck_assert_uint_eq(parcel.count, counts[i]);
		ck_assert_uint_eq(parcel.lost, 0);
		ck_assert_uint_eq(parcel.size, 5);
		ck_assert_mem_eq(parcel.memory, "state", 5);
		for (size_t j = 0; j < parcel.count; j++) {
			ck_assert_uint_eq(inode_of(parcel.fds[j]), inodes[j]);
			ck_assert_int_eq(fcntl(parcel.fds[j], F_GETFD), FD_CLOEXEC);
		}
		daemon_fd_parcel_free(&parcel);
		assert_is_drained(out);
	}
	close_all();
}
END_TEST

/* How many messages are in the queue OUT. */
static size_t count_messages(int out)
{
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];
	size_t count = 0;

	ck_assert_int_eq(daemon_fd_message_rewind(out), 0);
	while (daemon_fd_message_peek(out, bytes, sizeof(bytes), NULL, NULL) > 0)
		count++;
	return count;
}

START_TEST(its_burden_is_nobodys_and_goes_with_the_queue)
{
	int pair[2], out;
	struct fd_parcel parcel;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	out = pack_with(COUNT, &pair[0], 1);
	close(pair[0]);

	struct fd_survey survey = survey_of(out);

	ck_assert(survey.complete && survey.burdened && !survey.strange);
	ck_assert_uint_eq(survey.fds, COUNT + 1);
	ck_assert_int_eq(daemon_fd_parcel_unpack(out, &survey, &parcel, &err), 0);
	ck_assert_uint_eq(parcel.count, COUNT);
	daemon_fd_parcel_free(&parcel);
	ck_assert_uint_eq(count_messages(out), 1);
	ck_assert_int_lt(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
	close(out);
	ck_assert_int_eq(recv(pair[1], &byte, 1, 0), 0);
	close(pair[1]);
	close_all();
}
END_TEST

START_TEST(what_the_limit_does_not_admit_is_lost_and_known)
{
	const int burden = STDERR_FILENO;
	int out = pack_with(COUNT, &burden, 1);
	struct fd_survey survey = survey_of(out);
	struct fd_parcel parcel;
	struct rlimit limit = { 300, 8192 };
	size_t lost = 0;

	close_all();
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_msg(daemon_fd_parcel_unpack(out, &survey, &parcel, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(parcel.count, COUNT);
	/* The others are in their places. */
	for (size_t i = 0; i < COUNT; i++) {
		if (parcel.fds[i] < 0)
			lost++;
		else
			ck_assert_uint_eq(inode_of(parcel.fds[i]), inodes[i]);
	}
	ck_assert_uint_eq(lost, parcel.lost);
	ck_assert_uint_ge(lost, COUNT - 300);
	ck_assert_uint_lt(lost, COUNT);
	daemon_fd_parcel_free(&parcel);
	assert_is_drained(out);
}
END_TEST

START_TEST(without_room_for_its_memory_all_is_lost_and_nothing_stays)
{
	int out = pack(COUNT), last = fds[COUNT - 1];
	struct fd_survey survey = survey_of(out);
	struct fd_parcel parcel;
	struct rlimit limit = { 3, 8192 }, former = { 8192, 8192 };

	ck_assert_int_gt(last, 3);
	setrlimit(RLIMIT_NOFILE, &limit);
	int result = daemon_fd_parcel_unpack(out, &survey, &parcel, &err);
	setrlimit(RLIMIT_NOFILE, &former);
	ck_assert_int_lt(result, 0);
	ck_assert_int_eq(err.code, EMFILE);
	ck_assert_uint_eq(parcel.count, 0);
	ck_assert_uint_eq(parcel.connections, 77);
	close_all();
	assert_is_drained(out);
}
END_TEST

START_TEST(memory_that_others_may_change_is_refused)
{
	struct fd_parcel parcel;
	int strange[] = { memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING), open("/dev/null", O_RDONLY),
			  socket(AF_UNIX, SOCK_STREAM, 0) };

	ck_assert_int_eq(fcntl(strange[0], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		int out = pack_by_hand(strange[i]);
		struct fd_survey survey = survey_of(out);

		ck_assert(survey.complete);
		ck_assert_int_lt(daemon_fd_parcel_unpack(out, &survey, &parcel, &err), 0);
		ck_assert_ptr_null(parcel.fds);
		close(strange[i]);
		assert_is_drained(out);
	}
	close_all();
}
END_TEST

START_TEST(memory_beyond_all_measure_is_refused)
{
	struct fd_parcel parcel;
	int memory = memfd_create("large", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(ftruncate(memory, (off_t)FD_PARCEL_MEMORY_MAX + 1), 0);
	ck_assert_int_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	int out = pack_by_hand(memory);
	struct fd_survey survey = survey_of(out);
	ck_assert_int_lt(daemon_fd_parcel_unpack(out, &survey, &parcel, &err), 0);
	ck_assert_int_eq(err.code, E2BIG);
	close(memory);
	assert_is_drained(out);
	close_all();
}
END_TEST

START_TEST(a_queue_is_abandoned_when_its_last_receiving_end_is_closed)
{
	struct fd_queue queue;

	ck_assert_int_eq(daemon_fd_message_open(4, &queue), 0);
	int copy = dup(queue.out);
	close(queue.out);
	ck_assert(!daemon_fd_message_is_abandoned(queue.in));
	close(copy);
	ck_assert(daemon_fd_message_is_abandoned(queue.in));
	close(queue.in);
	close_all();
}
END_TEST

/* A parcel's messages are no list, and a list's no parcel. */
START_TEST(kinds_do_not_mix)
{
	const struct fd_header parcel = { .run = 7, .generation = 1, .kind = FD_PARCEL, .total = 300, .count = 253 };
	struct fd_header list = { .run = 7, .generation = 1, .kind = FD_LIST, .total = 300, .index = 1, .count = 47 };
	struct fd_header addition = { .run = 7, .generation = 77, .kind = FD_ADDITION, .total = 1, .count = 1 };
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];
	struct fd_survey survey = { 0 };

	daemon_fd_queue_encode(&parcel, bytes);
	daemon_fd_queue_survey(&survey, bytes, sizeof(bytes));
	ck_assert(!survey.strange && !survey.complete);
	daemon_fd_queue_encode(&list, bytes);
	daemon_fd_queue_survey(&survey, bytes, sizeof(bytes));
	ck_assert(survey.strange && !survey.complete);

	int out = pack(0);
	survey = survey_of(out);
	ck_assert(survey.complete);
	daemon_fd_queue_encode(&addition, bytes);
	daemon_fd_queue_survey(&survey, bytes, sizeof(bytes));
	ck_assert(survey.burdened && !survey.strange && survey.messages == 1);
	daemon_fd_queue_survey(&survey, bytes, sizeof(bytes));
	ck_assert(survey.strange && survey.messages == 1);
	close(out);
	close_all();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fd_parcel");
	TCase *tests = tcase_create("parcels");

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, it_arrives_whole_after_its_sender_is_gone);
	tcase_add_test(tests, its_burden_is_nobodys_and_goes_with_the_queue);
	tcase_add_test(tests, what_the_limit_does_not_admit_is_lost_and_known);
	tcase_add_test(tests, without_room_for_its_memory_all_is_lost_and_nothing_stays);
	tcase_add_test(tests, memory_that_others_may_change_is_refused);
	tcase_add_test(tests, memory_beyond_all_measure_is_refused);
	tcase_add_test(tests, a_queue_is_abandoned_when_its_last_receiving_end_is_closed);
	tcase_add_test(tests, kinds_do_not_mix);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
