/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PORT_ARGS_H
#define WEFT_CLI_PORT_ARGS_H

#include <jansson.h>

struct err;

struct args;

/*
 * A port to publish, "8080", "53/udp" or "8080=127.0.0.1:18080", as the API takes it, with the options --nat and --proxy-protocol of
 * ARGS. WHAT names the argument in errors. NULL with ERR; the caller json_decref()s.
 */
json_t *cli_port_to_publish(const struct args *args, const char *what, const char *text, struct err *err);

/* The same for a port to take back, "8080", "53/udp" or "127.0.0.1:18080". */
json_t *cli_port_to_unpublish(const struct args *args, const char *what, const char *text, struct err *err);

/* The same for a port of the guest alone, "8080" or "53/udp". */
json_t *cli_port_of_guest(const char *what, const char *text, struct err *err);

#endif
