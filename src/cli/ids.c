/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole id is asked for as it stands. Only when the daemon knows no such sandbox, the list of all is read, to find those that
 * begin so: a beginning is never taken for another sandbox's whole id, and the usual case costs one request.
 */
#include "cli/ids.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/print_text.h"
#include "cli/suggest.h"
#include "client/ask.h"

#include <string.h>

enum { IDS_TOLD_MAX = 8 };

bool cli_ids_is_valid(const char *text)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t length = strlen(text);

	return length && length <= CLI_ID_MAX && strchr(first, text[0]) &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

static const char *cli_ids_check(const struct cli *cli, const char *id)
{
	if (cli_ids_is_valid(id))
		return id;
	cli_usage(
	    cli, "ID '%s': an id has 1 to 64 letters, digits, '_', '.' and '-', and begins with a letter or digit", id);
	return NULL;
}

const char *cli_sandbox_id(const struct cli *cli)
{
	return cli_ids_check(cli, cli->args->operands[0]);
}

bool cli_ids_read(const struct cli *cli, struct cli_id *id)
{
	const char *text = cli_sandbox_id(cli);

	if (text)
		snprintf(id->text, sizeof(id->text), "%s", text);
	return text != NULL;
}

int cli_ids_worse(int a, int b)
{
	/* From the mildest to the worst. */
	static const int order[] = { CLI_DONE, CLI_FAULT, CLI_NO_SANDBOX, CLI_FAILED, CLI_UNREACHABLE };
	int worst = a;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (order[i] == a || order[i] == b)
			worst = order[i];
	return worst;
}

int cli_ids_each(const struct cli *cli, int (*one)(const struct cli *cli, const char *id, void *context), void *context)
{
	const struct args *args = cli->args;
	struct cli each = *cli;
	int worst = CLI_DONE;

	for (size_t i = 0; i < args->operand_count; i++)
		if (!cli_ids_check(cli, args->operands[i]))
			return CLI_USAGE;
	for (size_t i = 0; i < args->operand_count; i++) {
		each.subject = args->operand_count > 1 ? args->operands[i] : NULL;
		worst = cli_ids_worse(worst, one(&each, args->operands[i], context));
	}
	return worst;
}

json_t *cli_ids_list(const struct cli *cli)
{
	const struct client_request request = { .socket = cli->socket,
						.agent = "weftctl",
						.method = "GET",
						.target = "/v1/sandboxes",
						.timeout_ms = cli->deadline_ms };
	struct client_refusal refusal;
	json_t *answer = NULL;
	struct err ignored;

	switch (client_ask(&request, &answer, &refusal, &ignored)) {
	case CLIENT_DONE:
		break;
	case CLIENT_REFUSED:
		client_refusal_clear(&refusal);
		return NULL;
	case CLIENT_FAILED:
		return NULL;
	}
	json_t *list = json_incref(json_object_get(answer, "sandboxes"));
	json_decref(answer);
	return list;
}

json_t *cli_ids_beginning(const json_t *sandboxes, const char *text)
{
	json_t *found = json_array(), *sandbox;
	size_t length = strlen(text), i;

	json_array_foreach(sandboxes, i, sandbox)
	{
		if (strncmp(client_text(sandbox, "id"), text, length) == 0 ||
		    strncmp(client_text(sandbox, "name"), text, length) == 0)
			json_array_append(found, sandbox);
	}
	return found;
}

const char *cli_ids_close(const json_t *sandboxes, const char *text, bool strict)
{
	struct cli_suggestion suggestion = { .typed = text, .most = strict ? 1 : 0 };
	json_t *sandbox;
	size_t i;

	json_array_foreach(sandboxes, i, sandbox)
	{
		cli_suggest_offer(&suggestion, client_text(sandbox, "id"));
		cli_suggest_offer(&suggestion, client_text(sandbox, "name"));
	}
	return suggestion.best;
}

char *cli_ids_text(const json_t *sandboxes)
{
	size_t count = json_array_size(sandboxes), i;
	struct base_text text;
	FILE *out = cli_text_open(&text);
	json_t *sandbox;

	json_array_foreach(sandboxes, i, sandbox)
	{
		const char *name = client_text(sandbox, "name");

		if (i == IDS_TOLD_MAX && count > IDS_TOLD_MAX + 1) {
			fprintf(out, " and %zu more", count - i);
			break;
		}
		fprintf(out, "%s%s%s%s%s", i ? ", " : "", client_text(sandbox, "id"), *name ? " (" : "", name,
			*name ? ")" : "");
	}
	return cli_text_close(&text, out);
}
