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

json_t *cli_port_to_publish(const char *what, const char *text, struct err *err)
{
	const char *equals = strchr(text, '=');
	char port_text[16];
	long port;

	snprintf(port_text, sizeof(port_text), "%.*s", equals ? (int)(equals - text) : 15, text);
	if (cli_args_number(what, port_text, 1, 65535, &port, err) < 0)
		return NULL;
	if (!equals)
		return json_integer(port);
	if (!cli_port_is_listen(equals + 1)) {
		err_set(err, 0, "%s: '%s' is not ADDR:PORT, as 127.0.0.1:18080, [::1]:18080 or localhost:18080", what,
			equals + 1);
		return NULL;
	}
	return json_pack("{s:I, s:s}", "guest_port", (json_int_t)port, "listen", equals + 1);
}

json_t *cli_port_to_unpublish(const char *what, const char *text, struct err *err)
{
	long port;

	if (cli_port_is_listen(text))
		return json_string(text);
	if (strchr(text, ':')) {
		err_set(err, 0, "%s: '%s' is neither a port nor ADDR:PORT", what, text);
		return NULL;
	}
	return cli_args_number(what, text, 1, 65535, &port, err) < 0 ? NULL : json_integer(port);
}
