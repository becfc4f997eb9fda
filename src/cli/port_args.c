/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports as they are written on a command line. They are checked here as far as that needs no daemon, so that the error names the
 * argument.
 */
#include "cli/port_args.h"

#include "base/addr.h"
#include "base/err.h"
#include "cli/args.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool cli_port_is_listen(const char *text)
{
	struct addr addr;
	struct err ignored;
	long port;

	if (strncmp(text, "localhost:", 10) == 0)
		return cli_args_number("", text + 10, 1, 65535, &port, &ignored) == 0;
	return addr_parse(text, &addr) == 0;
}

/* "8080" or "53/udp", which ends at LENGTH. *PROTO is NULL where none is given. 0, or -1 with ERR. */
static int cli_port_read(const char *what, const char *text, size_t length, long *port, const char **proto,
			 struct err *err)
{
	static const char *const protos[] = { "tcp", "udp" };
	size_t digits = strcspn(text, "/=");
	char number[16];

	*proto = NULL;
	snprintf(number, sizeof(number), "%.*s", digits < sizeof(number) ? (int)digits : 15, text);
	if (cli_args_number(what, number, 1, 65535, port, err) < 0)
		return -1;
	if (digits >= length)
		return 0;
	for (size_t i = 0; i < 2; i++)
		if (length == digits + 4 && strncmp(text + digits + 1, protos[i], 3) == 0)
			*proto = protos[i];
	return *proto ? 0
		      : err_set(err, 0, "%s %.*s: '%.*s' is neither tcp nor udp", what, (int)length, text,
				(int)(length - digits - 1), text + digits + 1);
}

json_t *cli_port_to_publish(const struct args *args, const char *what, const char *text, struct err *err)
{
	const char *equals = strchr(text, '='), *proto;
	bool nat = cli_args_has(args, "nat"), header = cli_args_has(args, "proxy-protocol");
	long port;

	if (cli_port_read(what, text, equals ? (size_t)(equals - text) : strlen(text), &port, &proto, err) < 0)
		return NULL;
	if (equals && !cli_port_is_listen(equals + 1)) {
		err_set(err, 0, "%s: '%s' is not ADDR:PORT, as 127.0.0.1:18080, [::1]:18080 or localhost:18080", what,
			equals + 1);
		return NULL;
	}
	if (nat && !equals) {
		err_set(err, 0, "%s %s: --nat needs the address: %s=ADDR:PORT", what, text, text);
		return NULL;
	}
	if (!equals && !proto && !header)
		return json_integer(port);
	return json_pack("{s:I, s:s*, s:s*, s:s*, s:s*}", "guest_port", (json_int_t)port, "proto", proto, "listen",
			 equals ? equals + 1 : NULL, "via", nat ? "nat" : NULL, "proxy_protocol", header ? "v2" : NULL);
}

json_t *cli_port_of_guest(const char *what, const char *text, struct err *err)
{
	const char *proto;
	long port;

	if (cli_port_read(what, text, strlen(text), &port, &proto, err) < 0)
		return NULL;
	return proto ? json_string(text) : json_integer(port);
}

json_t *cli_port_to_unpublish(const struct args *args, const char *what, const char *text, struct err *err)
{

	(void)args; /* no option says more */
	if (cli_port_is_listen(text))
		return json_string(text);
	if (strchr(text, ':')) {
		err_set(err, 0, "%s: '%s' is neither a port nor ADDR:PORT", what, text);
		return NULL;
	}
	return cli_port_of_guest(what, text, err);
}
