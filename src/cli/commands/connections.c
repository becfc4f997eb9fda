/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl connections: one row a connection through the forwarder.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

static void print_connections(const struct cli *cli, const json_t *connections)
{
	static const char *const headings[] = { ">ID",   "~CLIENT", "~ENDPOINT", "STATE", ">TO GUEST",
						">FROM", ">AGE",    ">CONNECT",  NULL };
	struct table *table = table_new(headings);
	char text[TEXT_NUMBER_SIZE];
	json_t *connection;
	size_t i;

	json_array_foreach(connections, i, connection)
	{
		const json_t *id = json_object_get(connection, "id");
		const json_t *connect_ms = json_object_get(connection, "connect_ms");
		if (json_is_string(id))
			table_add(table, CELL_PLAIN, json_string_value(id));
		else
			table_addf(table, CELL_PLAIN, "%lld", (long long)json_integer_value(id));
		table_add(table, CELL_PLAIN, api_text(connection, "client"));
		table_add(table, CELL_PLAIN, api_text(connection, "endpoint"));
		table_add(table, CELL_PLAIN, api_text(connection, "state"));
		table_add(table, CELL_PLAIN, text_bytes((double)api_number(connection, "bytes_to_guest"), text));
		table_add(table, CELL_PLAIN, text_bytes((double)api_number(connection, "bytes_from_guest"), text));
		table_add(table, CELL_PLAIN, text_duration((uint64_t)api_number(connection, "age_ms"), text));
		if (json_is_number(connect_ms))
			table_add(table, CELL_PLAIN, text_duration((uint64_t)json_number_value(connect_ms), text));
		else
			table_add(table, CELL_PLAIN, "-");
	}
	table_print(table, &cli->screen, 0);
	table_free(table);
}

int cmd_connections(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	json_t *answer = NULL;

	if (!id)
		return CLI_USAGE;
	int code = api_get(cli, &answer, "/v1/sandboxes/%s/connections", id);
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		api_print(answer);
	else
		print_connections(cli, json_object_get(answer, "connections"));
	json_decref(answer);
	return CLI_DONE;
}
