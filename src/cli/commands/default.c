/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl default: puts a sandbox behind the default endpoint, in the place of another.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

int command_default(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	bool off = cli_args_has(cli->args, "off");
	json_t *sandbox = NULL;

	if (!id)
		return CLI_USAGE;
	json_t *wanted = off ? json_false() : json_string("take");
	int code = cli_patch(cli, id, json_pack("{s:o}", "default", wanted), &sandbox);
	if (code == CLI_DONE && !cli->json)
		cli_text_print(stdout, "%s is %s\n", id,
			       off ? "not the default any longer" : "behind the default endpoint now");
	json_decref(sandbox);
	return code;
}
