/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl pause: notifies the daemon of a pause, which the carrier does not show.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

static int command_pause_one(const struct cli *cli, const char *id, void *context)
{
	json_t *sandbox = NULL;

	(void)context;
	int code = cli_patch(cli, id, json_pack("{s:b}", "paused", 1), &sandbox);
	if (code == CLI_DONE && !cli->json)
		cli_text_print(stdout, "%s is %s\n", id, client_text(sandbox, "state"));
	json_decref(sandbox);
	return code;
}

int command_pause(const struct cli *cli)
{
	return cli_ids_each(cli, command_pause_one, NULL);
}
