/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl ls: one row a sandbox.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"

#include <string.h>

/* "/v1/sandboxes?state=S&label=K%3DV". The caller frees. */
static char *command_ls_target(const struct args *args)
{
	const char *state = cli_args_value(args, "state");
	const char *label;
	char *target = NULL;
	size_t size;
	FILE *out = open_memstream(&target, &size);

	if (!out)
		abort();
	fputs("/v1/sandboxes", out);
	if (state)
		fprintf(out, "?state=%s", state);
	for (size_t n = 0; (label = cli_args_value_at(args, "label", n)); n++) {
		AUTO_FREE char *escaped = cli_escape(label);
		fprintf(out, "%clabel=%s", n || state ? '&' : '?', escaped);
	}
	if (fclose(out) != 0 || !target)
		abort();
	return target;
}

/* "49983:20000 8080:18080": guest port and the port where it is published, the address only where it is not loopback. */
static void command_ls_add_ports(struct table *table, const json_t *sandbox)
{
	AUTO_FREE char *text = NULL;
	json_t *endpoint;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	json_array_foreach(json_object_get(sandbox, "endpoints"), i, endpoint)
	{
		const json_t *first = json_array_get(json_object_get(endpoint, "listen"), 0);
		const char *listen = json_is_string(first) ? json_string_value(first) : "";
		const char *colon = strrchr(listen, ':');
		bool loopback = strncmp(listen, "127.0.0.1:", 10) == 0 || strncmp(listen, "[::1]:", 6) == 0;
		fprintf(out, "%s%s->%lld", i ? " " : "", loopback ? colon + 1 : listen,
			(long long)client_number(endpoint, "guest_port"));
	}
	if (fclose(out) != 0)
		abort();
	cli_table_add(table, CELL_PLAIN, text);
}

static void command_ls_print(const struct cli *cli, const json_t *sandboxes)
{
	static const char *const headings[] = { "SANDBOX", ">SLOT", "STATE",   ">SINCE", "NETNS",
						"HOST-IP", ">CONN", "DEFAULT", "~PORTS", NULL };
	struct table *table = cli_table_new(headings);
	int64_t now_ms = clock_wall_ms();
	char since[TEXT_NUMBER_SIZE];
	json_t *sandbox;
	size_t i;

	json_array_foreach(sandboxes, i, sandbox)
	{
		const json_t *counters = json_object_get(sandbox, "counters");
		const char *state = client_text(sandbox, "state");
		cli_table_add(table, CELL_PLAIN, client_text(sandbox, "id"));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(sandbox, "slot"));
		cli_table_add(table, cli_sandbox_style(state), state);
		cli_table_add(table, CELL_PLAIN, cli_text_since(client_text(sandbox, "since"), now_ms, since));
		cli_table_add(table, CELL_PLAIN, client_text(sandbox, "netns"));
		cli_table_add(table, CELL_PLAIN, client_text(sandbox, "host_ip"));
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(counters, "connections_open"));
		cli_table_add(table, CELL_PLAIN, client_is(sandbox, "default") ? "yes" : "-");
		command_ls_add_ports(table, sandbox);
	}
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

int command_ls(const struct cli *cli)
{
	AUTO_FREE char *target = command_ls_target(cli->args);
	json_t *answer = NULL;
	int code = cli_get(cli, &answer, "%s", target);

	if (code != CLI_DONE)
		return code;
	const json_t *sandboxes = json_object_get(answer, "sandboxes");
	if (cli->json)
		cli_print_json(answer);
	else if (!json_is_array(sandboxes))
		code = cli_fail(cli, CLI_FAILED, "%s: the answer has no list of sandboxes", cli->socket);
	else
		command_ls_print(cli, sandboxes);
	json_decref(answer);
	return code;
}
