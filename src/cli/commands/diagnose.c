/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl diagnose: prints the walk of the daemon. The sandbox is read too, for the line on top.
 */
#include "base/addr.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"
#include "cli/sandbox.h"

#include <string.h>

/* How a status reads and looks. */
static const struct {
	const char *status, *word;
	enum cell_style style;
} words[] = {
	{ "ok", "  ok", CELL_GOOD },
	{ "fail", "  FAIL", CELL_BAD },
	{ "idle", "  idle", CELL_DIM },
	{ "skipped", "  -", CELL_DIM },
};

static void command_diagnose_add_hop(struct table *table, const json_t *hop)
{
	const char *status = client_text(hop, "status");
	const char *detail = client_text(hop, "detail");
	size_t i = 0, last = sizeof(words) / sizeof(words[0]) - 1;

	while (i < last && strcmp(words[i].status, status) != 0)
		i++;
	cli_table_add(table, words[i].style, words[i].word);
	cli_table_add(table, CELL_PLAIN, client_text(hop, "hop"));
	cli_table_add(table, CELL_PLAIN, client_text(hop, "subject"));
	cli_table_add(table, CELL_PLAIN, *detail || i < last ? detail : "not tried");
}

/* The cause, and the next step. */
static void command_diagnose_print_cause(const struct screen *screen, const json_t *diagnosis)
{
	const char *cause = client_text(diagnosis, "cause");
	const char *next_step = client_text(diagnosis, "next_step");
	size_t length = strlen(cause);

	if (*cause)
		cli_screen_wrap(screen, CELL_PLAIN, "cause: ", "%s%s", cause,
				strchr(".!?:", cause[length - 1]) ? "" : ".");
	if (*next_step)
		cli_screen_wrap(screen, CELL_PLAIN, "       ", "%s", next_step);
}

static void command_diagnose_print(const struct cli *cli, const char *id, const json_t *sandbox,
				   const json_t *diagnosis)
{
	static const char *const headings[] = { "", "", "|", "|", NULL };
	struct table *table = cli_table_new(headings);
	json_t *hop;
	size_t i;

	cli_text_print(stdout, "sandbox %s", id);
	if (sandbox)
		cli_text_print(stdout, "  slot %lld  state %s", (long long)client_number(sandbox, "slot"),
			       cli_sandbox_state_word(sandbox));
	putchar('\n');
	json_array_foreach(json_object_get(diagnosis, "hops"), i, hop) command_diagnose_add_hop(table, hop);
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
	command_diagnose_print_cause(&cli->screen, diagnosis);
}

int command_diagnose(const struct cli *cli)
{
	const char *to = cli_args_value(cli->args, "to");
	struct cli_id id;
	json_t *diagnosis = NULL, *sandbox = NULL;
	uint32_t ip;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	if (to && (addr_ipv4_parse(to, &ip) < 0 || !ip))
		return cli_usage(cli, "--to: '%s' is not an IPv4 address", to);
	int code = cli->json ? CLI_DONE : cli_get_sandbox(cli, &id, 0, &sandbox, "%s", "");
	if (code == CLI_DONE)
		code = cli_get_sandbox(cli, &id, 0, &diagnosis, "/diagnosis%s%s", to ? "?to=" : "", to ? to : "");
	if (code == CLI_DONE) {
		if (cli->json)
			cli_print_json(diagnosis);
		else
			command_diagnose_print(cli, id.text, sandbox, diagnosis);
		if (json_is_string(json_object_get(diagnosis, "broken")))
			code = CLI_FAULT;
	}
	json_decref(diagnosis);
	json_decref(sandbox);
	return code;
}
