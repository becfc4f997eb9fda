/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/complete.h"

#include "cli/commands.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *told;

/* How LINE, whose last word may be empty, can go on. */
static const char *completed(const char *line)
{
	char *copy = strdup(line), *rest = copy, *words[16];
	size_t count = 0, size;

	free(told);
	FILE *out = open_memstream(&told, &size);
	while ((words[count] = strsep(&rest, " ")))
		count++;
	cli_complete(out, commands, words, count);
	fclose(out);
	free(copy);
	return told;
}

static bool offers(const char *line, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = completed(line); *at; at = strchr(at, '\n') + 1)
		if (strncmp(at, word, length) == 0 && strchr("\t\n", at[length]))
			return true;
	return false;
}

static void forget(void)
{
	free(told);
	told = NULL;
}

START_TEST(every_command_and_every_option_is_offered_with_its_text)
{
	for (const struct command *command = commands; command->name; command++) {
		char line[64], option_text[512];

		snprintf(line, sizeof(line), "%.3s", command->name);
		ck_assert_msg(offers(line, command->name), "%s", command->name);
		ck_assert_ptr_nonnull(strstr(told, command->summary));
		snprintf(line, sizeof(line), "%s --", command->name);
		ck_assert(offers(line, "--socket") && offers(line, "--help"));
		for (const struct option_spec *option = command->options; option && option->name; option++) {
			snprintf(option_text, sizeof(option_text), "--%s\t%s\n", option->name, option->text);
			ck_assert_msg(strstr(completed(line), option_text) != NULL, "%s", option_text);
		}
	}
	ck_assert(offers("", "register"));
}
END_TEST

START_TEST(only_what_begins_as_the_word_is_offered)
{
	ck_assert_str_eq(completed("unreg"), "unregister\tRemove sandboxes and their networks\n");
	ck_assert_str_eq(completed("frob"), "");
	ck_assert_str_eq(completed("ls --xyz"), "");
	ck_assert(!offers("ls --", "--drain"));
}
END_TEST

START_TEST(values_of_options_are_offered)
{
	ck_assert_str_eq(completed("wait a --state re"), "ready\n");
	ck_assert_str_eq(completed("wait a --state=re"), "--state=ready\n");
	/* As bash divides it. */
	ck_assert_str_eq(completed("wait a --state = re"), "ready\n");
	ck_assert(offers("wait a --state =", "ready"));
	ck_assert_str_eq(completed("register a --body "), ":files\n");
	ck_assert_str_eq(completed("--socket "), ":files\n");
	ck_assert_str_eq(completed("register a --ready-port "), "");
	ck_assert_str_eq(completed("ls --json=x"), "");
	ck_assert_str_eq(completed("ls --frob=x"), "");
}
END_TEST

START_TEST(operands_are_offered_by_their_kind)
{
	ck_assert(offers("help ", "register"));
	ck_assert_str_eq(completed("help register "), "");
	ck_assert_str_eq(completed("--socket /nowhere exec a "), ":commands\n");
	ck_assert_str_eq(completed("exec a -- ls"), ":commands\n");
	ck_assert_str_eq(completed("exec a -- ls --"), ":files\n");
	ck_assert_str_eq(completed("register "), "");
	ck_assert_str_eq(completed("--socket /nowhere show "), "");
	ck_assert_str_eq(completed("--socket=/nowhere unpublish a "), "");
	/* Behind a word that is no command, one is still missing. */
	ck_assert(offers("frob ", "register"));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("complete");
	tcase_add_checked_fixture(tcase, NULL, forget);
	tcase_add_test(tcase, every_command_and_every_option_is_offered_with_its_text);
	tcase_add_test(tcase, only_what_begins_as_the_word_is_offered);
	tcase_add_test(tcase, values_of_options_are_offered);
	tcase_add_test(tcase, operands_are_offered_by_their_kind);

	Suite *suite = suite_create("cli_complete");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}
