/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_HELP_H
#define WEFT_CLI_HELP_H

/*
 * How to use weftctl, from the tables of commands and options.
 */

#include "cli/args.h"

#include <stdio.h>

/* All commands, and the options that each has. */
void cli_help_print(FILE *out, const struct command *commands);

/* One command with its options. */
void cli_help_print_command(FILE *out, const struct command *command);

#endif
