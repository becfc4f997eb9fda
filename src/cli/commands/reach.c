/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl reach: asks whether policy allows a destination. "Denied" is an answer and no failure of the command. The API names the
 * kernel's rule and set; people are told whose rule that is, the sandbox's or the host's, for only the former is changed by `policy`.
 */
#include "base/addr.h"
#include "base/addr_proto.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/value_args.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORK_SIZE = 320, LIMIT_SIZE = 32 };

/* The addresses in "SET FIRST-LAST", as a network if they are one; the entry in "allow_host ENTRY"; "" if there are none. */
static void command_reach_read_network(const char *set, char text[static NETWORK_SIZE])
{
	/* An entry may have a path with blanks. */
	const char *range = strncmp(set, "allow_host ", 11) == 0 ? set + 10 : strrchr(set, ' ');
	char first_text[IPV4_TEXT_SIZE] = "";
	uint32_t first, last, size;

	snprintf(text, NETWORK_SIZE, "%s", range ? range + 1 : "");
	size_t length = strcspn(text, "-");
	if (!text[length] || length >= sizeof(first_text))
		return;
	memcpy(first_text, text, length);
	if (addr_ipv4_parse(first_text, &first) < 0 || addr_ipv4_parse(text + length + 1, &last) < 0 || last < first)
		return;
	/* A network's size is a power of two, and divides its first address; all of IPv4 has size 0 here. */
	size = last - first + 1;
	if ((size & (size - 1)) == 0 && (first & (size - 1)) == 0)
		snprintf(text, NETWORK_SIZE, "%s/%d", first_text, size ? __builtin_clz(size) + 1 : 0);
}

/* What the kind of SET says of a rule besides its addresses: " for gre", " for tcp port 443", or "". */
static void command_reach_limit(const char *set, uint8_t proto, const char *port, char text[static LIMIT_SIZE])
{
	size_t length = strcspn(set, " ");
	bool of_port = length > 5 && strncmp(set + length - 5, "_port", 5) == 0;
	bool of_proto = length > 6 && strncmp(set + length - 6, "_proto", 6) == 0;
	char name[ADDR_IP_PROTO_TEXT_SIZE];

	*text = '\0';
	if (of_port || of_proto)
		snprintf(text, LIMIT_SIZE, " for %s%s%.5s", addr_ip_proto_format(proto, name), of_port ? " port " : "",
			 of_port ? port : "");
}

/* "this sandbox's policy: deny 203.0.113.0/24". The caller frees. */
static char *command_reach_describe(const json_t *answer, uint8_t proto, const char *port)
{
	static const struct {
		const char *rule;
		bool allowed;
		const char *before, *behind; /* the network */
	} sentences[] = {
		{ "dns", true, "the host: ", " is the guests' DNS server" },
		{ "allow_host", true, "the host: [egress] allow_host ", "" },
		{ "open", true, "the host: [egress] open ", "" },
		{ "allow", true, "this sandbox's policy: allow ", "" },
		{ "internet", true, "this sandbox's policy: internet yes", "" },
		{ "redirect", true, "the host: [egress] redirect ", ", whose proxy decides" },
		{ "isolated", false, "this sandbox's policy: isolated yes", "" },
		{ "host", false, "the host: an address of its own, which no policy opens; [egress] allow_host does",
		  "" },
		{ "gateway", false, "the host: the guest's gateway, which no policy opens", "" },
		{ "sandbox", false, "the host: an address of the sandboxes in ", ", which no policy opens" },
		{ "private", false, "the host: ", ", which no policy opens; [egress] open in weftd.conf does" },
		{ "protocol", false,
		  "this sandbox's policy: of protocols other than TCP, UDP and ICMP it allows those that it names",
		  "" },
		{ "deny", false, "this sandbox's policy: deny ", "" },
		{ "internet", false, "this sandbox's policy: internet no", "" },
	};
	const char *rule = client_text(answer, "rule");
	bool allowed = client_is(answer, "allowed");
	char network[NETWORK_SIZE], limit[LIMIT_SIZE], *text = NULL;
	size_t count = sizeof(sentences) / sizeof(sentences[0]), i = 0;

	command_reach_read_network(client_text(answer, "set"), network);
	command_reach_limit(client_text(answer, "set"), proto, port, limit);
	while (i < count && (sentences[i].allowed != allowed || strcmp(sentences[i].rule, rule) != 0))
		i++;
	bool named = i < count && sentences[i].before[strlen(sentences[i].before) - 1] == ' ';
	int length = i < count ? asprintf(&text, "%s%s%s%s", sentences[i].before, named ? network : "", limit,
					  sentences[i].behind)
			       : asprintf(&text, "rule %s %s", rule, network);
	if (length < 0)
		abort();
	return text;
}

int command_reach(const struct cli *cli)
{
	struct cli_id id;
	const char *proto = cli_args_value(cli->args, "proto");
	uint8_t number = IPPROTO_TCP;
	json_t *answer = NULL;
	struct err err;
	uint32_t ip;
	long port;

	if (!cli_ids_read(cli, &id))
		return CLI_USAGE;
	const char *dest = cli->args->operands[1];
	if (cli_value_is_ipv6(dest))
		return cli_usage(cli, "DEST '%s': guests have IPv4 alone, so that no IPv6 address can be reached",
				 dest);
	const char *colon = strchr(dest, ':');
	AUTO_FREE char *address = strndup(dest, colon ? (size_t)(colon - dest) : strlen(dest));
	if (addr_ipv4_parse(address, &ip) < 0)
		return cli_usage(cli, "DEST '%s': '%s' is not an IPv4 address", dest, address);
	if (proto && addr_ip_proto_parse(proto, &number) < 0)
		return cli_usage(cli, "--proto %s: allowed: " ADDR_IP_PROTO_ALLOWED, proto);
	if (colon && !addr_ip_proto_has_ports(number))
		return cli_usage(cli, "DEST '%s': only tcp and udp have ports", dest);
	if (colon && cli_args_number("PORT", colon + 1, 1, 65535, &port, &err) < 0)
		return cli_usage(cli, "%s", err.text);

	int code = cli_get_sandbox(cli, &id, 0, &answer, "/reach?dest=%s%s%s&proto=%s", address, colon ? "&port=" : "",
				   colon ? colon + 1 : "", proto ? proto : "tcp");
	if (code == CLI_DONE && cli->json) {
		cli_print_json(answer);
	} else if (code == CLI_DONE) {
		bool allowed = client_is(answer, "allowed");
		AUTO_FREE char *reason = command_reach_describe(answer, number, colon ? colon + 1 : "");
		cli_screen_wrap(&cli->screen, allowed ? CELL_GOOD : CELL_BAD, allowed ? "allowed " : "denied ",
				"%s by %s", dest, reason);
	}
	json_decref(answer);
	return code;
}
