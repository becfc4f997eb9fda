/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl show: one sandbox in full, for people, or the settings for its VMM.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"
#include "cli/vmm.h"

#include <string.h>

static void command_show_add_pair(struct table *table, const char *name, enum cell_style style, const char *value)
{
	cli_table_add(table, CELL_DIM, name);
	cli_table_add(table, style, value);
}

static void command_show_add_time(struct table *table, const char *name, const char *rfc3339)
{
	char since[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, name);
	if (*rfc3339)
		cli_table_addf(table, CELL_PLAIN, "%s (%s ago)", rfc3339,
			       cli_text_since(rfc3339, clock_wall_ms(), since));
	else
		cli_table_add(table, CELL_PLAIN, "never");
}

static void command_show_add_state(struct table *table, const json_t *sandbox)
{
	const char *state = client_text(sandbox, "state");
	const char *reason = client_text(sandbox, "reason");
	char since[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, "state");
	cli_table_addf(table, cli_sandbox_style(state), "%s for %s%s%s", state,
		       cli_text_since(client_text(sandbox, "since"), clock_wall_ms(), since), *reason ? ": " : "",
		       reason);
}

static void command_show_add_network(struct table *table, const json_t *sandbox)
{
	const json_t *guest = json_object_get(sandbox, "guest");

	command_show_add_pair(table, "namespace", CELL_PLAIN, client_text(sandbox, "netns_path"));
	command_show_add_pair(table, "veth", CELL_PLAIN, client_text(sandbox, "veth"));
	command_show_add_pair(table, "tap", CELL_PLAIN, client_text(sandbox, "tap"));
	command_show_add_pair(table, "host address", CELL_PLAIN, client_text(sandbox, "host_ip"));
	cli_table_add(table, CELL_DIM, "guest");
	cli_table_addf(table, CELL_PLAIN, "%s/%lld, gateway %s, mac %s, mtu %lld", client_text(guest, "ip"),
		       (long long)client_number(guest, "prefix"), client_text(guest, "gateway"),
		       client_text(guest, "mac"), (long long)client_number(guest, "mtu"));
	command_show_add_pair(table, "boot argument", CELL_PLAIN, client_text(guest, "boot_arg"));
}

static void command_show_add_counters(struct table *table, const json_t *counters)
{
	char to[TEXT_NUMBER_SIZE], from[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, "connections");
	cli_table_addf(table, CELL_PLAIN, "%lld open (%lld held), %lld in all",
		       (long long)client_number(counters, "connections_open"),
		       (long long)client_number(counters, "connections_held"),
		       (long long)client_number(counters, "connections_total"));
	cli_table_add(table, CELL_DIM, "traffic");
	cli_table_addf(table, CELL_PLAIN, "%s to the guest, %s from it, %lld dropped",
		       cli_text_bytes((double)client_number(counters, "bytes_to_guest"), to),
		       cli_text_bytes((double)client_number(counters, "bytes_from_guest"), from),
		       (long long)client_number(counters, "drops_total"));
}

/* An object as it is in force, in compact JSON: policies and limits have many shapes. */
static void command_show_add_object(struct table *table, const char *name, const json_t *object)
{
	AUTO_FREE char *text = json_is_object(object) && json_object_size(object) ? json_dumps(object, 0) : NULL;

	if (text)
		command_show_add_pair(table, name, CELL_PLAIN, text);
}

static void command_show_print(const struct cli *cli, const json_t *sandbox)
{
	static const char *const headings[] = { "", "|", NULL };
	struct table *table = cli_table_new(headings);

	command_show_add_pair(table, "sandbox", CELL_PLAIN, client_text(sandbox, "id"));
	command_show_add_state(table, sandbox);
	cli_table_add(table, CELL_DIM, "slot");
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(sandbox, "slot"));
	command_show_add_network(table, sandbox);
	command_show_add_pair(table, "default", CELL_PLAIN, client_is(sandbox, "default") ? "yes" : "no");
	if (client_number(sandbox, "ready_port")) {
		cli_table_add(table, CELL_DIM, "ready port");
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(sandbox, "ready_port"));
	}
	command_show_add_time(table, "registered", client_text(sandbox, "registered_at"));
	command_show_add_time(table, "last activity", client_text(sandbox, "last_activity"));
	command_show_add_counters(table, json_object_get(sandbox, "counters"));
	command_show_add_object(table, "labels", json_object_get(sandbox, "labels"));
	command_show_add_object(table, "tap owner", json_object_get(sandbox, "tap_owner"));
	command_show_add_object(table, "egress", json_object_get(sandbox, "egress"));
	command_show_add_object(table, "bandwidth", json_object_get(sandbox, "bandwidth"));
	command_show_add_object(table, "limits", json_object_get(sandbox, "limits"));
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
	cli_sandbox_print_endpoints(&cli->screen, sandbox);
}

/* CONTEXT: whether another one was shown before. */
static int command_show_one(const struct cli *cli, const char *text, void *context)
{
	bool *others = context;
	json_t *sandbox = NULL;
	struct cli_id id;

	snprintf(id.text, sizeof(id.text), "%s", text);
	int code = cli_get_sandbox(cli, &id, 0, &sandbox, "%s", "");
	if (code != CLI_DONE)
		return code;
	if (*others && !cli->json)
		putchar('\n');
	*others = true;
	if (cli->args->given_count)
		cli_vmm_print(cli, cli->args->given[0].option->name, sandbox);
	else if (cli->json)
		cli_print_json(sandbox);
	else
		command_show_print(cli, sandbox);
	json_decref(sandbox);
	return CLI_DONE;
}

int command_show(const struct cli *cli)
{
	bool others = false;

	if (cli->args->given_count > 1)
		return cli_usage(cli, "--%s and --%s exclude each other", cli->args->given[0].option->name,
				 cli->args->given[1].option->name);
	return cli_ids_each(cli, command_show_one, &others);
}
