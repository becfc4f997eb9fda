/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a queue counts: whole lists alone, and of each couple the latest. */
#include "daemon/fd_queue.h"

#include "unit/run_suite.h"

#include <check.h>
#include <string.h>

static struct fd_header list_message(uint64_t generation, uint32_t total, uint16_t index)
{
	return (struct fd_header){ .run = 7,
				   .generation = generation,
				   .couple = 1,
				   .total = total,
				   .index = index,
				   .count = (uint16_t)daemon_fd_queue_part(total, index) };
}

static struct fd_header addition(uint64_t generation, uint32_t total, uint16_t index, uint16_t count)
{
	struct fd_header header = list_message(generation, total, 0);

	header.kind = FD_ADDITION;
	header.index = index;
	header.count = count;
	return header;
}

static void take(struct fd_survey *survey, struct fd_header header)
{
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];

	daemon_fd_queue_encode(&header, bytes);
	daemon_fd_queue_survey(survey, bytes, sizeof(bytes));
}

/* A queue with a whole list. */
static struct fd_survey whole(uint64_t generation, uint32_t total)
{
	struct fd_survey survey = { 0 };

	for (size_t i = 0; i < daemon_fd_queue_messages(total); i++)
		take(&survey, list_message(generation, total, (uint16_t)i));
	ck_assert(survey.complete && !survey.strange);
	return survey;
}

START_TEST(a_header_reads_back)
{
	struct fd_header header = list_message(UINT64_MAX, 600, 2), read;
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];

	daemon_fd_queue_encode(&header, bytes);
	ck_assert(daemon_fd_queue_decode(bytes, sizeof(bytes), &read));
	ck_assert_uint_eq(read.run, 7);
	ck_assert_uint_eq(read.generation, UINT64_MAX);
	ck_assert_uint_eq(read.couple, 1);
	ck_assert_uint_eq(read.total, 600);
	ck_assert_uint_eq(read.index, 2);
	ck_assert_uint_eq(read.count, 600 - 2 * FD_QUEUE_MESSAGE_FDS);
	ck_assert_int_eq(read.kind, FD_LIST);
}
END_TEST

START_TEST(any_changed_byte_is_refused)
{
	struct fd_header header = list_message(3, 10, 0), read;
	uint8_t bytes[FD_QUEUE_HEADER_SIZE + 1] = { 0 };

	daemon_fd_queue_encode(&header, bytes);
	for (size_t i = 0; i < FD_QUEUE_HEADER_SIZE; i++) {
		bytes[i] ^= 1;
		ck_assert_msg(!daemon_fd_queue_decode(bytes, FD_QUEUE_HEADER_SIZE, &read), "byte %zu", i);
		bytes[i] ^= 1;
	}
	for (size_t size = 0; size <= sizeof(bytes); size++)
		ck_assert(daemon_fd_queue_decode(bytes, size, &read) == (size == FD_QUEUE_HEADER_SIZE));
}
END_TEST

START_TEST(numbers_that_no_list_has_are_refused)
{
	struct fd_header wrong[] = { list_message(1, 10, 0), list_message(1, FD_QUEUE_FDS_MAX + 1, 0),
				     list_message(1, 253, 1), addition(1, 10, 0, 0), addition(1, 10, 0, 254) };
	uint8_t bytes[FD_QUEUE_HEADER_SIZE];
	struct fd_header read;

	wrong[0].count = 9;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		daemon_fd_queue_encode(&wrong[i], bytes);
		ck_assert_msg(!daemon_fd_queue_decode(bytes, sizeof(bytes), &read), "%zu", i);
	}
}
END_TEST

START_TEST(a_list_counts_from_its_first_message_to_its_last)
{
	struct fd_survey cut = { 0 }, drained = { 0 }, gap = { 0 };

	take(&cut, list_message(1, 600, 0));
	take(&cut, list_message(1, 600, 1));
	ck_assert(!cut.complete);
	take(&drained, list_message(1, 600, 1));
	take(&drained, list_message(1, 600, 2));
	ck_assert(!drained.complete);
	take(&gap, list_message(1, 600, 0));
	take(&gap, list_message(1, 600, 2));
	ck_assert(!gap.complete && gap.strange);
	ck_assert_uint_eq(whole(1, 600).fds, 600);
	ck_assert_uint_eq(whole(1, 0).fds, 0);
	ck_assert_uint_eq(whole(1, 0).messages, 1);
}
END_TEST

START_TEST(additions_count_in_their_order)
{
	struct fd_survey survey = whole(4, 300);

	take(&survey, addition(4, 300, 0, 2));
	take(&survey, addition(4, 300, 1, 253));
	ck_assert_uint_eq(survey.fds, 555);
	take(&survey, addition(4, 300, 3, 1));
	ck_assert(survey.strange && survey.complete);
	take(&survey, addition(4, 300, 2, 1));
	ck_assert_uint_eq(survey.fds, 555);
	ck_assert_uint_eq(survey.messages, 4);
}
END_TEST

START_TEST(an_addition_is_no_beginning)
{
	struct fd_survey survey = { 0 };

	take(&survey, addition(4, 3, 0, 2));
	ck_assert(survey.strange && !survey.complete);
}
END_TEST

START_TEST(a_message_of_another_list_ends_the_queue)
{
	struct fd_survey survey = whole(4, 3);

	take(&survey, list_message(5, 3, 0));
	ck_assert(survey.strange && survey.complete);
	ck_assert_uint_eq(survey.fds, 3);
}
END_TEST

START_TEST(the_latest_whole_list_is_chosen)
{
	struct fd_survey surveys[] = { whole(8, 3), whole(9, 2), whole(1, 1), whole(5, 1), whole(9, 2) };

	surveys[2] = (struct fd_survey){ .messages = 0 };
	take(&surveys[2], list_message(10, 600, 0)); /* the latest, and not whole */
	surveys[3].first.couple = 2;
	daemon_fd_queue_choose(surveys, 5);
	ck_assert(!surveys[0].chosen && surveys[1].chosen && !surveys[2].chosen && surveys[3].chosen);
	ck_assert(!surveys[4].chosen); /* the same once more */
}
END_TEST

START_TEST(each_run_has_a_choice_of_its_own)
{
	struct fd_survey surveys[] = { whole(8, 3), whole(1, 2) };

	surveys[1].first.run = 8;
	daemon_fd_queue_choose(surveys, 2);
	ck_assert(surveys[0].chosen && surveys[1].chosen);
}
END_TEST

int main(void)
{
	TCase *format = tcase_create("format");
	tcase_add_test(format, a_header_reads_back);
	tcase_add_test(format, any_changed_byte_is_refused);
	tcase_add_test(format, numbers_that_no_list_has_are_refused);
	tcase_add_test(format, a_list_counts_from_its_first_message_to_its_last);
	tcase_add_test(format, additions_count_in_their_order);
	tcase_add_test(format, an_addition_is_no_beginning);
	tcase_add_test(format, a_message_of_another_list_ends_the_queue);
	tcase_add_test(format, the_latest_whole_list_is_chosen);
	tcase_add_test(format, each_run_has_a_choice_of_its_own);

	Suite *suite = suite_create("fd_queue");
	suite_add_tcase(suite, format);

	return run_suite(suite);
}
