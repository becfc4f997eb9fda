/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From argv to an exit code. Output that could not be written is a failure too; "weftctl ls > /full/disk" must not exit with 0.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/standard_fds.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/terminal.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cli_fail_with(const struct cli *cli, const char *format, va_list args)
{
	AUTO_FREE char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		abort();
	cli_terminal_leave(); /* else the text is gone with the screen that `top` draws on */
	fflush(stdout);
	if (cli->args->command)
		cli_text_print(stderr, "weftctl %s: %s\n", cli->args->command->name, text);
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

static bool cli_is_id(const char *id)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t length = strlen(id);

	return length && length <= 64 && strchr(first, id[0]) &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

const char *cli_sandbox_id(const struct cli *cli)
{
	const char *id = cli->args->operands[0];

	if (cli_is_id(id))
		return id;
	cli_usage(
	    cli, "ID '%s': an id has 1 to 64 letters, digits, '_', '.' and '-', and begins with a letter or digit", id);
	return NULL;
}

/* Help and version, or the command itself. */
static int cli_dispatch(const struct cli *cli)
{
	const struct args *args = cli->args;

	if (args->version) {
		puts("weftctl " PACKAGE_VERSION);
		return CLI_DONE;
	}
	if (args->help) {
		if (args->command)
			cli_args_print_command(stdout, args->command);
		else
			cli_args_print_usage(stdout, commands);
		return CLI_DONE;
	}
	return args->command->run(cli);
}

int cli_main(int argc, char **argv)
{
	struct args args;
	struct err err;
	struct cli cli = { .args = &args };
	int code;

	if (base_fill_standard_fds() < 0)
		return CLI_FAILED;
	setlocale(LC_CTYPE, "");
	if (cli_args_parse(&args, argc, argv, commands, &err) < 0) {
		code = cli_usage(&cli, "%s", err.text);
	} else {
		cli.socket = args.socket ? args.socket : ARGS_SOCKET_DEFAULT;
		cli.deadline_ms = 1000 * (unsigned)(args.deadline_s ? args.deadline_s : ARGS_DEADLINE_DEFAULT_S);
		cli.json = args.json;
		cli.screen = cli_screen_of(stdout);
		code = cli_dispatch(&cli);
	}
	errno = 0;
	if ((fflush(stdout) != 0 || ferror(stdout)) && (code == CLI_DONE || code == CLI_FAULT))
		code = cli_fail_output(&cli, errno);
	cli_args_clear(&args);
	return code;
}
