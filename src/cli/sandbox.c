/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a sandbox that several commands print alike.
 */
#include "cli/sandbox.h"

#include "base/cleanup.h"
#include "cli/call.h"

#include <string.h>

enum cell_style cli_sandbox_style(const char *state)
{
	static const struct {
		const char *state;
		enum cell_style style;
	} styles[] = {
		{ "ready", CELL_GOOD }, { "failed", CELL_BAD },   { "detached", CELL_ODD },
		{ "paused", CELL_ODD }, { "draining", CELL_DIM }, { "creating", CELL_DIM },
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(state, styles[i].state) == 0)
			return styles[i].style;
	return CELL_PLAIN;
}

char *cli_sandbox_listen_text(const json_t *endpoint)
{
	const json_t *listen = json_object_get(endpoint, "listen");
	char *text = NULL;
	size_t size, i;
	json_t *address;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	if (json_is_string(listen))
		fputs(json_string_value(listen), out);
	json_array_foreach(listen, i, address)
	    fprintf(out, "%s%s", i ? ", " : "", json_is_string(address) ? json_string_value(address) : "?");
	if (fclose(out) != 0 || !text)
		abort();
	return text;
}

void cli_sandbox_print_endpoints(const struct screen *screen, const json_t *sandbox)
{
	static const char *const headings[] = { "", "", "|", "", NULL };
	const json_t *endpoints = json_object_get(sandbox, "endpoints");
	struct table *table = cli_table_new(headings);
	json_t *endpoint;
	size_t i;

	json_array_foreach(endpoints, i, endpoint)
	{
		AUTO_FREE char *listen = cli_sandbox_listen_text(endpoint);
		cli_table_add(table, CELL_DIM, i ? " " : "endpoints");
		cli_table_addf(table, CELL_PLAIN, "%lld/%s", (long long)client_number(endpoint, "guest_port"),
			       client_text(endpoint, "proto"));
		cli_table_add(table, CELL_PLAIN, listen);
		if (json_is_false(json_object_get(endpoint, "open")))
			cli_table_addf(table, CELL_BAD, "via %s, not open", client_text(endpoint, "via"));
		else
			cli_table_addf(table, CELL_DIM, "via %s", client_text(endpoint, "via"));
	}
	cli_table_print(table, screen);
	cli_table_free(table);
}

/* "10.1.2.3/32 tcp 5432,8000-8099". */
static void cli_sandbox_add_rule(struct table *table, const char *name, const json_t *rule)
{
	AUTO_FREE char *text = NULL;
	json_t *port;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fputs(json_is_string(rule) ? json_string_value(rule) : client_text(rule, "cidr"), out);
	if (*client_text(rule, "proto"))
		fprintf(out, " %s", client_text(rule, "proto"));
	json_array_foreach(json_object_get(rule, "ports"), i, port)
	{
		fputs(i ? "," : " ", out);
		if (json_is_string(port))
			fputs(json_string_value(port), out);
		else
			fprintf(out, "%lld", (long long)json_integer_value(port));
	}
	if (fclose(out) != 0)
		abort();
	cli_table_add(table, CELL_DIM, name);
	cli_table_add(table, CELL_PLAIN, text);
}

void cli_sandbox_add_policy(struct table *table, const json_t *egress)
{
	json_t *rule;
	size_t i;

	cli_table_add(table, CELL_DIM, "internet");
	cli_table_add(table, CELL_PLAIN, client_is(egress, "internet") ? "yes" : "no");
	json_array_foreach(json_object_get(egress, "allow"), i, rule) cli_sandbox_add_rule(table, "allow", rule);
	json_array_foreach(json_object_get(egress, "deny"), i, rule) cli_sandbox_add_rule(table, "deny", rule);
}
