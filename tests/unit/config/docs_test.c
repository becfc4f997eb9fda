/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manual page and the sample file against the table of options: each has every option, with its default, and none that
 * does not exist.
 */
#include "config/config.h"
#include "config/loading.h"
#include "unit/run_suite.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 65536 };

/* FILE of the source tree, as text; the caller frees it. */
static char *read_source(const char *file)
{
	const char *top = getenv("srcdir");
	char *text = calloc(1, TEXT_MAX);
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", file);
	FILE *stream = fopen(path, "re");
	ck_assert_msg(stream != NULL, "%s", path);
	ck_assert_uint_lt(fread(text, 1, TEXT_MAX, stream), TEXT_MAX);
	fclose(stream);
	return text;
}

/* The line at *REST without its end, or NULL; *REST is moved behind it. */
static char *next_line(char **rest)
{
	return strsep(rest, "\n");
}

/* Takes the manual's `\-' and `\e' back. */
static char *unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (*in == '\\' && (in[1] == '-' || in[1] == 'e'))
			*out++ = *++in == '-' ? '-' : '\\';
		else
			*out++ = *in;
	}
	*out = '\0';
	return text;
}

/* Writes the options of the manual PAGE to OUT in the form of config_print_options(). */
static void print_manual_options(char *page, FILE *out)
{
	char *section = NULL;

	for (char *line = next_line(&page); line; line = next_line(&page)) {
		if (strncmp(line, ".SS [", 5) == 0) {
			section = line + 4;
			continue;
		}
		if (strncmp(line, ".SH ", 4) == 0)
			section = NULL;
		if (!section || strcmp(line, ".TP") != 0)
			continue;

		char *head = unescape(next_line(&page)), *text = unescape(next_line(&page));
		char *value = strstr(head, "\\fR =");
		ck_assert_msg(strncmp(head, "\\fB", 3) == 0 && value, "not an option: %s", head);
		*value = '\0';
		value += strlen("\\fR =");
		ck_assert_str_eq(next_line(&page), ".br");
		fprintf(out, "%s %s =%s\n\t%s\n\t%s\n", section, head + 3, *value ? value : " ", text,
			unescape(next_line(&page)));
	}
}

START_TEST(the_manual_has_every_option_as_it_is)
{
	char *page = read_source("man/weftd.conf.5.in"), *manual = NULL, *table = NULL;
	size_t size;

	FILE *out = open_memstream(&manual, &size);
	print_manual_options(page, out);
	fclose(out);
	out = open_memstream(&table, &size);
	config_print_options(out);
	fclose(out);

	char *manual_rest = manual, *table_rest = table;
	while (manual_rest && table_rest) /* line by line, so that a failure names the option */
		ck_assert_str_eq(next_line(&manual_rest), next_line(&table_rest));
	ck_assert_ptr_eq(manual_rest, table_rest);
	free(page);
	free(manual);
	free(table);
}
END_TEST

static struct config *load(const char *text, struct config_mistakes *mistakes)
{
	FILE *stream = fmemopen((void *)text, strlen(text), "r");
	struct config *config = config_load_stream(stream, "sample", NULL, mistakes);

	fclose(stream);
	ck_assert_msg(config != NULL, "%s", mistakes->count ? mistakes->items[0].text : "");
	return config;
}

START_TEST(the_sample_as_it_ships_is_accepted)
{
	struct config_mistakes mistakes = { 0 };
	char *sample = read_source("conf/weftd.conf");

	config_free(load(sample, &mistakes));
	config_mistakes_clear(&mistakes);
	free(sample);
}
END_TEST

/* Takes the `#' from the lines that are options; prose has a blank behind it. */
static void uncomment(char *text)
{
	for (char *c = text; *c; c++)
		if (*c == '#' && (c == text || c[-1] == '\n') && islower((unsigned char)c[1]))
			*c = '\n';
}

START_TEST(the_sample_uncommented_is_the_defaults_all_of_them)
{
	struct config_mistakes mistakes = { 0 };
	struct config *defaults = config_default();
	char *sample = read_source("conf/weftd.conf");

	uncomment(sample);
	struct config *config = load(sample, &mistakes);
	for (size_t i = 0; i < option_count; i++) {
		char *given = config_option_print(&option_table[i], config);
		char *initial = config_option_print(&option_table[i], defaults);

		ck_assert_msg(((struct loaded_config *)config)->lines[i] > 0, "[%s] %s is not in the sample",
			      option_table[i].section, option_table[i].key);
		ck_assert_str_eq(given, initial);
		free(given);
		free(initial);
	}
	config_free(config);
	config_free(defaults);
	config_mistakes_clear(&mistakes);
	free(sample);
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("docs");
	tcase_add_test(cases, the_manual_has_every_option_as_it_is);
	tcase_add_test(cases, the_sample_as_it_ships_is_accepted);
	tcase_add_test(cases, the_sample_uncommented_is_the_defaults_all_of_them);

	Suite *suite = suite_create("docs");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}
