/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a sandbox that several commands print alike.
 */
#include "cli/sandbox.h"

#include "base/cleanup.h"
#include "cli/call.h"
#include "cli/print_text.h"

#include <stdlib.h>
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

bool cli_sandbox_is_asleep(const json_t *sandbox)
{
	return strcmp(client_text(sandbox, "state"), "paused") == 0 && json_is_object(json_object_get(sandbox, "wake"));
}

bool cli_sandbox_is_asked(const json_t *sandbox)
{
	return cli_sandbox_is_asleep(sandbox) && *client_text(json_object_get(sandbox, "wake"), "asked_at");
}

const char *cli_sandbox_state_word(const json_t *sandbox)
{
	if (!cli_sandbox_is_asleep(sandbox))
		return client_text(sandbox, "state");
	return cli_sandbox_is_asked(sandbox) ? "waking" : "asleep";
}

/* "80" or "53/udp" of each endpoint, once. */
static void cli_sandbox_write_published(FILE *out, const json_t *endpoints)
{
	const char *between = "";
	json_t *endpoint, *other;
	size_t i, j;

	json_array_foreach(endpoints, i, endpoint)
	{
		const char *proto = client_text(endpoint, "proto");
		json_int_t port = client_number(endpoint, "guest_port");

		json_array_foreach(endpoints, j, other)
		{
			if (j == i ||
			    (client_number(other, "guest_port") == port && !strcmp(client_text(other, "proto"), proto)))
				break;
		}
		if (j < i)
			continue;
		fprintf(out, "%s%lld%s", between, (long long)port, strcmp(proto, "udp") == 0 ? "/udp" : "");
		between = ", ";
	}
	if (!*between)
		fputs("(there are none)", out);
}

char *cli_sandbox_wakers_text(const json_t *sandbox)
{
	const json_t *wake = json_object_get(sandbox, "wake"), *ports = json_object_get(wake, "ports");
	struct base_text text;
	FILE *out = cli_text_open(&text);
	json_t *port;
	size_t i;

	if (json_is_array(ports)) {
		fputs(json_array_size(ports) > 1 ? "ports " : "port ", out);
		json_array_foreach(ports, i, port)
		{
			fputs(i ? ", " : "", out);
			if (json_is_string(port))
				fputs(json_string_value(port), out);
			else
				fprintf(out, "%lld", (long long)json_integer_value(port));
		}
	} else if (strcmp(client_text(wake, "ports"), "published") == 0) {
		fputs("published ports ", out);
		cli_sandbox_write_published(out, json_object_get(sandbox, "endpoints"));
	} else {
		fputs(json_is_object(wake) ? "any port" : "nothing", out);
	}
	return cli_text_close(&text, out);
}

char *cli_sandbox_listen_text(const json_t *endpoint)
{
	const json_t *listen = json_object_get(endpoint, "listen");
	struct base_text text;
	size_t i;
	json_t *address;
	FILE *out = cli_text_open(&text);

	if (json_is_string(listen))
		fputs(json_string_value(listen), out);
	json_array_foreach(listen, i, address)
	    fprintf(out, "%s%s", i ? ", " : "", json_is_string(address) ? json_string_value(address) : "?");
	return cli_text_close(&text, out);
}

/* Why clients of ENDPOINT go through the forwarder and not by the kernel; "": nothing to say about this endpoint. */
static const char *cli_sandbox_path_reason(const json_t *endpoint)
{
	const char *reason = client_text(endpoint, "path_reason");

	/* These two hold for all endpoints of the host: `status' and `doctor' show them. */
	return strcmp(reason, "off") == 0 || strcmp(reason, "not-there") == 0 ? "" : reason;
}

/* "kernel", "forwarder: limits", "nat". The caller frees. */
static char *cli_sandbox_way_text(const json_t *endpoint)
{
	bool kernel = strcmp(client_text(endpoint, "path"), "kernel") == 0;
	const char *via = client_text(endpoint, "via"), *reason = cli_sandbox_path_reason(endpoint);
	bool forwarder = strcmp(via, "forwarder") == 0;
	char *text;

	if (asprintf(&text, "%s%s%s", forwarder && kernel ? "kernel" : via, forwarder && *reason ? ": " : "",
		     forwarder ? reason : "") < 0)
		abort();
	return text;
}

