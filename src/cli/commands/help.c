/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl help: the texts of --help, asked for as git and docker have it.
 */
#include "cli/help.h"
#include "base/err.h"
#include "cli/commands.h"

int command_help(const struct cli *cli)
{
	const char *name = cli->args->operands[0];
	const struct command *command;
	struct err err;

	if (!name) {
		cli_help_print(stdout, commands);
		return CLI_DONE;
	}
	command = cli_args_find_command(commands, name);
	if (!command) {
		cli_args_no_command(name, commands, &err);
		return cli_usage(cli, "%s", err.text);
	}
	cli_help_print_command(stdout, command);
	return CLI_DONE;
}
