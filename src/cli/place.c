/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A JSON pointer means nothing to somebody who typed options. The lists of a request are made from options or operands in their
 * order, so the number in the pointer finds the argument; other fields have an option each. An argument is named without its
 * address, because the daemon's sentence names that. A body from a file is its writer's: there the pointer stands, with the port.
 */
#include "cli/place.h"

#include "base/cleanup.h"
#include "client/ask.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The lists: of the options called OPTION, or of the operands after the id. */
static const struct {
	const char *prefix, *option;
} place_lists[] = {
	{ "/ports/", "port" },         { "/publish/", NULL },       { "/unpublish/", NULL },
	{ "/egress/allow/", "allow" }, { "/egress/deny/", "deny" },
};

/* The other fields. A prefix that ends with '/' means all below it. */
static const struct {
	const char *field, *option;
} place_options[] = {
	{ "/default", "default" },
	{ "/name", "name" },
	{ "/ready_port", "ready-port" },
	{ "/tap_owner", "tap-owner" },
	{ "/tap_owner/", "tap-owner" },
	{ "/labels", "label" },
	{ "/labels/", "label" },
	{ "/egress/internet", "internet" },
	{ "/egress/dscp", "dscp" },
	{ "/egress/isolated", "isolated" },
	{ "/bandwidth/to_guest/", "to-guest" },
	{ "/bandwidth/from_guest/", "from-guest" },
	{ "/limits/connections", "connections" },
	{ "/limits/connect_deadline_ms", "connect-deadline" },
	{ "/limits/idle_ms", "idle" },
	{ "/limits/half_closed_ms", "half-closed" },
	{ "/limits/keepalive_ms", "keepalive" },
	{ "/door/token_sha256", "door-token" },
	{ "/door/", "door" },
	{ "/wake/min_awake_ms", "min-awake" },
	{ "/wake/timeout_ms", "wake-timeout" },
	{ "/wake/", "wake" },
	{ "/idle_report_ms", "idle-report" },
	{ "drain", "drain" },
	{ "wait", "state" },
};

static bool cli_place_is_below(const char *field, const char *prefix)
{
	return strncmp(field, prefix, strlen(prefix)) == 0;
}

/* The argument behind the place N of a list; NULL: it came from elsewhere. */
static const char *cli_place_argument(const struct args *args, const char *option, size_t n)
{
	if (option)
		return cli_args_value_at(args, option, n);
	return n + 1 < args->operand_count ? args->operands[n + 1] : NULL;
}

static char *cli_place_of_argument(const struct args *args, const char *field)
{
	char *text = NULL;

	for (size_t i = 0; i < sizeof(place_lists) / sizeof(place_lists[0]); i++) {
		if (!cli_place_is_below(field, place_lists[i].prefix))
			continue;
		const char *option = place_lists[i].option;
		size_t n = strtoul(field + strlen(place_lists[i].prefix), NULL, 10);
		const char *argument = cli_place_argument(args, option, n);
		if (!argument)
			continue;
		if (asprintf(&text, "%s%s%s%.*s", option ? "--" : "", option ? option : "", option ? " " : "port ",
			     (int)strcspn(argument, "="), argument) < 0)
			abort();
		return text;
	}
	return NULL;
}

static char *cli_place_of_option(const struct args *args, const char *field)
{
	char *text = NULL;

	for (size_t i = 0; i < sizeof(place_options) / sizeof(place_options[0]); i++) {
		const char *known = place_options[i].field, *option = place_options[i].option;
		bool below = known[strlen(known) - 1] == '/';
		if ((below ? !cli_place_is_below(field, known) : strcmp(field, known) != 0) ||
		    !cli_args_has(args, option))
			continue;
		/* Of the options that repeat, the label's key is in the pointer. */
		if (asprintf(&text, "--%s%s%s", option, below && cli_place_is_below(field, "/labels/") ? " " : "",
			     cli_place_is_below(field, "/labels/") ? field + strlen("/labels/") : "") < 0)
			abort();
		return text;
	}
	return NULL;
}

/* The guest port of the item that FIELD leads into; 0: there is none. */
static json_int_t cli_place_port(const char *field, const char *body, size_t length)
{
	char list[16];
	char *end;

	if (!body || sscanf(field, "/%15[a-z]/", list) != 1)
		return 0;
	size_t n = strtoul(field + strlen(list) + 2, &end, 10);
	json_t *document = json_loadb(body, length, 0, NULL);
	const json_t *item = json_array_get(json_object_get(document, list), n);
	json_int_t port = json_is_integer(item) ? json_integer_value(item) : client_number(item, "guest_port");
	json_decref(document);
	return port;
}

char *cli_place_text(const struct cli *cli, const char *field, const char *body, size_t length)
{
	char *text = cli_place_of_argument(cli->args, field);

	if (!text)
		text = cli_place_of_option(cli->args, field);
	if (text)
		return text;
	/* The command's name, and the daemon's sentence, say which. */
	if (strcmp(field, "id") == 0 || strcmp(field, "timeout") == 0 || strcmp(field, "/default") == 0 ||
	    strcmp(field, "/wake") == 0)
		field = "";
	json_int_t port = cli_place_port(field, body, length);
	if ((port ? asprintf(&text, "%s (guest port %lld)", field, (long long)port) : asprintf(&text, "%s", field)) < 0)
		abort();
	return text;
}