/* The way of a port: "nat, proxy-v2, not open". The usual way, the forwarder, is named if WHOLE. The caller frees. */
static char *cli_sandbox_kind_text(const json_t *endpoint, bool whole)
{
	AUTO_FREE char *via = cli_sandbox_way_text(endpoint);
	const char *proxy = client_text(endpoint, "proxy_protocol");
	bool usual = strcmp(client_text(endpoint, "via"), "forwarder") == 0 && !whole;
	bool closed = json_is_false(json_object_get(endpoint, "open"));
	char *text;

	if (asprintf(&text, "%s%s%s%s%s%s", usual ? "" : via, !usual && *proxy ? ", " : "", *proxy ? "proxy-" : "",
		     proxy, closed && (!usual || *proxy) ? ", " : "", closed ? "not open" : "") < 0)
		abort();
	return text;
}

/* The part of the address LISTEN to show: the port alone on loopback. */
static const char *cli_sandbox_short_listen(const json_t *listen, bool wide)
{
	const char *text = json_is_string(listen) ? json_string_value(listen) : "?";
	bool loopback = strncmp(text, "127.0.0.1:", 10) == 0 || strncmp(text, "[::1]:", 6) == 0;

	return loopback && !wide ? strrchr(text, ':') + 1 : text;
}

char *cli_sandbox_ports_text(const json_t *sandbox, bool wide)
{
	json_t *endpoint, *listen;
	struct base_text text;
	size_t i, k, before;
	FILE *out = cli_text_open(&text);

	json_array_foreach(json_object_get(sandbox, "endpoints"), i, endpoint)
	{
		const json_t *addresses = json_object_get(endpoint, "listen");
		fputs(i ? ", " : "", out);
		json_array_foreach(addresses, k, listen)
		{
			const char *shown = cli_sandbox_short_listen(listen, wide);
			/* The same port of both families is one to a reader. */
			for (before = 0; before < k; before++)
				if (strcmp(cli_sandbox_short_listen(json_array_get(addresses, before), wide), shown) ==
				    0)
					break;
			if (before == k)
				fprintf(out, "%s%s", k ? "," : "", shown);
		}
		fprintf(out, "->%lld/%s", (long long)client_number(endpoint, "guest_port"),
			client_text(endpoint, "proto"));
		AUTO_FREE char *kind = cli_sandbox_kind_text(endpoint, wide);
		fprintf(out, *kind ? "(%s)" : "%s", kind);
	}
	return cli_text_close(&text, out);
}

char *cli_sandbox_labels_text(const json_t *labels, const char *between)
{
	const char *lead = "";
	struct base_text text;
	const char *key;
	json_t *label;
	FILE *out = cli_text_open(&text);

	json_object_foreach((json_t *)labels, key, label)
	{
		fprintf(out, "%s%s=%s", lead, key, json_is_string(label) ? json_string_value(label) : "?");
		lead = between;
	}
	return cli_text_close(&text, out);
}

void cli_sandbox_print_endpoints(const struct screen *screen, const json_t *sandbox, int name_width)
{
	static const char *const headings[] = { "", "", "|", "", NULL };
	const json_t *endpoints = json_object_get(sandbox, "endpoints");
	struct table *table = cli_table_new(headings);
	json_t *endpoint;
	size_t i;

	json_array_foreach(endpoints, i, endpoint)
	{
		AUTO_FREE char *listen = cli_sandbox_listen_text(endpoint);
		cli_table_addf(table, CELL_DIM, "%-*s", name_width, i ? " " : "endpoints");
		cli_table_addf(table, CELL_PLAIN, "%lld/%s", (long long)client_number(endpoint, "guest_port"),
			       client_text(endpoint, "proto"));
		cli_table_add(table, CELL_PLAIN, listen);
		AUTO_FREE char *kind = cli_sandbox_kind_text(endpoint, true);
		cli_table_add(table, json_is_false(json_object_get(endpoint, "open")) ? CELL_BAD : CELL_DIM, kind);
	}
	if (!json_array_size(endpoints)) {
		cli_table_addf(table, CELL_DIM, "%-*s", name_width, "endpoints");
		cli_table_add(table, CELL_PLAIN, "none");
		cli_table_add(table, CELL_PLAIN, " ");
		cli_table_add(table, CELL_PLAIN, " ");
	}
	cli_table_print(table, screen);
	cli_table_free(table);
}

