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
#include "config/door_url.h"

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
	bool asleep = cli_sandbox_is_asleep(sandbox);
	char since[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, "state");
	cli_table_addf(table, cli_sandbox_style(state), "%s for %s%s%s%s%s", state,
		       cli_text_since(client_text(sandbox, "since"), clock_wall_ms(), since), asleep ? ", " : "",
		       asleep ? cli_sandbox_state_word(sandbox) : "", *reason ? ": " : "", reason);
}

static void command_show_add_idle(struct table *table, const json_t *sandbox)
{
	json_int_t report = client_number(sandbox, "idle_report_ms");
	char idle[TEXT_NUMBER_SIZE], at[TEXT_NUMBER_SIZE];

	if (!json_is_integer(json_object_get(sandbox, "idle_ms")))
		return;
	cli_table_add(table, CELL_DIM, "idle");
	cli_table_addf(table, CELL_PLAIN, "for %s%s%s",
		       cli_text_duration((uint64_t)client_number(sandbox, "idle_ms"), idle),
		       report ? ", reported after " : "", report ? cli_text_duration((uint64_t)report, at) : "");
}

/* What wakes it, when it does, and who has. */
static void command_show_add_wake(struct table *table, const json_t *sandbox)
{
	const json_t *wake = json_object_get(sandbox, "wake");
	const char *asked_at = client_text(wake, "asked_at");
	char min_awake[TEXT_NUMBER_SIZE], timeout[TEXT_NUMBER_SIZE], since[TEXT_NUMBER_SIZE];
	AUTO_FREE char *wakers = cli_sandbox_wakers_text(sandbox);

	command_show_add_pair(table, "woken by", CELL_PLAIN, wakers);
	if (!json_is_object(wake))
		return;
	cli_table_add(table, CELL_DIM, "  times");
	cli_table_addf(table, CELL_PLAIN, "not within %s of a pause; clients are held for %s",
		       cli_text_duration((uint64_t)client_number(wake, "min_awake_ms"), min_awake),
		       cli_text_duration((uint64_t)client_number(wake, "timeout_ms"), timeout));
	if (!*asked_at)
		return;
	cli_table_add(table, CELL_DIM, "  asked");
	cli_table_addf(table, CELL_ODD, "%s (%s ago), because of %s", asked_at,
		       cli_text_since(asked_at, clock_wall_ms(), since), client_text(wake, "by"));
}

static void command_show_add_dns(struct table *table, const json_t *servers)
{
	const char *heading = "dns";
	json_t *server;
	size_t i;

	if (!json_array_size(servers))
		command_show_add_pair(table, heading, CELL_PLAIN, "none");
	json_array_foreach(servers, i, server)
	{
		command_show_add_pair(table, heading, CELL_PLAIN, json_string_value(server));
		heading = " ";
	}
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
	command_show_add_dns(table, json_object_get(guest, "dns"));
	command_show_add_pair(table, "boot argument", CELL_PLAIN, client_text(guest, "boot_arg"));
}

static void command_show_add_counters(struct table *table, const json_t *counters)
{
	char to[TEXT_NUMBER_SIZE], from[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, "connections");
	cli_table_addf(table, CELL_PLAIN, "%lld open, %lld held, %lld in all",
		       (long long)client_number(counters, "connections_open"),
		       (long long)client_number(counters, "connections_held"),
		       (long long)client_number(counters, "connections_total"));
	cli_table_add(table, CELL_DIM, "traffic");
	cli_table_addf(table, CELL_PLAIN, "%s to the guest, %s from it, %lld dropped",
		       cli_text_bytes((double)client_number(counters, "bytes_to_guest"), to),
		       cli_text_bytes((double)client_number(counters, "bytes_from_guest"), from),
		       (long long)client_number(counters, "drops_total"));
}

static void command_show_add_labels(struct table *table, const json_t *labels)
{
	const char *key, *heading = "labels";
	json_t *label;

	if (!json_object_size(labels))
		command_show_add_pair(table, heading, CELL_PLAIN, "none");
	json_object_foreach((json_t *)labels, key, label)
	{
		cli_table_add(table, CELL_DIM, heading);
		cli_table_addf(table, CELL_PLAIN, "%s=%s", key, client_text(labels, key));
		heading = " ";
	}
}

