/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_SANDBOX_H
#define WEFT_CLI_SANDBOX_H

/*
 * Sandboxes, as the API describes them, printed for people.
 */

#include "cli/print_table.h"

#include <jansson.h>

/* The colour of STATE. */
enum cell_style cli_sandbox_style(const char *state);

/* One row of text for each endpoint: "49983/tcp <- 127.0.0.1:20000, [::1]:20000". */
void cli_sandbox_print_endpoints(const struct screen *screen, const json_t *sandbox);

/* The addresses of one endpoint with ", " between. The caller frees. */
char *cli_sandbox_listen_text(const json_t *endpoint);

/* A row for each part of the policy EGRESS, in a table of names and values. */
void cli_sandbox_add_policy(struct table *table, const json_t *egress);

#endif
