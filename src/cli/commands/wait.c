/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl wait: the daemon parks the answer until it is so; here is only the patience.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include "base/cleanup.h"

int cmd_wait(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	const char *state = args_value(cli->args, "state");
	const char *timeout = args_value(cli->args, "timeout");
	AUTO_FREE char *target = NULL;
	json_t *sandbox = NULL;
	struct err err;
	long seconds = 30;

	if (!id)
		return CLI_USAGE;
	if (timeout && args_number("--timeout", timeout, 0, 300, &seconds, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (asprintf(&target, "/v1/sandboxes/%s?wait=%s&timeout=%ld", id, state ? state : "ready", seconds) < 0)
		abort();
	/* The daemon answers at its timeout; ours is for a daemon that does not. */
	int code = api_call(cli, "GET", target, NULL, (unsigned)seconds * 1000 + 10000, &sandbox);
	if (code == CLI_DONE && cli->json)
		api_print(sandbox);
	else if (code == CLI_DONE)
		text_print(stdout, "%s is %s\n", id, api_text(sandbox, "state"));
	json_decref(sandbox);
	return code;
}
