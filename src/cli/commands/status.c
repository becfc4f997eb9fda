/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl status: the daemon in a few lines.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/sandbox.h"

#include <stdio.h>
#include <string.h>

static void command_status_add_pool(struct table *table, const json_t *pool)
{
	json_int_t ready = client_number(pool, "ready"), target = client_number(pool, "target"),
		   quarantined = client_number(pool, "quarantined"), deleting = client_number(pool, "deleting");

	cli_table_add(table, CELL_DIM, "pool");
	if (ready || target || quarantined || deleting)
		cli_table_addf(table, CELL_PLAIN, "%lld of %lld ready, %lld in quarantine, %lld being deleted",
			       (long long)ready, (long long)target, (long long)quarantined, (long long)deleting);
	else
		cli_table_add(table, CELL_PLAIN, "none");
}

/* The connections of the former run. */
static void command_status_add_handover(struct table *table, const json_t *handover)
{
	long long lost = (long long)client_number(handover, "lost");

	if (!json_is_object(handover))
		return;
	cli_table_add(table, CELL_DIM, "handover");
	cli_table_addf(table, lost ? CELL_ODD : CELL_PLAIN, "%lld taken over, %lld lost, stood still for %lld ms",
		       (long long)client_number(handover, "connections"), lost,
		       (long long)client_number(handover, "gap_ms"));
}

/* Which way clients of the default endpoint go, which no sandbox shows; "": it leads to none. */
static const char *command_status_default_way(const json_t *loopback)
{
	const char *reason = client_text(loopback, "default_path_reason");

	return strcmp(client_text(loopback, "default_path"), "kernel") == 0 ? "kernel" : reason;
}

/* Whether the kernel leads clients of loopback endpoints past weftd. */
static void command_status_add_loopback(struct table *table, const json_t *loopback)
{
	const char *way = command_status_default_way(loopback);
	long long entries = (long long)client_number(loopback, "entries"),
		  wanted = (long long)client_number(loopback, "wanted");
	char of[32] = "";

	if (!json_is_object(loopback) || strcmp(client_text(loopback, "mode"), "forwarder") == 0)
		return;
	cli_table_add(table, CELL_DIM, "loopback");
	if (!json_is_true(json_object_get(loopback, "open"))) {
		cli_table_addf(table, CELL_PLAIN, "forwarder: %s", client_text(loopback, "error"));
		return;
	}
	if (entries < wanted)
		snprintf(of, sizeof(of), " of %lld", wanted);
	cli_table_addf(table, CELL_PLAIN, "kernel, for %lld%s address%s%s%s%s", entries, of, wanted == 1 ? "" : "es",
		       *way ? "; default endpoint: " : "", *way && strcmp(way, "kernel") != 0 ? "forwarder, " : "",
		       way);
}

static void command_status_print(const struct cli *cli, const json_t *status)
{
	static const char *const headings[] = { "", "|", NULL };
	struct table *table = cli_table_new(headings);
	const char *state = client_text(status, "state");
	const char *name;
	json_t *count;

	cli_table_add(table, CELL_DIM, "weftd");
	cli_table_addf(table, CELL_PLAIN, *client_text(status, "api") ? "%s, API %s" : "%s",
		       client_text(status, "version"), client_text(status, "api"));
	cli_table_add(table, CELL_DIM, "state");
	cli_table_add(table, strcmp(state, "running") == 0 ? CELL_GOOD : CELL_ODD, state);
	cli_table_add(table, CELL_DIM, "connections");
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(status, "connections"));
	command_status_add_handover(table, json_object_get(status, "handover"));
	command_status_add_loopback(table, json_object_get(status, "loopback"));
	command_status_add_pool(table, json_object_get(status, "pool"));

	json_int_t total = 0;
	json_object_foreach(json_object_get(status, "sandboxes"), name, count) total += json_integer_value(count);
	cli_table_add(table, CELL_DIM, "sandboxes");
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)total);
	json_object_foreach(json_object_get(status, "sandboxes"), name, count)
	{
		if (!json_integer_value(count))
			continue;
		cli_table_addf(table, CELL_DIM, "  %s", name);
		cli_table_addf(table, cli_sandbox_style(name), "%lld", (long long)json_integer_value(count));
	}
	cli_sandbox_add_not_open(table, json_object_get(status, "not_open"), NULL);
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

int command_status(const struct cli *cli)
{
	json_t *status = NULL;
	int code = cli_get(cli, &status, "/v1/status");

	if (code != CLI_DONE)
		return code;
	if (cli->json)
		cli_print_json(status);
	else
		command_status_print(cli, status);
	json_decref(status);
	return CLI_DONE;
}
