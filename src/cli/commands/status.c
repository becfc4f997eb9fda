/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl status: the daemon in a few lines.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/sandbox.h"

#include <string.h>

static void print_status(const struct cli *cli, const json_t *status)
{
	static const char *const headings[] = { "", "", NULL };
	struct table *table = table_new(headings);
	const char *state = api_text(status, "state");
	json_t *pool = json_object_get(status, "pool");
	const char *name;
	json_t *count;

	table_add(table, CELL_DIM, "weftd");
	table_add(table, CELL_PLAIN, api_text(status, "version"));
	table_add(table, CELL_DIM, "state");
	table_add(table, strcmp(state, "running") == 0 ? CELL_GOOD : CELL_ODD, state);
	table_add(table, CELL_DIM, "connections");
	table_addf(table, CELL_PLAIN, "%lld", (long long)api_number(status, "connections"));
	table_add(table, CELL_DIM, "pool");
	table_addf(table, CELL_PLAIN, "%lld of %lld ready, %lld in quarantine, %lld being deleted",
		   (long long)api_number(pool, "ready"), (long long)api_number(pool, "target"),
		   (long long)api_number(pool, "quarantined"), (long long)api_number(pool, "deleting"));

	json_int_t total = 0;
	json_object_foreach(json_object_get(status, "sandboxes"), name, count) total += json_integer_value(count);
	table_add(table, CELL_DIM, "sandboxes");
	table_addf(table, CELL_PLAIN, "%lld", (long long)total);
	json_object_foreach(json_object_get(status, "sandboxes"), name, count)
	{
		if (!json_integer_value(count))
			continue;
		table_addf(table, CELL_DIM, "  %s", name);
		table_addf(table, sandbox_state_style(name), "%lld", (long long)json_integer_value(count));
	}
	table_print(table, &cli->screen, 0);
	table_free(table);
}

int cmd_status(const struct cli *cli)
{
	json_t *status = NULL;
	int code = api_get(cli, &status, "/v1/status");

	if (code != CLI_DONE)
		return code;
	if (cli->json)
		api_print(status);
	else
		print_status(cli, status);
	json_decref(status);
	return CLI_DONE;
}
