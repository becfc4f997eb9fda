/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/cleanup.h"
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

/* Rows of the table from FIRST on, on a screen of COLUMNS and LINES. */
static const char *shown_part(size_t columns, size_t first, size_t lines, size_t *rows)
{
	free(written);
	FILE *out = open_memstream(&written, &written_size);
	struct screen screen = { .out = out, .columns = columns };
	*rows = cli_table_print_part(table, &screen, first, lines);
	fclose(out);
	return written;
}

/* The whole table, printed on such a screen. */
static const char *shown(bool colour, size_t columns)
{
	free(written);
	FILE *out = open_memstream(&written, &written_size);
	struct screen screen = { .out = out, .colour = colour, .columns = columns };
	cli_table_print(table, &screen);
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
	ck_assert_str_eq(shown(false, 0), "NAME           SIZE  STATE\n"
					  "a                 1  ready\n"
					  "a-long-name  123456  -\n");
	ck_assert_uint_eq(cli_table_rows(table), 2);
}
END_TEST

START_TEST(a_narrow_screen_cuts_only_what_may_be_cut)
{
	two_rows();
	ck_assert_str_eq(shown(false, 21), "NAME      SIZE  STATE\n"
					   "a            1  ready\n"
					   "a-l...  123456  -\n");
}
END_TEST

START_TEST(a_row_that_does_not_fit_is_folded_and_loses_no_column)
{
	two_rows();
	ck_assert_str_eq(shown(false, 20), "NAME           SIZE\n"
					   "    STATE\n"
					   "a                 1\n"
					   "    ready\n"
					   "a-long-name  123456\n"
					   "    -\n");
	/* A number is never cut, and here it has a line of its own. */
	ck_assert_str_eq(shown(false, 10), "NAME\n"
					   "      SIZE\n"
					   "    STATE\n"
					   "a\n"
					   "         1\n"
					   "    ready\n"
					   "a-long-...\n"
					   "    123456\n"
					   "    -\n");
}
END_TEST

START_TEST(an_id_stays_whole_where_its_neighbour_is_cut_or_folded)
{
	static const char *const headings[] = { "ID", "~NAME", NULL };

	table = cli_table_new(headings);
	cli_table_add(table, CELL_PLAIN, "ip5a2vh1q14ne170jpah6");
	cli_table_add(table, CELL_PLAIN, "a-long-name");
	ck_assert_str_eq(shown(false, 29), "ID                     NAME\n"
					   "ip5a2vh1q14ne170jpah6  a-l...\n");
	ck_assert_str_eq(shown(false, 28), "ID\n"
					   "    NAME\n"
					   "ip5a2vh1q14ne170jpah6\n"
					   "    a-long-name\n");
}
END_TEST

START_TEST(long_cells_go_on_in_their_column)
{
	static const char *const headings[] = { "", "|", "|", NULL };

	table = cli_table_new(headings);
	cli_table_add(table, CELL_PLAIN, "tap");
	cli_table_add(table, CELL_PLAIN, "127.0.0.1:20000, [::1]:20000, 192.0.2.1:1");
	cli_table_add(table, CELL_PLAIN, "no process has tap0 open");
	cli_table_add(table, CELL_PLAIN, "x");
	cli_table_add(table, CELL_PLAIN, "one-long-word-without-a-blank");
	cli_table_add(table, CELL_PLAIN, "y");
	ck_assert_str_eq(shown(false, 42), "tap  127.0.0.1:20000,   no process has\n"
					   "     [::1]:20000,       tap0 open\n"
					   "     192.0.2.1:1\n"
					   "x    one-long-word-wit  y\n"
					   "     hout-a-blank\n");
}
END_TEST

START_TEST(a_word_that_fits_on_the_screen_is_not_broken)
{
	static const char *const headings[] = { "", "|", "|", NULL };

	table = cli_table_new(headings);
	cli_table_add(table, CELL_PLAIN, "http");
	cli_table_add(table, CELL_PLAIN, "http://10.11.0.1/health");
	cli_table_add(table, CELL_PLAIN, "the agent answers as it should");
	/* The words of the other column are short. */
	ck_assert_str_eq(shown(false, 48), "http  http://10.11.0.1/health  the agent answers\n"
					   "                               as it should\n");
	cli_table_free(table);
	table = cli_table_new(headings + 1);
	cli_table_add(table, CELL_PLAIN, "boot argument is");
	cli_table_add(table, CELL_PLAIN, "now ip=192.0.2.2::192.0.2.1:255 or so");
	ck_assert_str_eq(shown(false, 36), "boot argument is  now\n"
					   "    ip=192.0.2.2::192.0.2.1:255\n"
					   "                  or so\n");
}
END_TEST

