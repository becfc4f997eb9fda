/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_CLI_H
#define WEFT_CLI_CLI_H

/*
 * The part of weftctl that all commands share. A command is a function from the parsed command line to an exit code; it has
 * reported its errors on stderr by then.
 */

#include "cli/args.h"
#include "cli/print_table.h"

/* Exit codes: scripts rely on them. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NO_SANDBOX = 3,
	CLI_UNREACHABLE = 4,
	CLI_FAULT = 5,            /* diagnose or doctor found one */
	CLI_EXEC_FAILED = 125,    /* exec: weftctl's own failure */
	CLI_EXEC_NOT_RUN = 126,   /* exec: the command is there and cannot be run */
	CLI_EXEC_NOT_FOUND = 127, /* exec: there is no such command */
};

struct cli {
	const struct args *args;
	const char *socket;
	unsigned deadline_ms; /* for the daemon to answer a request */
	bool json;
	const char *subject;  /* named in errors, where a command has several; NULL: none */
	struct screen screen; /* stdout's */
};

/* The whole program. */
int cli_main(int argc, char **argv);

/* "weftctl COMMAND: SUBJECT: TEXT" on stderr, cleaned. Returns CODE. */
int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for output that could not be written, for the errno CODE (0: not known). Returns CLI_FAILED. */
int cli_fail_output(const struct cli *cli, int code);

/* The same for a mistake in the command line; points to --help. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
