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
static char *target_of(const struct args *args)
{
	const char *state = args_value(args, "state");
	const char *label;
	char *target = NULL;
	size_t size;
	FILE *out = open_memstream(&target, &size);

	if (!out)
		abort();
	fputs("/v1/sandboxes", out);
	if (state)
		fprintf(out, "?state=%s", state);
	for (size_t n = 0; (label = args_value_at(args, "label", n)); n++) {
		AUTO_FREE char *escaped = api_escape(label);
		fprintf(out, "%clabel=%s", n || state ? '&' : '?', escaped);
	}
	if (fclose(out) != 0 || !target)
		abort();
	return target;
}

/* "49983:20000 8080:18080": guest port and the port where it is published, the address only where it is not loopback. */
static void add_ports(struct table *table, const json_t *sandbox)
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
			(long long)api_number(endpoint, "guest_port"));
	}
	if (fclose(out) != 0)
		abort();
	table_add(table, CELL_PLAIN, text);
}

static void print_list(const struct cli *cli, const json_t *sandboxes)
{
	static const char *const headings[] = { "~SANDBOX", ">SLOT", "STATE",   ">SINCE", "NETNS",
						"HOST-IP",  ">CONN", "DEFAULT", "~PORTS", NULL };
	struct table *table = table_new(headings);
	int64_t now_ms = clock_wall_ms();
	char since[TEXT_NUMBER_SIZE];
	json_t *sandbox;
	size_t i;

	json_array_foreach(sandboxes, i, sandbox)
	{
		const json_t *counters = json_object_get(sandbox, "counters");
		const char *state = api_text(sandbox, "state");
		table_add(table, CELL_PLAIN, api_text(sandbox, "id"));
		table_addf(table, CELL_PLAIN, "%lld", (long long)api_number(sandbox, "slot"));
		table_add(table, sandbox_state_style(state), state);
		table_add(table, CELL_PLAIN, text_since(api_text(sandbox, "since"), now_ms, since));
		table_add(table, CELL_PLAIN, api_text(sandbox, "netns"));
		table_add(table, CELL_PLAIN, api_text(sandbox, "host_ip"));
		table_addf(table, CELL_PLAIN, "%lld", (long long)api_number(counters, "connections_open"));
		table_add(table, CELL_PLAIN, api_is(sandbox, "default") ? "yes" : "-");
		add_ports(table, sandbox);
	}
	table_print(table, &cli->screen, 0);
	table_free(table);
}

int cmd_ls(const struct cli *cli)
{
	AUTO_FREE char *target = target_of(cli->args);
	json_t *answer = NULL;
	int code = api_get(cli, &answer, "%s", target);

	if (code != CLI_DONE)
		return code;
	const json_t *sandboxes = json_object_get(answer, "sandboxes");
	if (cli->json)
		api_print(answer);
	else if (!json_is_array(sandboxes))
		code = cli_fail(cli, CLI_FAILED, "%s: the answer has no list of sandboxes", cli->socket);
	else
		print_list(cli, sandboxes);
	json_decref(answer);
	return code;
}
