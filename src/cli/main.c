/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From argv to an exit code. Output that could not be written is a failure too; "weftctl ls > /full/disk" must not exit with 0.
 */
#include "base/err.h"
#include "base/standard_fds.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/help.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

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
			cli_help_print_command(stdout, args->command);
		else
			cli_help_print(stdout, commands);
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
	if (argc > 1 && strcmp(argv[1], COMPLETE_COMMAND) == 0) {
		cli_complete(stdout, commands, argv + 2, (size_t)argc - 2);
		return CLI_DONE;
	}
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
