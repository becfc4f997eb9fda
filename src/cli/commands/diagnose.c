/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl diagnose: the daemon walks, this prints. The sandbox itself is asked for too, for the line on top.
 */
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/print_text.h"

#include <string.h>

static void add_hop(struct table *table, const json_t *hop)
{
	const char *status = api_text(hop, "status");
	const char *detail = api_text(hop, "detail");
	bool ok = strcmp(status, "ok") == 0;
	bool fail = strcmp(status, "fail") == 0;

	table_add(table, ok ? CELL_GOOD : fail ? CELL_BAD : CELL_DIM, ok ? "  ok" : fail ? "  FAIL" : "  -");
	table_add(table, CELL_PLAIN, api_text(hop, "hop"));
	table_add(table, CELL_PLAIN, api_text(hop, "subject"));
	table_add(table, CELL_PLAIN, *detail || ok || fail ? detail : "not tried");
}

/* Whether a narrow screen cuts the details behind the longest hop's name and subject, should one be LENGTH wide. */
static bool is_cut(const struct screen *screen, const json_t *hops, size_t length)
{
	size_t names = 0, subjects = 0, i;
	json_t *hop;

	json_array_foreach(hops, i, hop)
	{
		size_t name = text_width(api_text(hop, "hop")), subject = text_width(api_text(hop, "subject"));
		names = name > names ? name : names;
		subjects = subject > subjects ? subject : subjects;
	}
	return screen->columns && strlen("  FAIL  ") + names + 2 + subjects + 2 + length > screen->columns;
}

/* What was found at the broken hop is what the reader came for: in full, where its row in the table was cut. */
static void print_found(const struct screen *screen, const json_t *hops)
{
	json_t *hop;
	size_t i;

	json_array_foreach(hops, i, hop)
	{
		const char *detail = api_text(hop, "detail");
		if (strcmp(api_text(hop, "status"), "fail") == 0 && is_cut(screen, hops, text_width(detail)))
			text_print(stdout, "found: %s: %s\n", api_text(hop, "hop"), detail);
	}
}

/* What is broken, and what to do about it. */
static void print_cause(const json_t *diagnosis)
{
	const char *cause = api_text(diagnosis, "cause");
	const char *next_step = api_text(diagnosis, "next_step");
	size_t length = strlen(cause);

	if (*cause) {
		const char *stop = strchr(".!?:", cause[length - 1]) ? "" : ".";
		text_print(stdout, "cause: %s%s\n", cause, stop);
	}
	if (*next_step)
		text_print(stdout, "       %s\n", next_step);
}

static void print_diagnosis(const struct cli *cli, const char *id, const json_t *sandbox, const json_t *diagnosis)
{
	static const char *const headings[] = { "", "", "", "~", NULL };
	struct table *table = table_new(headings);
	json_t *hop;
	size_t i;

	text_print(stdout, "sandbox %s", id);
	if (sandbox)
		text_print(stdout, "  slot %lld  state %s", (long long)api_number(sandbox, "slot"),
			   api_text(sandbox, "state"));
	putchar('\n');
	json_array_foreach(json_object_get(diagnosis, "hops"), i, hop) add_hop(table, hop);
	table_print(table, &cli->screen, 0);
	table_free(table);
	print_found(&cli->screen, json_object_get(diagnosis, "hops"));
	print_cause(diagnosis);
}

int cmd_diagnose(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	json_t *diagnosis = NULL, *sandbox = NULL;

	if (!id)
		return CLI_USAGE;
	int code = cli->json ? CLI_DONE : api_get(cli, &sandbox, "/v1/sandboxes/%s", id);
	if (code == CLI_DONE)
		code = api_get(cli, &diagnosis, "/v1/sandboxes/%s/diagnosis", id);
	if (code == CLI_DONE) {
		if (cli->json)
			api_print(diagnosis);
		else
			print_diagnosis(cli, id, sandbox, diagnosis);
		if (json_is_string(json_object_get(diagnosis, "broken")))
			code = CLI_FAULT;
	}
	json_decref(diagnosis);
	json_decref(sandbox);
	return code;
}
