/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl show: all about one sandbox, for people, or what its VMM must be told.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"
#include "cli/vmm.h"

#include <string.h>

static void add_pair(struct table *table, const char *name, enum cell_style style, const char *value)
{
	table_add(table, CELL_DIM, name);
	table_add(table, style, value);
}

static void add_time(struct table *table, const char *name, const char *rfc3339)
{
	char since[TEXT_NUMBER_SIZE];

	table_add(table, CELL_DIM, name);
	if (*rfc3339)
		table_addf(table, CELL_PLAIN, "%s (%s ago)", rfc3339, text_since(rfc3339, clock_wall_ms(), since));
	else
		table_add(table, CELL_PLAIN, "never");
}

static void add_state(struct table *table, const json_t *sandbox)
{
	const char *state = api_text(sandbox, "state");
	const char *reason = api_text(sandbox, "reason");
	char since[TEXT_NUMBER_SIZE];

	table_add(table, CELL_DIM, "state");
	table_addf(table, sandbox_state_style(state), "%s for %s%s%s", state,
		   text_since(api_text(sandbox, "since"), clock_wall_ms(), since), *reason ? ": " : "", reason);
}

static void add_network(struct table *table, const json_t *sandbox)
{
	const json_t *guest = json_object_get(sandbox, "guest");

	add_pair(table, "namespace", CELL_PLAIN, api_text(sandbox, "netns_path"));
	add_pair(table, "veth", CELL_PLAIN, api_text(sandbox, "veth"));
	add_pair(table, "tap", CELL_PLAIN, api_text(sandbox, "tap"));
	add_pair(table, "host address", CELL_PLAIN, api_text(sandbox, "host_ip"));
	table_add(table, CELL_DIM, "guest");
	table_addf(table, CELL_PLAIN, "%s/%lld, gateway %s, mac %s, mtu %lld", api_text(guest, "ip"),
		   (long long)api_number(guest, "prefix"), api_text(guest, "gateway"), api_text(guest, "mac"),
		   (long long)api_number(guest, "mtu"));
	add_pair(table, "boot argument", CELL_PLAIN, api_text(guest, "boot_arg"));
}

static void add_counters(struct table *table, const json_t *counters)
{
	char to[TEXT_NUMBER_SIZE], from[TEXT_NUMBER_SIZE];

	table_add(table, CELL_DIM, "connections");
	table_addf(table, CELL_PLAIN, "%lld open (%lld held), %lld in all",
		   (long long)api_number(counters, "connections_open"),
		   (long long)api_number(counters, "connections_held"),
		   (long long)api_number(counters, "connections_total"));
	table_add(table, CELL_DIM, "traffic");
	table_addf(table, CELL_PLAIN, "%s to the guest, %s from it, %lld dropped",
		   text_bytes((double)api_number(counters, "bytes_to_guest"), to),
		   text_bytes((double)api_number(counters, "bytes_from_guest"), from),
		   (long long)api_number(counters, "drops_total"));
}

/* An object as it is in force, in compact JSON: policies and limits have many shapes. */
static void add_object(struct table *table, const char *name, const json_t *object)
{
	AUTO_FREE char *text = json_is_object(object) && json_object_size(object) ? json_dumps(object, 0) : NULL;

	if (text)
		add_pair(table, name, CELL_PLAIN, text);
}

static void print_sandbox(const struct cli *cli, const json_t *sandbox)
{
	static const char *const headings[] = { "", "", NULL };
	struct table *table = table_new(headings);

	add_pair(table, "sandbox", CELL_PLAIN, api_text(sandbox, "id"));
	add_state(table, sandbox);
	table_add(table, CELL_DIM, "slot");
	table_addf(table, CELL_PLAIN, "%lld", (long long)api_number(sandbox, "slot"));
	add_network(table, sandbox);
	add_pair(table, "default", CELL_PLAIN, api_is(sandbox, "default") ? "yes" : "no");
	if (api_number(sandbox, "ready_port")) {
		table_add(table, CELL_DIM, "ready port");
		table_addf(table, CELL_PLAIN, "%lld", (long long)api_number(sandbox, "ready_port"));
	}
	add_time(table, "registered", api_text(sandbox, "registered_at"));
	add_time(table, "last activity", api_text(sandbox, "last_activity"));
	add_counters(table, json_object_get(sandbox, "counters"));
	add_object(table, "labels", json_object_get(sandbox, "labels"));
	add_object(table, "tap owner", json_object_get(sandbox, "tap_owner"));
	add_object(table, "egress", json_object_get(sandbox, "egress"));
	add_object(table, "bandwidth", json_object_get(sandbox, "bandwidth"));
	add_object(table, "limits", json_object_get(sandbox, "limits"));
	table_print(table, &cli->screen, 0);
	table_free(table);
	sandbox_print_endpoints(&cli->screen, sandbox);
}

int cmd_show(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	json_t *sandbox = NULL;

	if (!id)
		return CLI_USAGE;
	if (cli->args->given_count > 1)
		return cli_usage(cli, "--%s and --%s exclude each other", cli->args->given[0].option->name,
				 cli->args->given[1].option->name);
	int code = api_get(cli, &sandbox, "/v1/sandboxes/%s", id);
	if (code != CLI_DONE)
		return code;
	if (cli->args->given_count)
		vmm_print(cli, cli->args->given[0].option->name, sandbox);
	else if (cli->json)
		api_print(sandbox);
	else
		print_sandbox(cli, sandbox);
	json_decref(sandbox);
	return CLI_DONE;
}
