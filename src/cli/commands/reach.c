/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl reach: asks whether policy allows a destination. "Denied" is an answer and no failure of the command.
 */
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"

#include <string.h>

int command_reach(const struct cli *cli)
{
	struct cli_id id;
	const char *proto = cli_args_value(cli->args, "proto");
	json_t *answer = NULL;
	struct err err;
	uint32_t ip;
	long port;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	const char *dest = cli->args->operands[1];
	const char *colon = strchr(dest, ':');
	AUTO_FREE char *address = strndup(dest, colon ? (size_t)(colon - dest) : strlen(dest));
	if (addr_ipv4_parse(address, &ip) < 0)
		return cli_usage(cli, "DEST '%s': '%s' is not an IPv4 address", dest, address);
	if (colon && cli_args_number("PORT", colon + 1, 1, 65535, &port, &err) < 0)
		return cli_usage(cli, "%s", err.text);

	int code = cli_get_sandbox(cli, &id, 0, &answer, "/reach?dest=%s%s%s&proto=%s", address, colon ? "&port=" : "",
				   colon ? colon + 1 : "", proto ? proto : "tcp");
	if (code == CLI_DONE && cli->json) {
		cli_print_json(answer);
	} else if (code == CLI_DONE) {
		bool allowed = client_is(answer, "allowed");
		const char *set = client_text(answer, "set");
		cli_screen_wrap(&cli->screen, allowed ? CELL_GOOD : CELL_BAD, allowed ? "allowed " : "denied ",
				"%s: rule %s%s%s", dest, client_text(answer, "rule"), *set ? ", " : "", set);
	}
	json_decref(answer);
	return code;
}
