/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl ls: one row a sandbox. weftd chooses by --state and --label; --filter and --sort are weftctl's own. With --json the list
 * is the API's, with fewer sandboxes or in another order.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/choose.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"

#include <string.h>

/* "/v1/sandboxes?state=S&label=K%3DV". The caller frees. */
static char *command_ls_target(const struct args *args)
{
	const char *state = cli_args_value(args, "state");
	const char *label;
	struct base_text target;
	FILE *out = cli_text_open(&target);

	fputs("/v1/sandboxes", out);
	if (state)
		fprintf(out, "?state=%s", state);
	for (size_t n = 0; (label = cli_args_value_at(args, "label", n)); n++) {
		AUTO_FREE char *escaped = cli_escape(label);
		fprintf(out, "%clabel=%s", n || state ? '&' : '?', escaped);
	}
	return cli_text_close(&target, out);
}

static int command_ls_compare_text(const void *left, const void *right, const char *key)
{
	json_t *const *a = left, *const *b = right;

	return strcmp(client_text(*a, key), client_text(*b, key));
}

static int command_ls_compare_number(const void *left, const void *right, const char *object, const char *key)
{
	json_t *const *a = left, *const *b = right;
	const json_t *of_a = object ? json_object_get(*a, object) : *a,
		     *of_b = object ? json_object_get(*b, object) : *b;

	return cli_order_numbers((double)client_number(of_a, key), (double)client_number(of_b, key));
}

static int command_ls_by_id(const void *left, const void *right)
{
	return command_ls_compare_text(left, right, "id");
}

static int command_ls_by_name(const void *left, const void *right)
{
	return command_ls_compare_text(left, right, "name");
}

static int command_ls_by_slot(const void *left, const void *right)
{
	return command_ls_compare_number(left, right, NULL, "slot");
}

static int command_ls_by_state(const void *left, const void *right)
{
	return command_ls_compare_text(left, right, "state");
}

/* RFC 3339 in UTC: the order of the texts is that of the times. */
static int command_ls_by_since(const void *left, const void *right)
{
	return command_ls_compare_text(left, right, "since");
}

static int command_ls_by_connections(const void *left, const void *right)
{
	return command_ls_compare_number(left, right, "counters", "connections_open");
}

static double command_ls_traffic(const json_t *sandbox)
{
	const json_t *counters = json_object_get(sandbox, "counters");

	return (double)client_number(counters, "bytes_to_guest") + (double)client_number(counters, "bytes_from_guest");
}

static int command_ls_by_traffic(const void *left, const void *right)
{
	json_t *const *a = left, *const *b = right;

	return cli_order_numbers(command_ls_traffic(*a), command_ls_traffic(*b));
}

static const struct order_key keys[] = {
	{ "slot", command_ls_by_slot, false },       { "id", command_ls_by_id, false },
	{ "name", command_ls_by_name, false },       { "state", command_ls_by_state, false },
	{ "since", command_ls_by_since, false },     { "conn", command_ls_by_connections, false },
	{ "traffic", command_ls_by_traffic, false }, { 0 },
};

/* The sandboxes of LIST that the filters let through, as a new list in ORDER. */
static json_t *command_ls_choose(const struct cli *cli, const json_t *list, const struct order *order)
{
	json_t **chosen = calloc(json_array_size(list) + 1, sizeof(chosen[0]));
	json_t *sandbox, *result = json_array();
	size_t count = 0, i;

	if (!chosen || !result)
		abort();
	json_array_foreach(list, i, sandbox)
	{
		if (cli_choose_is_met(cli->args, sandbox))
			chosen[count++] = sandbox;
	}
	cli_order_sort(order, chosen, count, sizeof(chosen[0]));
	for (i = 0; i < count; i++)
		json_array_append(result, chosen[i]);
	free(chosen);
	return result;
}

static void command_ls_add_count(struct table *table, const json_t *sandbox, const char *key)
{
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(json_object_get(sandbox, "counters"), key));
}

