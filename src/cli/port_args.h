/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PORT_ARGS_H
#define WEFT_CLI_PORT_ARGS_H

#include <jansson.h>

struct err;

/*
 * "8080", or "8080=127.0.0.1:18080": a port to publish, as the API wants it. WHAT names the argument in errors. NULL with ERR; the
 * caller json_decref()s.
 */
json_t *cli_port_to_publish(const char *what, const char *text, struct err *err);

/* "8080", or "127.0.0.1:18080": a port to take back. Likewise. */
json_t *cli_port_to_unpublish(const char *what, const char *text, struct err *err);

#endif
