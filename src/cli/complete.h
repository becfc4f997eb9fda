/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_COMPLETE_H
#define WEFT_CLI_COMPLETE_H

#include "cli/args.h"

#include <stdio.h>

/* The word that a shell's completion calls weftctl with, in place of a command. */
#define COMPLETE_COMMAND "__complete"

/*
 * Writes to OUT how the last of the COUNT words behind "weftctl" can go on, by the tables of commands and options, one a line with a
 * tab and a description behind it. ":files" or ":commands" asks the shell for its own.
 */
void cli_complete(FILE *out, const struct command *commands, char **words, size_t count);

#endif
