/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_TERMINAL_H
#define WEFT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/*
 * The whole screen for a program that redraws it: a page of its own, no cursor, keys without Enter. cli_terminal_leave() restores
 * the shell's; SIGINT, SIGTERM and SIGHUP end the waiting, so that it is called.
 */

/* 0, or -1 with ERR. Installs the handlers of those signals. */
int cli_terminal_enter(struct err *err);
/* Does nothing unless cli_terminal_enter() was called. */
void cli_terminal_leave(void);

/* Waits for up to TIMEOUT_MS. False after 'q' or a signal; true after another key, a new size, or the whole time. */
bool cli_terminal_wait(unsigned timeout_ms);

/* Lines of the terminal now; 0 if it does not say. */
size_t cli_terminal_lines(void);

#endif
