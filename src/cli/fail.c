/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of commands, in one form: the program, the command, which of several sandboxes, the reason.
 */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/print_text.h"
#include "cli/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void cli_fail_with(const struct cli *cli, const char *format, va_list args)
{
	AUTO_FREE char *text = cli_text_format(format, args);

	cli_terminal_leave(); /* else the text is gone with the screen that `top` draws on */
	fflush(stdout);
	if (cli->args->command)
		cli_text_print(stderr, "weftctl %s: %s%s%s\n", cli->args->command->name,
			       cli->subject ? cli->subject : "", cli->subject ? ": " : "", text);
	else
		cli_text_print(stderr, "weftctl: %s\n", text);
}

int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cli_fail_with(cli, format, args);
	va_end(args);
	return code;
}

int cli_fail_output(const struct cli *cli, int code)
{
	return cli_fail(cli, CLI_FAILED, "writing the output: %s", code ? strerror(code) : "failed");
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	const struct command *command = cli->args->command;
	va_list args;

	va_start(args, format);
	cli_fail_with(cli, format, args);
	va_end(args);
	fprintf(stderr, "See 'weftctl %s%s--help'.\n", command ? command->name : "", command ? " " : "");
	return command && command->runs_program ? CLI_EXEC_FAILED : CLI_USAGE;
}