/* "10.1.2.3/32 tcp 5432,8000-8099". */
static void cli_sandbox_add_rule(struct table *table, const char *lead, const char *name, const json_t *rule)
{
	struct base_text written;
	json_t *port;
	size_t i;
	FILE *out = cli_text_open(&written);

	fputs(json_is_string(rule) ? json_string_value(rule) : client_text(rule, "cidr"), out);
	if (*client_text(rule, "proto"))
		fprintf(out, " %s", client_text(rule, "proto"));
	else if (json_object_get(rule, "proto"))
		fprintf(out, " %lld", (long long)client_number(rule, "proto"));
	json_array_foreach(json_object_get(rule, "ports"), i, port)
	{
		fputs(i ? "," : " ", out);
		if (json_is_string(port))
			fputs(json_string_value(port), out);
		else
			fprintf(out, "%lld", (long long)json_integer_value(port));
	}
	AUTO_FREE char *text = cli_text_close(&written, out);
	cli_table_addf(table, CELL_DIM, "%s%s", lead, name);
	cli_table_add(table, CELL_PLAIN, text);
}

void cli_sandbox_add_policy(struct table *table, const json_t *egress, const char *lead)
{
	json_t *rule;
	size_t i;

	cli_table_addf(table, CELL_DIM, "%sinternet", lead);
	cli_table_add(table, CELL_PLAIN, client_is(egress, "internet") ? "yes" : "no");
	json_array_foreach(json_object_get(egress, "allow"), i, rule) cli_sandbox_add_rule(table, lead, "allow", rule);
	json_array_foreach(json_object_get(egress, "deny"), i, rule) cli_sandbox_add_rule(table, lead, "deny", rule);
	if (client_number(egress, "dscp")) {
		cli_table_addf(table, CELL_DIM, "%sdscp", lead);
		cli_table_addf(table, CELL_PLAIN, "%lld", (long long)client_number(egress, "dscp"));
	}
	if (client_is(egress, "isolated")) {
		cli_table_addf(table, CELL_DIM, "%sisolated", lead);
		cli_table_add(table, CELL_PLAIN, "yes: nothing that the guest begins gets out, whatever stands above");
	}
}

/* The reason of ADDRESS, which may begin with the address that stands before it. */
static const char *cli_sandbox_reason(const json_t *address)
{
	const char *text = client_text(address, "address"), *error = client_text(address, "error");
	size_t length = strlen(text);

	return strncmp(error, text, length) == 0 && error[length] == ' ' ? error + length : error;
}

void cli_sandbox_add_not_open(struct table *table, const json_t *list, const char *id)
{
	enum { SHOWN_MAX = 20 };
	AUTO_FREE char *owner = NULL;
	size_t i, shown = 0;
	json_t *address;

	if (asprintf(&owner, "sandbox %s", id ? id : "") < 0)
		abort();
	json_array_foreach(list, i, address)
	{
		const char *of = client_text(address, "what"), *reason = cli_sandbox_reason(address);
		if (id && strcmp(of, owner) != 0)
			continue;
		cli_table_add(table, CELL_DIM, shown ? " " : "not open");
		if (shown++ == SHOWN_MAX) {
			cli_table_addf(table, CELL_BAD, "and %zu more", json_array_size(list) - i);
			break;
		}
		cli_table_addf(table, CELL_BAD, "%s/%s of %s%s%s", client_text(address, "address"),
			       client_text(address, "proto"), of, *reason == ' ' ? "" : ": ", reason);
	}
}
