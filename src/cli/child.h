/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_CHILD_H
#define WEFT_CLI_CHILD_H

#include <stddef.h>

struct err;

/* What a program said that was run for its output. */
struct cli_child {
	char *output;    /* of stdout, and what it printed before it was ended; the caller frees */
	int exit_status; /* -1: a signal ended it */
};

/*
 * Runs ARGUMENTS, whose first is looked for in PATH, with INPUT (short; NULL: none) on its stdin and stderr thrown away. One that is not
 * done within DEADLINE_MS is killed. 0; -1 with ERR: it could not be run, whose code is ENOENT where there is no such program.
 */
int cli_child_run(const char *const *arguments, const char *input, unsigned deadline_ms, struct cli_child *child,
		  struct err *err);

#endif
