/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl wait: the daemon holds its answer back until the sandbox is in the state, and has its usual time to answer besides.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

int command_wait(const struct cli *cli)
{
	struct cli_id id;
	const char *state = cli_args_value(cli->args, "state");
	const char *timeout = cli_args_value(cli->args, "timeout");
	json_t *sandbox = NULL;
	struct err err;
	long seconds = 30;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	if (timeout && cli_args_number("--timeout", timeout, 0, 300, &seconds, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	/* The daemon answers at the timeout. */
	int code = cli_get_sandbox(cli, &id, (unsigned)seconds * 1000, &sandbox, "?wait=%s&timeout=%ld",
				   state ? state : "ready", seconds);
	if (code == CLI_DONE && cli->json)
		cli_print_json(sandbox);
	else if (code == CLI_DONE)
		cli_text_print(stdout, "%s is %s\n", id.text, client_text(sandbox, "state"));
	json_decref(sandbox);
	return code;
}
