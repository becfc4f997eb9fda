/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl publish, unpublish: adds or takes back all the named ports, or none.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/port_args.h"
#include "cli/sandbox.h"

/* Sends the operands after the id, as READ understands them, under KEY. */
static int command_publish_change(const struct cli *cli, const char *key,
				  json_t *(*read)(const struct args *args, const char *what, const char *text,
						  struct err *err))
{
	const char *id = cli_sandbox_id(cli);
	json_t *sandbox = NULL;
	struct err err;

	if (!id)
		return CLI_USAGE;
	json_t *ports = json_array();
	for (size_t i = 1; i < cli->args->operand_count; i++) {
		json_t *port = read(cli->args, "P", cli->args->operands[i], &err);
		if (!port) {
			json_decref(ports);
			return cli_usage(cli, "%s", err.text);
		}
		json_array_append_new(ports, port);
	}
	int code = cli_patch(cli, id, json_pack("{s:o}", key, ports), &sandbox);
	if (code == CLI_DONE && !cli->json)
		cli_sandbox_print_endpoints(&cli->screen, sandbox, 0);
	json_decref(sandbox);
	return code;
}

int command_publish(const struct cli *cli)
{
	return command_publish_change(cli, "publish", cli_port_to_publish);
}

int command_unpublish(const struct cli *cli)
{
	return command_publish_change(cli, "unpublish", cli_port_to_unpublish);
}
