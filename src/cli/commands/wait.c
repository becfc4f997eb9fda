/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl wait: the daemon holds its answer back until the sandbox is in the state, and has its usual time to answer besides.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include "base/cleanup.h"

int command_wait(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	const char *state = cli_args_value(cli->args, "state");
	const char *timeout = cli_args_value(cli->args, "timeout");
	AUTO_FREE char *target = NULL;
	json_t *sandbox = NULL;
	struct err err;
	long seconds = 30;

	if (!id)
		return CLI_USAGE;
	if (timeout && cli_args_number("--timeout", timeout, 0, 300, &seconds, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (asprintf(&target, "/v1/sandboxes/%s?wait=%s&timeout=%ld", id, state ? state : "ready", seconds) < 0)
		abort();
	/* The daemon answers at the timeout. */
	int code = cli_call(cli, "GET", target, NULL, (unsigned)seconds * 1000, &sandbox);
	if (code == CLI_DONE && cli->json)
		cli_print_json(sandbox);
	else if (code == CLI_DONE)
		cli_text_print(stdout, "%s is %s\n", id, client_text(sandbox, "state"));
	json_decref(sandbox);
	return code;
}
