/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl policy: the API replaces a policy whole, while a person changes a part of it. So the policy in force is read,
 * changed and sent back. Two people who do that at once overwrite each other, as with any editor.
 */
#include "base/addr.h"
#include "base/addr_proto.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/sandbox.h"
#include "cli/value_args.h"

#include <string.h>

/* "80" or "8000-8099". NULL with ERR. */
static json_t *command_policy_read_port(const char *what, const char *word, struct err *err)
{
	const char *dash = strchr(word, '-');
	long first, last;

	if (!dash)
		return cli_args_number(what, word, 1, 65535, &first, err) < 0 ? NULL : json_integer(first);
	AUTO_FREE char *start = strndup(word, (size_t)(dash - word));
	if (cli_args_number(what, start, 1, 65535, &first, err) < 0 ||
	    cli_args_number(what, dash + 1, 1, 65535, &last, err) < 0)
		return NULL;
	if (first > last) {
		err_set(err, 0, "%s: '%s' ends before it begins", what, word);
		return NULL;
	}
	return json_sprintf("%ld-%ld", first, last);
}

/* "5432,8000-8099". NULL with ERR. */
static json_t *command_policy_read_ports(const char *what, const char *text, struct err *err)
{
	AUTO_FREE char *copy = strdup(text);
	json_t *ports = json_array();
	char *rest = copy;

	for (char *word; (word = strsep(&rest, ","));) {
		json_t *port = command_policy_read_port(what, word, err);
		if (!port) {
			json_decref(ports);
			return NULL;
		}
		json_array_append_new(ports, port);
	}
	return ports;
}

/* "10.1.2.3/32:tcp:5432". NULL with ERR. */
static json_t *command_policy_read_rule(const char *option, const char *text, struct err *err)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;
	const char *network = strsep(&rest, ":");
	const char *proto = strsep(&rest, ":");
	struct cidr4 cidr;
	uint8_t number;
	char what[32];

	snprintf(what, sizeof(what), "--%s", option);
	if (cli_value_is_ipv6(text)) {
		err_set(err, 0, "%s %s: guests have IPv4 alone, so that no IPv6 address can be reached", what, text);
		return NULL;
	}
	if (addr_cidr4_parse(network, &cidr) < 0) {
		err_set(err, 0, "%s %s: '%s' is not an IPv4 network", what, text, network);
		return NULL;
	}
	if (!proto)
		return json_string(network);
	if (addr_ip_proto_parse(proto, &number) < 0) {
		err_set(err, 0, "%s %s: '%s' is not " ADDR_IP_PROTO_ALLOWED, what, text, proto);
		return NULL;
	}
	if (rest && !addr_ip_proto_has_ports(number)) {
		err_set(err, 0, "%s %s: only tcp and udp have ports", what, text);
		return NULL;
	}
	proto = addr_ip_proto_name(number);
	if (!rest)
		return json_pack("{s:s, s:o}", "cidr", network, "proto",
				 proto ? json_string(proto) : json_integer(number));
	json_t *ports = command_policy_read_ports(what, rest, err);
	return ports ? json_pack("{s:s, s:s, s:o}", "cidr", network, "proto", proto, "ports", ports) : NULL;
}

/* The values given for OPTION ("allow", "deny") replace the list in EGRESS. 0, or -1 with ERR. */
static int command_policy_change_list(json_t *egress, const struct args *args, const char *option, struct err *err)
{
	json_t *list = json_array();
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, option, n)); n++) {
		if (strcmp(text, "none") == 0 && !cli_args_value_at(args, option, 1))
			continue;
		json_t *rule = command_policy_read_rule(option, text, err);
		if (!rule) {
			json_decref(list);
			return -1;
		}
		json_array_append_new(list, rule);
	}
	if (cli_args_has(args, option))
		json_object_set(egress, option, list);
	json_decref(list);
	return 0;
}

static int command_policy_change(json_t *egress, const struct args *args, struct err *err)
{
	static const char *const switches[] = { "internet", "isolated" };
	const char *dscp = cli_args_value(args, "dscp");
	long value;

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		const char *word = cli_args_value(args, switches[i]);
		if (word)
			json_object_set_new(egress, switches[i], json_boolean(strcmp(word, "yes") == 0));
	}
	if (dscp && cli_args_number("--dscp", dscp, 0, 63, &value, err) < 0)
		return -1;
	if (dscp)
		json_object_set_new(egress, "dscp", json_integer(value));
	if (command_policy_change_list(egress, args, "allow", err) < 0)
		return -1;
	return command_policy_change_list(egress, args, "deny", err);
}

static void command_policy_add_entries(struct table *table, const json_t *entries, const char *title, const char *note)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		cli_table_add(table, CELL_DIM, i ? " " : title);
		cli_table_addf(table, CELL_PLAIN, "%s%s", json_string_value(entry), i ? "" : note);
	}
}

/* The host's services are open and its proxies judge TCP, before the lists are asked. */
static void command_policy_add_host(const struct cli *cli, struct table *table)
{
	json_t *status = NULL;

	if (cli_get(cli, &status, "/v1/status") == CLI_DONE) {
		const json_t *options = json_object_get(json_object_get(status, "uses"), "options");
		const json_t *egress = json_object_get(options, "egress");
		command_policy_add_entries(table, json_object_get(egress, "allow_host"), "services",
					   "  [egress] allow_host: open, whatever stands above");
		command_policy_add_entries(table, json_object_get(egress, "redirect"), "proxies",
					   "  [egress] redirect: they judge TCP, and the policy judges the rest");
	}
	json_decref(status);
}

static void command_policy_print(const struct cli *cli, const json_t *sandbox)
{
	static const char *const headings[] = { "", "|", NULL };
	const json_t *egress = json_object_get(sandbox, "egress");

	if (cli->json) {
		cli_print_json(egress);
		return;
	}
	struct table *table = cli_table_new(headings);
	cli_sandbox_add_policy(table, egress, "");
	if (!client_is(egress, "isolated"))
		command_policy_add_host(cli, table);
	cli_table_print(table, &cli->screen);
	cli_table_free(table);
}

int command_policy(const struct cli *cli)
{
	bool changes = cli->args->given_count > 0;
	json_t *sandbox = NULL, *changed = NULL;
	struct cli_id id;
	struct err err;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	/* A mistake in the arguments is reported before the daemon is asked. */
	json_t *egress = json_object();
	int understood = command_policy_change(egress, cli->args, &err);
	json_decref(egress);
	if (understood < 0)
		return cli_usage(cli, "%s", err.text);

	int code = changes ? cli_get(cli, &sandbox, "/v1/sandboxes/%s", id.text)
			   : cli_get_sandbox(cli, &id, 0, &sandbox, "%s", "");
	if (code == CLI_DONE && !changes) {
		command_policy_print(cli, sandbox);
	} else if (code == CLI_DONE) {
		const json_t *in_force = json_object_get(sandbox, "egress");
		egress = in_force ? json_deep_copy(in_force) : json_object();
		command_policy_change(egress, cli->args, &err);
		code = cli_patch(cli, id.text, json_pack("{s:o}", "egress", egress), &changed);
		if (code == CLI_DONE && !cli->json)
			command_policy_print(cli, changed);
	}
	json_decref(sandbox);
	json_decref(changed);
	return code;
}
