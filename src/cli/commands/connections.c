/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl connections: one row for each connection through the forwarder, and for each that the kernel leads past it.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include <string.h>

/* Which way it goes: "in" or "out" through the forwarder, or "kernel". */
static const char *command_connections_way(const json_t *connection)
{
	const char *path = client_text(connection, "path");

	return strcmp(path, "kernel") == 0 ? path : client_text(connection, "direction");
}

/* The kernel tells the age of those alone that it led. */
static bool command_connections_has_age(const json_t *connection)
{
	return client_number(connection, "age_ms") || strcmp(client_text(connection, "path"), "kernel") != 0;
}

static void command_connections_print(const struct cli *cli, const json_t *connections)
{
	static const char *const headings[] = { ">ID", "WAY",   "CLIENT", "ENDPOINT", "STATE",
						">TO", ">FROM", ">AGE",   ">CONNECT", NULL };
	struct table *table = cli_table_new(headings);
	char text[TEXT_NUMBER_SIZE];
	json_t *connection;
	size_t i;

	json_array_foreach(connections, i, connection)
	{
		const json_t *id = json_object_get(connection, "id");
		const json_t *connect_ms = json_object_get(connection, "connect_ms");
		if (json_is_string(id))
			cli_table_add(table, CELL_PLAIN, json_string_value(id));
		else
			cli_table_addf(table, CELL_PLAIN, "%lld", (long long)json_integer_value(id));
		cli_table_add(table, CELL_PLAIN, command_connections_way(connection));
		cli_table_add(table, CELL_PLAIN, client_text(connection, "client"));
		cli_table_add(table, CELL_PLAIN, client_text(connection, "endpoint"));
		cli_table_add(table, CELL_PLAIN, client_text(connection, "state"));
		cli_table_add(table, CELL_PLAIN,
			      cli_text_bytes((double)client_number(connection, "bytes_to_guest"), text));
		cli_table_add(table, CELL_PLAIN,
			      cli_text_bytes((double)client_number(connection, "bytes_from_guest"), text));
		cli_table_add(table, CELL_PLAIN,
			      command_connections_has_age(connection)
				  ? cli_text_duration((uint64_t)client_number(connection, "age_ms"), text)
				  : "-");
		if (json_is_number(connect_ms))
			cli_table_add(table, CELL_PLAIN,
				      cli_text_duration((uint64_t)json_number_value(connect_ms), text));
		else
			cli_table_add(table, CELL_PLAIN, "-");
	}
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

int command_connections(const struct cli *cli)
{
	struct cli_id id;
	json_t *answer = NULL;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	int code = cli_get_sandbox(cli, &id, 0, &answer, "/connections");
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		cli_print_json(answer);
	else
		command_connections_print(cli, json_object_get(answer, "connections"));
	json_decref(answer);
	return CLI_DONE;
}