START_TEST(no_line_is_wider_than_the_screen_and_no_cell_is_missing)
{
	two_rows();
	for (size_t columns = 10; columns < 40; columns++) {
		AUTO_FREE char *lines = strdup(shown(false, columns));
		for (char *rest = lines, *line; (line = strsep(&rest, "\n"));)
			ck_assert_msg(strlen(line) <= columns, "%zu: %s", columns, line);
		ck_assert_msg(strstr(written, "ready") && strstr(written, "123456") && strstr(written, "a-"), "%zu: %s",
			      columns, written);
	}
}
END_TEST

START_TEST(a_part_fits_into_its_lines_and_says_how_much_it_was)
{
	size_t rows;

	two_rows();
	ck_assert_str_eq(shown_part(0, 0, 2, &rows), "NAME           SIZE  STATE\n"
						     "a                 1  ready\n");
	ck_assert_uint_eq(rows, 1);
	ck_assert_str_eq(shown_part(0, 1, 9, &rows), "NAME           SIZE  STATE\n"
						     "a-long-name  123456  -\n");
	ck_assert_uint_eq(rows, 1);
	/* Folded, one row takes two lines, as do the headings. */
	shown_part(20, 0, 5, &rows);
	ck_assert_uint_eq(rows, 1);
	shown_part(20, 0, 6, &rows);
	ck_assert_uint_eq(rows, 2);
}
END_TEST

START_TEST(a_paragraph_goes_on_below_itself)
{
	FILE *out = open_memstream(&written, &written_size);
	struct screen screen = { .out = out, .columns = 30 };

	cli_screen_wrap(&screen, CELL_PLAIN, "cause: ", "%s", "no VM is attached to the TAP\033");
	fclose(out);
	ck_assert_str_eq(written, "cause: no VM is attached to\n       the TAP\\x1b\n");
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
	ck_assert_str_eq(shown(true, 0), "\033[31;1mx\033[0m    1\nyyy  2\n");
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

START_TEST(a_text_breaks_at_blanks_and_behind_commas)
{
	size_t next;

	ck_assert_uint_eq(cli_text_break("one two", 9, &next), 7);
	ck_assert_uint_eq(next, 7);
	ck_assert_uint_eq(cli_text_break("one  two", 6, &next), 3);
	ck_assert_uint_eq(next, 5);
	ck_assert_uint_eq(cli_text_break("one two", 3, &next), 3);
	ck_assert_uint_eq(next, 4);
	ck_assert_uint_eq(cli_text_break("80,443,8080", 8, &next), 7);
	ck_assert_uint_eq(next, 7);
	ck_assert_uint_eq(cli_text_break("abcdef", 4, &next), 4);
	ck_assert_uint_eq(next, 4);
	/* A character that is wider than the line goes into it all the same, or there would be no end. */
	ck_assert_uint_eq(cli_text_break("\xc3\xa9", 0, &next), 2);
	ck_assert_uint_eq(cli_text_break("", 4, &next), 0);
	ck_assert_uint_eq(next, 0);
}
END_TEST

START_TEST(bytes_read_short)
{
	char text[TEXT_NUMBER_SIZE];

	ck_assert_str_eq(cli_text_bytes(0, text), "0B");
	ck_assert_str_eq(cli_text_bytes(999, text), "999B");
	ck_assert_str_eq(cli_text_bytes(1000, text), "1.0KiB");
	ck_assert_str_eq(cli_text_bytes(1536, text), "1.5KiB");
	ck_assert_str_eq(cli_text_bytes(10240, text), "10KiB");
	ck_assert_str_eq(cli_text_bytes(1023.9 * 1024, text), "1.0MiB");
	ck_assert_str_eq(cli_text_bytes(5e12, text), "4.5TiB");
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
	tcase_add_test(tables, a_row_that_does_not_fit_is_folded_and_loses_no_column);
	tcase_add_test(tables, an_id_stays_whole_where_its_neighbour_is_cut_or_folded);
	tcase_add_test(tables, long_cells_go_on_in_their_column);
	tcase_add_test(tables, a_word_that_fits_on_the_screen_is_not_broken);
	tcase_add_test(tables, no_line_is_wider_than_the_screen_and_no_cell_is_missing);
	tcase_add_test(tables, a_part_fits_into_its_lines_and_says_how_much_it_was);
	tcase_add_test(tables, a_paragraph_goes_on_below_itself);
	tcase_add_test(tables, colours_do_not_count_for_the_width);

	TCase *texts = tcase_create("texts");
	tcase_add_test(texts, what_others_wrote_cannot_write_on_the_terminal);
	tcase_add_test(texts, a_character_is_never_cut_in_two);
	tcase_add_test(texts, a_text_breaks_at_blanks_and_behind_commas);
	tcase_add_test(texts, bytes_read_short);
	tcase_add_test(texts, durations_read_short);
	tcase_add_test(texts, a_time_reads_as_how_long_ago);

	Suite *suite = suite_create("cli_table");
	suite_add_tcase(suite, tables);
	suite_add_tcase(suite, texts);

	return run_suite(suite);
}
