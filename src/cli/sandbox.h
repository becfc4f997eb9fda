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

/* The state of SANDBOX for people, one word: "asleep" if it is paused and something wakes it, "waking" once its manager was asked. */
const char *cli_sandbox_state_word(const json_t *sandbox);

/* Whether SANDBOX is paused, and something would wake it; and whether its manager was asked to resume it. */
bool cli_sandbox_is_asleep(const json_t *sandbox);
bool cli_sandbox_is_asked(const json_t *sandbox);

/* What wakes SANDBOX: "ports 8080, 5353/udp", "published ports 8080", "any port", "nothing". The caller frees. */
char *cli_sandbox_wakers_text(const json_t *sandbox);

/* A row for each endpoint, behind a column of NAME_WIDTH for the word "endpoints". */
void cli_sandbox_print_endpoints(const struct screen *screen, const json_t *sandbox, int name_width);

/* The addresses of one endpoint with ", " between. The caller frees. */
char *cli_sandbox_listen_text(const json_t *endpoint);

/*
 * All published ports: "20000->49983/tcp, 192.0.2.2:18082->81/tcp(nat)". An address is named unless it is loopback's, the way of a
 * port unless it is the forwarder; with WIDE both always are. The caller frees.
 */
char *cli_sandbox_ports_text(const json_t *sandbox, bool wide);

/* "K=V" of each label, with BETWEEN between them. The caller frees. */
char *cli_sandbox_labels_text(const json_t *labels, const char *between);

/* A row for each part of the policy EGRESS, in a table of names, with LEAD before each, and values. */
void cli_sandbox_add_policy(struct table *table, const json_t *egress, const char *lead);

/*
 * The addresses of LIST (status's "not_open") that weftd does not listen on, each with the reason: those of the sandbox ID, or all
 * if it is NULL.
 */
void cli_sandbox_add_not_open(struct table *table, const json_t *list, const char *id);

#endif
