/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl unregister: removes a sandbox at once, or gives its connections time to end.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

/* CONTEXT: the seconds of --drain. */
static int command_unregister_one(const struct cli *cli, const char *id, void *context)
{
	const char *drain = cli_args_value(cli->args, "drain");
	const long *seconds = context;
	AUTO_FREE char *target = NULL;
	json_t *sandbox = NULL;

	if (asprintf(&target, "/v1/sandboxes/%s%s%s", id, drain ? "?drain=" : "", drain ? drain : "") < 0)
		abort();
	int code = cli_call(cli, "DELETE", target, NULL, 0, &sandbox);
	if (code == CLI_DONE && cli->json)
		cli_print_json(sandbox);
	else if (code == CLI_DONE && sandbox)
		cli_text_print(stdout,
			       "%s is draining: it goes when its connections have ended, in %ld s at the latest\n", id,
			       *seconds);
	else if (code == CLI_DONE)
		cli_text_print(stdout, "unregistered %s\n", id);
	json_decref(sandbox);
	return code;
}

int command_unregister(const struct cli *cli)
{
	const char *drain = cli_args_value(cli->args, "drain");
	struct err err;
	long seconds = 0;

	if (drain && cli_args_number("--drain", drain, 0, 86400, &seconds, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	return cli_ids_each(cli, command_unregister_one, &seconds);
}