static void command_show_add_owner(struct table *table, const json_t *owner)
{
	cli_table_add(table, CELL_DIM, "tap owner");
	if (json_is_object(owner))
		cli_table_addf(table, CELL_PLAIN, "uid %lld, gid %lld", (long long)client_number(owner, "uid"),
			       (long long)client_number(owner, "gid"));
	else
		cli_table_add(table, CELL_PLAIN, "none");
}

/* Exact, for who wants to set it again, and in short. */
static void command_show_add_rate(struct table *table, const char *name, const json_t *rate)
{
	json_int_t bytes = client_number(rate, "rate"), burst = client_number(rate, "burst");
	char text[TEXT_NUMBER_SIZE];

	cli_table_add(table, CELL_DIM, name);
	if (bytes)
		cli_table_addf(table, CELL_PLAIN, "%lld bytes a second (%s/s), burst %lld bytes", (long long)bytes,
			       cli_text_bytes((double)bytes, text), (long long)burst);
	else
		cli_table_add(table, CELL_PLAIN, "none");
}

static void command_show_add_limits(struct table *table, const json_t *limits)
{
	static const char *const times[][2] = {
		{ "  connect deadline", "connect_deadline_ms" },
		{ "  idle", "idle_ms" },
		{ "  half closed", "half_closed_ms" },
		{ "  keepalive", "keepalive_ms" },
	};
	json_int_t connections = client_number(limits, "connections");
	char text[TEXT_NUMBER_SIZE];

	command_show_add_pair(table, "limits", CELL_PLAIN, " ");
	cli_table_add(table, CELL_DIM, "  connections");
	if (connections)
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)connections);
	else
		cli_table_add(table, CELL_PLAIN, "none of its own");
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		json_int_t ms = client_number(limits, times[i][1]);
		command_show_add_pair(table, times[i][0], CELL_PLAIN,
				      ms ? cli_text_duration((uint64_t)ms, text) : "none");
	}
}

/* The first port that clients are likely to ask for. */
static unsigned command_show_door_port(const json_t *sandbox)
{
	enum { AGENT_PORT = 49983 };
	json_int_t port = client_number(sandbox, "ready_port");
	json_t *endpoint;
	size_t i;

	json_array_foreach(json_object_get(sandbox, "endpoints"), i, endpoint)
	{
		if (!port && strcmp(client_text(endpoint, "proto"), "tcp") == 0)
			port = client_number(endpoint, "guest_port");
	}
	return port > 0 && port <= UINT16_MAX ? (unsigned)port : AGENT_PORT;
}

/* The agent's port is open also where the others want a token, unless it has a way of its own. */
static void command_show_add_door_agent(struct table *table, const json_t *door)
{
	if (!client_is(door, "public") && !json_object_get(json_object_get(door, "ports"), "49983"))
		command_show_add_pair(table, "  port 49983", CELL_PLAIN,
				      "public, for E2B's agent has a token of its own");
}

/* STATUS is the daemon's; NULL: there is no door, or none that is known of. */
static void command_show_add_door(struct table *table, const json_t *sandbox, const json_t *status)
{
	const json_t *door = json_object_get(sandbox, "door");
	const json_t *options = json_object_get(json_object_get(status, "uses"), "options");
	bool has_token = *client_text(door, "token_sha256");
	char url[CONFIG_DOOR_URL_SIZE], name[16];
	const char *port;
	json_t *way;

	if (!json_is_object(json_object_get(status, "door")))
		return;
	command_show_add_pair(table, "door", CELL_PLAIN, " ");
	command_show_add_pair(table, "  url", CELL_PLAIN,
			      config_door_url(client_text(json_object_get(options, "door"), "domain"),
					      client_text(sandbox, "id"), client_text(door, "host_label"),
					      command_show_door_port(sandbox), url));
	command_show_add_pair(table, "  open to", CELL_PLAIN,
			      client_is(door, "public") ? "everybody"
			      : has_token               ? "those with the token"
							: "nobody, for it has no token");
	command_show_add_door_agent(table, door);
	json_object_foreach(json_object_get(door, "ports"), port, way)
	{
		snprintf(name, sizeof(name), "  port %.5s", port);
		command_show_add_pair(table, name, CELL_PLAIN, json_string_value(way));
	}
}

