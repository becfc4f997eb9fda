/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/options.h"
#include "unit/run_suite.h"

#include <check.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct options options;

static int parse(int argc, const char *const *argv)
{
	optind = 0; /* getopt_long(3) starts anew */
	return daemon_options_parse(argc, (char **)argv,
				    &options); /* it permutes the pointers, and leaves the strings alone */
}

#define PARSE(...)                                                                                                     \
	parse((int)(sizeof((const char *[]){ "weftd", __VA_ARGS__ }) / sizeof(const char *)),                          \
	      (const char *[]){ "weftd", __VA_ARGS__, NULL })

START_TEST(without_arguments_it_runs_with_the_default_paths)
{
	const char *argv[] = { "weftd", NULL };

	ck_assert_int_eq(parse(1, argv), 0);
	ck_assert_int_eq(options.mode, WEFTD_RUN);
	ck_assert_ptr_null(options.config);
	ck_assert_str_eq(options.socket, "/run/weft/control.sock");
	ck_assert_str_eq(options.state_dir, "/run/weft/state");
	ck_assert(!options.foreground);
}
END_TEST

START_TEST(each_option_is_taken)
{
	ck_assert_int_eq(PARSE("--config", "a.conf", "--socket=b.sock", "--state-dir", "c", "--foreground"), 0);
	ck_assert_str_eq(options.config, "a.conf");
	ck_assert_str_eq(options.socket, "b.sock");
	ck_assert_str_eq(options.state_dir, "c");
	ck_assert(options.foreground);
	ck_assert_int_eq(PARSE("--check"), 0);
	ck_assert_int_eq(options.mode, WEFTD_CHECK);
	ck_assert_int_eq(PARSE("--cleanup"), 0);
	ck_assert_int_eq(options.mode, WEFTD_CLEANUP);
	ck_assert_int_eq(PARSE("--version"), 0);
	ck_assert_int_eq(options.mode, WEFTD_VERSION);
	ck_assert_int_eq(PARSE("--help"), 0);
	ck_assert_int_eq(options.mode, WEFTD_HELP);
}
END_TEST

/* What the last parse() wrote to stderr. */
static char *said(int argc, const char *const *argv)
{
	static char text[512];
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);

	ck_assert_ptr_nonnull(file);
	dup2(fileno(file), STDERR_FILENO);
	ck_assert_int_eq(parse(argc, argv), -1);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

START_TEST(modes_exclude_each_other)
{
	const char *pairs[][4] = { { "weftd", "--check", "--cleanup", NULL },
				   { "weftd", "--cleanup", "--check", NULL },
				   { "weftd", "--version", "--cleanup", NULL },
				   { "weftd", "--check", "--version", NULL } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *text = said(3, pairs[i]);
		ck_assert_ptr_nonnull(strstr(text, pairs[i][1]));
		ck_assert_ptr_nonnull(strstr(text, pairs[i][2]));
		ck_assert_ptr_nonnull(strstr(text, "exclude each other"));
	}
	ck_assert_int_eq(PARSE("--check", "--check"), 0);
}
END_TEST

START_TEST(a_condition_of_the_cleanup_needs_it)
{
	const char *alone[] = { "weftd", "--unless-live", NULL };

	ck_assert_int_eq(PARSE("--cleanup"), 0);
	ck_assert(!options.unless_live);
	ck_assert_int_eq(PARSE("--unless-live", "--cleanup"), 0);
	ck_assert_int_eq(options.mode, WEFTD_CLEANUP);
	ck_assert(options.unless_live);
	ck_assert_ptr_nonnull(strstr(said(2, alone), "--unless-live goes with --cleanup"));
}
END_TEST

START_TEST(a_condition_of_the_check_needs_it)
{
	const char *alone[] = { "weftd", "--before-restart", NULL };
	const char *cleanup[] = { "weftd", "--cleanup", "--before-restart", NULL };

	ck_assert_int_eq(PARSE("--check"), 0);
	ck_assert(!options.before_restart);
	ck_assert_int_eq(PARSE("--before-restart", "--check"), 0);
	ck_assert_int_eq(options.mode, WEFTD_CHECK);
	ck_assert(options.before_restart);
	ck_assert_ptr_nonnull(strstr(said(2, alone), "--before-restart goes with --check"));
	ck_assert_ptr_nonnull(strstr(said(3, cleanup), "--before-restart goes with --check"));
}
END_TEST

START_TEST(help_is_all_that_is_done)
{
	ck_assert_int_eq(PARSE("--help", "--cleanup"), 0);
	ck_assert_int_eq(options.mode, WEFTD_HELP);
	ck_assert_int_eq(PARSE("--cleanup", "--help"), 0);
	ck_assert_int_eq(options.mode, WEFTD_HELP);
}
END_TEST

START_TEST(what_it_does_not_know_is_named)
{
	const char *unknown[] = { "weftd", "--frobnicate", NULL };
	const char *extra[] = { "weftd", "start", NULL };
	const char *lacking[] = { "weftd", "--config", NULL };

	ck_assert_ptr_nonnull(strstr(said(2, unknown), "frobnicate"));
	ck_assert_ptr_nonnull(strstr(said(2, extra), "'start'"));
	ck_assert_ptr_nonnull(strstr(said(2, lacking), "config"));
}
END_TEST

int main(void)
{
	TCase *parsing = tcase_create("parsing");
	tcase_add_test(parsing, without_arguments_it_runs_with_the_default_paths);
	tcase_add_test(parsing, each_option_is_taken);
	tcase_add_test(parsing, what_it_does_not_know_is_named);
	tcase_add_test(parsing, modes_exclude_each_other);
	tcase_add_test(parsing, a_condition_of_the_cleanup_needs_it);
	tcase_add_test(parsing, a_condition_of_the_check_needs_it);
	tcase_add_test(parsing, help_is_all_that_is_done);

	Suite *suite = suite_create("options");
	suite_add_tcase(suite, parsing);

	return run_suite(suite);
}
