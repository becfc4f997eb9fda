/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_TERMINAL_H
#define WEFT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/*
 * The whole screen for a program that redraws it: another page than the shell's, no cursor, keys without Enter. Put back by
 * cli_terminal_leave(), which SIGINT, SIGTERM and SIGHUP lead to.
 */

/* 0, or -1 with ERR. Installs the handlers of those signals. */
int cli_terminal_enter(struct err *err);
/* Harmless when cli_terminal_enter() was not called. */
void cli_terminal_leave(void);

/* Waits for up to TIMEOUT_MS. 'q' or a signal: false. Any other key, a changed size, or the time is up: true. */
bool cli_terminal_wait(unsigned timeout_ms);

/* Lines of the terminal now; 0 if it does not say. */
size_t cli_terminal_lines(void);

#endif
