/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl resume: the VM continues; its connections do too, or are reset.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

static int command_resume_one(const struct cli *cli, const char *id, void *context)
{
	const char *flows = cli_args_value(cli->args, "flows");
	json_t *sandbox = NULL;

	(void)context;
	int code = cli_patch(cli, id, json_pack("{s:b, s:s}", "paused", 0, "flows", flows ? flows : "keep"), &sandbox);
	if (code == CLI_DONE && !cli->json)
		cli_text_print(stdout, "%s is %s\n", id, client_text(sandbox, "state"));
	json_decref(sandbox);
	return code;
}

int command_resume(const struct cli *cli)
{
	return cli_ids_each(cli, command_resume_one, NULL);
}
