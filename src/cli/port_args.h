/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PORT_ARGS_H
#define WEFT_CLI_PORT_ARGS_H

#include <jansson.h>

struct err;

/*
 * A port to publish, "8080" or "8080=127.0.0.1:18080", as the API takes it. WHAT names the argument in errors. NULL with ERR; the
 * caller json_decref()s.
 */
json_t *cli_port_to_publish(const char *what, const char *text, struct err *err);

/* The same for a port to take back, "8080" or "127.0.0.1:18080". */
json_t *cli_port_to_unpublish(const char *what, const char *text, struct err *err);

#endif