static void command_show_add_registration(struct table *table, const json_t *sandbox)
{
	const json_t *bandwidth = json_object_get(sandbox, "bandwidth");
	json_int_t ready_port = client_number(sandbox, "ready_port");

	command_show_add_pair(table, "default", CELL_PLAIN, client_is(sandbox, "default") ? "yes" : "no");
	cli_table_add(table, CELL_DIM, "ready port");
	if (ready_port)
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)ready_port);
	else
		cli_table_add(table, CELL_PLAIN, "none");
	command_show_add_owner(table, json_object_get(sandbox, "tap_owner"));
	command_show_add_labels(table, json_object_get(sandbox, "labels"));
	command_show_add_pair(table, "policy", CELL_PLAIN, " ");
	cli_sandbox_add_policy(table, json_object_get(sandbox, "egress"), "  ");
	command_show_add_pair(table, "bandwidth", CELL_PLAIN, " ");
	command_show_add_rate(table, "  to the guest", json_object_get(bandwidth, "to_guest"));
	command_show_add_rate(table, "  from the guest", json_object_get(bandwidth, "from_guest"));
	command_show_add_limits(table, json_object_get(sandbox, "limits"));
	command_show_add_wake(table, sandbox);
}

static void command_show_print(const struct cli *cli, const json_t *sandbox, const json_t *status)
{
	static const char *const headings[] = { "", "|", NULL };
	struct table *table = cli_table_new(headings);

	command_show_add_pair(table, "sandbox", CELL_PLAIN, client_text(sandbox, "id"));
	if (*client_text(sandbox, "name"))
		command_show_add_pair(table, "name", CELL_PLAIN, client_text(sandbox, "name"));
	command_show_add_state(table, sandbox);
	cli_table_add(table, CELL_DIM, "slot");
	cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(sandbox, "slot"));
	command_show_add_network(table, sandbox);
	command_show_add_time(table, "registered", client_text(sandbox, "registered_at"));
	command_show_add_time(table, "last activity", client_text(sandbox, "last_activity"));
	command_show_add_idle(table, sandbox);
	command_show_add_counters(table, json_object_get(sandbox, "counters"));
	command_show_add_registration(table, sandbox);
	command_show_add_door(table, sandbox, status);
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
	cli_sandbox_print_endpoints(&cli->screen, sandbox, (int)strlen("  connect deadline"));
}

/* Which of the addresses of a port that is not open are not, and who has them. */
static void command_show_print_not_open(const struct cli *cli, const json_t *sandbox, const json_t *status)
{
	static const char *const headings[] = { "", "|", NULL };
	struct table *table = cli_table_new(headings);

	cli_sandbox_add_not_open(table, json_object_get(status, "not_open"), client_text(sandbox, "id"));
	if (cli_table_rows(table))
		cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

/* Whether the daemon's status has more about SANDBOX. */
static bool command_show_needs_status(const json_t *sandbox)
{
	bool closed = false;
	json_t *endpoint;
	size_t i;

	json_array_foreach(json_object_get(sandbox, "endpoints"), i, endpoint) closed =
	    closed || json_is_false(json_object_get(endpoint, "open"));
	return closed || json_is_object(json_object_get(sandbox, "door"));
}

static int command_show_for_people(const struct cli *cli, const json_t *sandbox)
{
	json_t *status = NULL;
	int code = command_show_needs_status(sandbox) ? cli_get(cli, &status, "/v1/status") : CLI_DONE;

	command_show_print(cli, sandbox, status);
	if (code == CLI_DONE)
		command_show_print_not_open(cli, sandbox, status);
	json_decref(status);
	return code;
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
		code = command_show_for_people(cli, sandbox);
	json_decref(sandbox);
	return code;
}

int command_show(const struct cli *cli)
{
	bool others = false;

	if (cli->args->given_count > 1)
		return cli_usage(cli, "--%s and --%s exclude each other", cli->args->given[0].option->name,
				 cli->args->given[1].option->name);
	return cli_ids_each(cli, command_show_one, &others);
}
