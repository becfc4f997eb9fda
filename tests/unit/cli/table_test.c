/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/print_table.h"
#include "cli/print_text.h"
#include "unit/run_suite.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static struct table *table;
static char *written;
static size_t written_size;

static void teardown(void)
{
	cli_table_free(table);
	table = NULL;
	free(written);
	written = NULL;
}

/* The table, printed on such a screen. */
static const char *shown(bool colour, size_t columns, size_t rows)
{
	free(written);
	FILE *out = open_memstream(&written, &written_size);
	struct screen screen = { .out = out, .colour = colour, .columns = columns };
	cli_table_print(table, &screen, rows);
	fclose(out);
	return written;
}

static void two_rows(void)
{
	static const char *const headings[] = { "~NAME", ">SIZE", "STATE", NULL };

	table = cli_table_new(headings);
	cli_table_add(table, CELL_PLAIN, "a");
	cli_table_add(table, CELL_PLAIN, "1");
	cli_table_add(table, CELL_GOOD, "ready");
	cli_table_add(table, CELL_PLAIN, "a-long-name");
	cli_table_add(table, CELL_PLAIN, "123456");
	cli_table_add(table, CELL_PLAIN, "");
}

START_TEST(columns_are_aligned_and_nothing_trails)
{
	two_rows();
	ck_assert_str_eq(shown(false, 0, 0), "NAME           SIZE  STATE\n"
					     "a                 1  ready\n"
					     "a-long-name  123456  -\n");
	ck_assert_uint_eq(cli_table_rows(table), 2);
	ck_assert_str_eq(shown(false, 0, 1), "NAME  SIZE  STATE\na        1  ready\n");
}
END_TEST

START_TEST(a_narrow_screen_cuts_only_what_may_be_cut)
{
	two_rows();
	ck_assert_str_eq(shown(false, 21, 0), "NAME      SIZE  STATE\n"
					      "a            1  ready\n"
					      "a-lon~  123456  -\n");
	/* If even that does not fit, the last columns go. */
	ck_assert_str_eq(shown(false, 20, 0), "NAME      SIZE\n"
					      "a            1\n"
					      "a-lon~  123456\n");
	ck_assert_str_eq(shown(false, 5, 0), "NAME\na\na-lon~\n");
}
END_TEST

START_TEST(colours_do_not_count_for_the_width)
{
	static const char *const headings[] = { "", "", NULL };

	table = cli_table_new(headings);
	cli_table_add(table, CELL_BAD, "x");
	cli_table_add(table, CELL_PLAIN, "1");
	cli_table_add(table, CELL_PLAIN, "yyy");
	cli_table_add(table, CELL_PLAIN, "2");
	ck_assert_str_eq(shown(true, 0, 0), "\033[31;1mx\033[0m    1\nyyy  2\n");
}
END_TEST

START_TEST(what_others_wrote_cannot_write_on_the_terminal)
{
	char *cleaned = cli_text_clean("a\033[2Jb\nc\x7f\xc2\x9b\xe2\x80\xae\xff\xc0\x80z");

	ck_assert_str_eq(cleaned, "a\\x1b[2Jb\\x0ac\\x7f\\x9b\\x202e???z");
	free(cleaned);
	cleaned = cli_text_clean("caf\xc3\xa9 \xf0\x9f\x90\xbb");
	ck_assert_str_eq(cleaned, "caf\xc3\xa9 \xf0\x9f\x90\xbb");
	free(cleaned);
}
END_TEST

START_TEST(a_character_is_never_cut_in_two)
{
	ck_assert_uint_eq(cli_text_fit("\xc3\xa9\xc3\xa9\xc3\xa9", 2), 4);
	ck_assert_uint_eq(cli_text_width("\xc3\xa9\xc3\xa9"), 2);
	ck_assert_uint_eq(cli_text_fit("abc", 9), 3);
}
END_TEST

START_TEST(bytes_read_short)
{
	char text[TEXT_NUMBER_SIZE];

	ck_assert_str_eq(cli_text_bytes(0, text), "0");
	ck_assert_str_eq(cli_text_bytes(999, text), "999");
	ck_assert_str_eq(cli_text_bytes(1000, text), "1.0K");
	ck_assert_str_eq(cli_text_bytes(1536, text), "1.5K");
	ck_assert_str_eq(cli_text_bytes(10240, text), "10K");
	ck_assert_str_eq(cli_text_bytes(1023.9 * 1024, text), "1.0M");
	ck_assert_str_eq(cli_text_bytes(5e12, text), "4.5T");
}
END_TEST

START_TEST(durations_read_short)
{
	char text[TEXT_NUMBER_SIZE];

	ck_assert_str_eq(cli_text_duration(0, text), "0ms");
	ck_assert_str_eq(cli_text_duration(9500, text), "9.5s");
	ck_assert_str_eq(cli_text_duration(59999, text), "59s");
	ck_assert_str_eq(cli_text_duration(192000, text), "3m12s");
	ck_assert_str_eq(cli_text_duration(18420000, text), "5h07m");
	ck_assert_str_eq(cli_text_duration(1051200000, text), "12d04h");
}
END_TEST

START_TEST(a_time_reads_as_how_long_ago)
{
	char text[TEXT_NUMBER_SIZE];
	int64_t noon = 1768392000000; /* 2026-01-14T12:00:00Z */

	ck_assert_str_eq(cli_text_since("2026-01-14T11:59:57Z", noon, text), "3s");
	ck_assert_str_eq(cli_text_since("2026-01-14T11:00:00Z", noon, text), "1h00m");
	/* The clock was set back. */
	ck_assert_str_eq(cli_text_since("2026-01-14T13:00:00Z", noon, text), "0s");
	ck_assert_str_eq(cli_text_since(NULL, noon, text), "-");
	ck_assert_str_eq(cli_text_since("soon", noon, text), "soon");
}
END_TEST

int main(void)
{
	TCase *tables = tcase_create("tables");
	tcase_add_checked_fixture(tables, NULL, teardown);
	tcase_add_test(tables, columns_are_aligned_and_nothing_trails);
	tcase_add_test(tables, a_narrow_screen_cuts_only_what_may_be_cut);
	tcase_add_test(tables, colours_do_not_count_for_the_width);

	TCase *texts = tcase_create("texts");
	tcase_add_test(texts, what_others_wrote_cannot_write_on_the_terminal);
	tcase_add_test(texts, a_character_is_never_cut_in_two);
	tcase_add_test(texts, bytes_read_short);
	tcase_add_test(texts, durations_read_short);
	tcase_add_test(texts, a_time_reads_as_how_long_ago);

	Suite *suite = suite_create("cli_table");
	suite_add_tcase(suite, tables);
	suite_add_tcase(suite, texts);

	return run_suite(suite);
}
