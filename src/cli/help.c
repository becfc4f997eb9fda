/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and options are a table, whose texts wrap where the screen ends, and the rest are paragraphs. Off a terminal the lines are
 * as long as in a manual.
 */
#include "cli/help.h"

#include "base/cleanup.h"
#include "cli/print_table.h"

#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMNS = 80 };

static const char *const help_headings[] = { "", "|", NULL };

static void cli_help_add_option(struct table *table, const struct option_spec *option)
{
	const char *letter = cli_args_letter(option->name);

	cli_table_addf(table, CELL_PLAIN, "  %s%s--%s%s%s%s", letter ? letter : "", letter ? ", " : "", option->name,
		       option->value ? " " : "", option->value ? option->value : "", option->repeats ? " ..." : "");
	cli_table_add(table, CELL_PLAIN, option->text);
}

static struct screen cli_help_screen(FILE *out)
{
	struct screen screen = cli_screen_of(out);

	if (!screen.columns)
		screen.columns = HELP_COLUMNS;
	return screen;
}

/* Where the source breaks the lines of TEXT counts for nothing. */
static void cli_help_print_text(const struct screen *screen, const char *text)
{
	AUTO_FREE char *line = strdup(text);

	if (!line)
		abort();
	for (char *at = line; (at = strchr(at, '\n'));)
		*at = ' ';
	fputc('\n', screen->out);
	cli_screen_wrap(screen, CELL_PLAIN, "", "%s", line);
}

static void cli_help_print_table(const struct screen *screen, struct table *table)
{
	cli_table_print(table, screen);
	cli_table_free(table);
}

void cli_help_print(FILE *out, const struct command *commands)
{
	const struct screen help = cli_help_screen(out), *screen = &help;
	struct table *names = cli_table_new(help_headings), *options = cli_table_new(help_headings);

	for (; commands->name; commands++) {
		cli_table_addf(names, CELL_PLAIN, "  %s", commands->name);
		cli_table_add(names, CELL_PLAIN, commands->summary);
	}
	for (const struct option_spec *option = cli_args_common_options(); option->name; option++)
		cli_help_add_option(options, option);

	cli_screen_wrap(screen, CELL_PLAIN, "usage: ", "weftctl [--socket PATH] [--deadline S] [--json] COMMAND ...");
	fputc('\n', screen->out);
	cli_screen_wrap(screen, CELL_PLAIN, "", "Registers sandboxes with weftd, shows their state and finds faults.");
	fputs("\ncommands:\n", screen->out);
	cli_help_print_table(screen, names);
	fputs("\noptions:\n", screen->out);
	cli_help_print_table(screen, options);
	cli_help_print_text(
	    screen, "'weftctl help COMMAND' says more. Where nothing is changed, the beginning of an ID is enough if "
		    "it is that of one sandbox alone. Exit codes: 0 done, 1 failed, 2 usage, 3 no such sandbox, "
		    "4 daemon not reachable, 5 diagnose or doctor found a fault.");
}

void cli_help_print_command(FILE *out, const struct command *command)
{
	const struct screen help = cli_help_screen(out), *screen = &help;
	struct table *options = cli_table_new(help_headings);

	cli_screen_wrap(screen, CELL_PLAIN, "usage: ", "weftctl %s%s%s%s", command->name,
			command->options ? " [OPTION...]" : "", *command->operands ? " " : "", command->operands);
	fputc('\n', screen->out);
	cli_screen_wrap(screen, CELL_PLAIN, "", "%s.", command->summary);
	if (command->text)
		cli_help_print_text(screen, command->text);
	fputs("\noptions:\n", screen->out);
	for (const struct option_spec *option = command->options; option && option->name; option++)
		cli_help_add_option(options, option);
	for (const struct option_spec *option = cli_args_common_options(); option->name; option++)
		if (strcmp(option->name, "version") != 0 && !(command->no_json && strcmp(option->name, "json") == 0))
			cli_help_add_option(options, option);
	cli_help_print_table(screen, options);
}