static void command_ls_add_bytes(struct table *table, const json_t *sandbox, const char *key)
{
	char text[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_PLAIN,
		      cli_text_bytes((double)client_number(json_object_get(sandbox, "counters"), key), text));
}

static void command_ls_add_since(struct table *table, const json_t *sandbox, const char *key)
{
	char since[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_PLAIN, cli_text_since(client_text(sandbox, key), clock_wall_ms(), since));
}

/* weftd before 1.1 does not say. */
static void command_ls_add_idle(struct table *table, const json_t *sandbox, const char *key)
{
	char idle[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_PLAIN,
		      json_is_integer(json_object_get(sandbox, key))
			  ? cli_text_duration((uint64_t)client_number(sandbox, key), idle)
			  : "-");
}

static void command_ls_add_text(struct table *table, const json_t *sandbox, const char *key)
{
	cli_table_add(table, CELL_PLAIN, client_text(sandbox, key));
}

static void command_ls_add_state(struct table *table, const json_t *sandbox, const char *key)
{
	cli_table_add(table, cli_sandbox_style(client_text(sandbox, key)), cli_sandbox_state_word(sandbox));
}

static void command_ls_add_slot(struct table *table, const json_t *sandbox, const char *key)
{
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(sandbox, key));
}

static void command_ls_add_default(struct table *table, const json_t *sandbox, const char *key)
{
	cli_table_add(table, CELL_PLAIN, client_is(sandbox, key) ? "yes" : "no");
}

static void command_ls_add_labels(struct table *table, const json_t *sandbox, const char *key)
{
	AUTO_FREE char *labels = cli_sandbox_labels_text(json_object_get(sandbox, key), ",");

	cli_table_add(table, CELL_PLAIN, labels);
}

static void command_ls_add_ports(struct table *table, const json_t *sandbox, const char *key)
{
	AUTO_FREE char *ports = cli_sandbox_ports_text(sandbox, false);

	(void)key;
	cli_table_addf(table, CELL_PLAIN, "%s%s%s", client_is(sandbox, "default") ? "default" : "",
		       client_is(sandbox, "default") && *ports ? ", " : "", ports);
}

static void command_ls_add_all_ports(struct table *table, const json_t *sandbox, const char *key)
{
	AUTO_FREE char *ports = cli_sandbox_ports_text(sandbox, true);

	(void)key;
	cli_table_add(table, CELL_PLAIN, ports);
}

enum shown {
	SHOWN_ALWAYS,
	SHOWN_NAMED,  /* where a sandbox has a name */
	SHOWN_WIDE,   /* with --wide alone */
	SHOWN_NARROW, /* without it */
};

struct ls_column {
	const char *heading;
	enum shown shown;
	const char *key;
	void (*add)(struct table *table, const json_t *sandbox, const char *key);
};

static const struct ls_column columns[] = {
	{ "SANDBOX", SHOWN_ALWAYS, "id", command_ls_add_text },
	{ "NAME", SHOWN_NAMED, "name", command_ls_add_text },
	{ ">SLOT", SHOWN_ALWAYS, "slot", command_ls_add_slot },
	{ "STATE", SHOWN_ALWAYS, "state", command_ls_add_state },
	{ ">SINCE", SHOWN_ALWAYS, "since", command_ls_add_since },
	{ ">REGISTERED", SHOWN_WIDE, "registered_at", command_ls_add_since },
	{ ">IDLE", SHOWN_ALWAYS, "idle_ms", command_ls_add_idle },
	{ "NETNS", SHOWN_WIDE, "netns", command_ls_add_text },
	{ "HOST-IP", SHOWN_ALWAYS, "host_ip", command_ls_add_text },
	{ ">CONN", SHOWN_ALWAYS, "connections_open", command_ls_add_count },
	{ ">HELD", SHOWN_WIDE, "connections_held", command_ls_add_count },
	{ ">TO", SHOWN_WIDE, "bytes_to_guest", command_ls_add_bytes },
	{ ">FROM", SHOWN_WIDE, "bytes_from_guest", command_ls_add_bytes },
	{ ">DROPS", SHOWN_WIDE, "drops_total", command_ls_add_count },
	{ "DEFAULT", SHOWN_WIDE, "default", command_ls_add_default },
	{ "LABELS", SHOWN_WIDE, "labels", command_ls_add_labels },
	{ "~PORTS", SHOWN_NARROW, NULL, command_ls_add_ports },
	{ "PORTS", SHOWN_WIDE, NULL, command_ls_add_all_ports },
};

enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static bool command_ls_any_is_named(const json_t *sandboxes)
{
	json_t *sandbox;
	size_t i;

	json_array_foreach(sandboxes, i, sandbox)
	{
		if (*client_text(sandbox, "name"))
			return true;
	}
	return false;
}

static void command_ls_print(const struct cli *cli, const json_t *sandboxes)
{
	bool wide = cli_args_has(cli->args, "wide");
	const bool shows[] = { [SHOWN_ALWAYS] = true,
			       [SHOWN_NAMED] = command_ls_any_is_named(sandboxes),
			       [SHOWN_WIDE] = wide,
			       [SHOWN_NARROW] = !wide };
	const char *headings[COLUMNS + 1];
	struct screen screen = cli->screen;
	size_t count = 0, i;
	json_t *sandbox;

	for (const struct ls_column *column = columns; column < columns + COLUMNS; column++)
		if (shows[column->shown])
			headings[count++] = column->heading;
	headings[count] = NULL;
	struct table *table = cli_table_new(headings);
	json_array_foreach(sandboxes, i, sandbox)
	{
		for (const struct ls_column *column = columns; column < columns + COLUMNS; column++)
			if (shows[column->shown])
				column->add(table, sandbox, column->key);
	}
	if (wide)
		screen.columns = 0;
	cli_table_print(table, &screen);
	cli_table_free(table);
}

static void command_ls_print_ids(const json_t *sandboxes)
{
	json_t *sandbox;
	size_t i;

	json_array_foreach(sandboxes, i, sandbox) cli_text_print(stdout, "%s\n", client_text(sandbox, "id"));
}

/* The command line beyond what its table says. CLI_DONE, or CLI_USAGE after a mistake was reported. */
static int command_ls_check(const struct cli *cli, struct order *order)
{
	const char *sort = cli_args_value(cli->args, "sort");
	struct err err;

	*order = (struct order){ .key = keys, .tie = command_ls_by_slot };
	if (cli_choose_check(cli->args, &err) < 0)
		return cli_usage(cli, "%s", err.text);
	if (sort)
		cli_order_read(order, keys, sort);
	if (cli_args_has(cli->args, "quiet") && (cli->json || cli_args_has(cli->args, "wide")))
		return cli_usage(cli, "--quiet and --%s exclude each other", cli->json ? "json" : "wide");
	return CLI_DONE;
}

int command_ls(const struct cli *cli)
{
	AUTO_FREE char *target = command_ls_target(cli->args);
	json_t *answer = NULL;
	struct order order;
	int code = command_ls_check(cli, &order);

	if (code == CLI_DONE)
		code = cli_get(cli, &answer, "%s", target);
	if (code != CLI_DONE)
		return code;
	const json_t *list = json_object_get(answer, "sandboxes");
	if (json_is_array(list)) {
		json_t *chosen = command_ls_choose(cli, list, &order);
		json_object_set(answer, "sandboxes", chosen);
		if (cli->json)
			cli_print_json(answer);
		else if (cli_args_has(cli->args, "quiet"))
			command_ls_print_ids(chosen);
		else
			command_ls_print(cli, chosen);
		json_decref(chosen);
	} else {
		code = cli_fail(cli, CLI_FAILED, "%s: the answer has no list of sandboxes", cli->socket);
	}
	json_decref(answer);
	return code;
}
