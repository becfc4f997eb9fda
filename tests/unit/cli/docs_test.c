/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manual page against the table of commands: it has every command and option.
 */
#include "cli/commands.h"
#include "forwarder/forwarder.h"
#include "registry/registry.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 65536 };

/* FILE of the source tree, as text without backslashes (the manual's "\-"); the caller frees it. */
static char *read_source(const char *file)
{
	const char *top = getenv("srcdir");
	char *text = calloc(1, TEXT_MAX), *out = text;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", file);
	FILE *stream = fopen(path, "re");
	ck_assert_msg(stream != NULL, "%s", path);
	ck_assert_uint_lt(fread(text, 1, TEXT_MAX, stream), TEXT_MAX - 1);
	fclose(stream);
	for (const char *in = text; *in; in++)
		if (*in != '\\')
			*out++ = *in;
	*out = '\0';
	return text;
}

/* The part of the page about COMMAND: from its heading to the next one. */
static char *section_of(const char *page, const char *command)
{
	char plain[64], quoted[64];

	snprintf(plain, sizeof(plain), "\n.SS %s\n", command);
	snprintf(quoted, sizeof(quoted), "\n.SS \"%s ", command);
	const char *begin = strstr(page, plain);
	if (!begin)
		begin = strstr(page, quoted);
	ck_assert_msg(begin != NULL, "the manual has no section for %s", command);
	const char *end = strstr(begin + 1, "\n.S");
	return strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

/* Whether TEXT has NAME as a whole word, "--port" and not "--ports". */
static bool has_word(const char *text, const char *name)
{
	for (const char *at = text; (at = strstr(at, name)); at++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz-", at[strlen(name)]) || !at[strlen(name)])
			return true;
	return false;
}

START_TEST(the_manual_has_every_command_and_option)
{
	char *page = read_source("man/weftctl.1.in");

	for (const struct command *command = commands; command->name; command++) {
		char *section = section_of(page, command->name);
		for (const struct option_spec *option = command->options; option && option->name; option++) {
			char name[64];
			snprintf(name, sizeof(name), "--%s", option->name);
			ck_assert_msg(has_word(section, name), "the manual's %s lacks %s", command->name, name);
		}
		free(section);
	}
	ck_assert(has_word(page, "--socket") && has_word(page, "--deadline") && has_word(page, "--json") &&
		  has_word(page, "--version"));
	free(page);
}
END_TEST

START_TEST(the_manual_has_no_other_command)
{
	char *page = read_source("man/weftctl.1.in");

	for (char *line = strstr(page, "\n.SS "); line; line = strstr(line + 1, "\n.SS ")) {
		const char *name = line + 5 + (line[5] == '"');
		size_t length = strcspn(name, " \"\n");
		bool known = false;
		for (const struct command *command = commands; command->name; command++)
			known = known || (strlen(command->name) == length && !strncmp(command->name, name, length));
		ck_assert_msg(known, "the manual has '%.*s'", (int)length, name);
	}
	free(page);
}
END_TEST

/* The text of the page between HEADING and the next one. */
static char *part_of(const char *page, const char *heading)
{
	const char *begin = strstr(page, heading);
	ck_assert_msg(begin != NULL, "the manual has no %s", heading);
	const char *end = strstr(begin + 1, "\n.SH ");
	ck_assert_ptr_nonnull(end);
	return strndup(begin, (size_t)(end - begin));
}

START_TEST(the_manual_has_every_state_and_every_reason)
{
	char *page = read_source("man/weftctl.1.in");
	char *states = part_of(page, "\n.SH STATES\n"), *reasons = part_of(page, "\n.SH \"HOW CONNECTIONS END\"\n");

	for (unsigned i = 0; i < SANDBOX_STATES; i++)
		ck_assert_msg(has_word(states, registry_sandbox_state_name((enum sandbox_state)i)),
			      "the manual lacks %s", registry_sandbox_state_name((enum sandbox_state)i));
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		ck_assert_msg(has_word(reasons, fwd_close_reason_name((enum fwd_close_reason)i)), "the manual lacks %s",
			      fwd_close_reason_name((enum fwd_close_reason)i));
	free(reasons);
	free(states);
	free(page);
}
END_TEST

int main(void)
{
	TCase *documents = tcase_create("documents");
	tcase_add_test(documents, the_manual_has_every_command_and_option);
	tcase_add_test(documents, the_manual_has_no_other_command);
	tcase_add_test(documents, the_manual_has_every_state_and_every_reason);

	Suite *suite = suite_create("cli_docs");
	suite_add_tcase(suite, documents);

	return run_suite(suite);
}
