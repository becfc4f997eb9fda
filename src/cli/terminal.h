/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_TERMINAL_H
#define WEFT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/*
 * The whole screen for a program that redraws it: a page of its own, no cursor, keys without Enter. cli_terminal_leave() restores
 * the shell's; SIGINT, SIGTERM, SIGHUP and SIGQUIT end the waiting, so that it is called. SIGTSTP stops the program, with the
 * shell's screen and keys restored until it goes on.
 */

/* 0, or -1 with ERR. Installs the handlers of those signals. */
int cli_terminal_enter(struct err *err);
/* Does nothing unless cli_terminal_enter() was called. */
void cli_terminal_leave(void);

/* Keys that are no character. A character is its byte. */
enum terminal_key {
	KEY_STOP = -1, /* a signal came, or the terminal is gone */
	KEY_NONE = 0,
	KEY_ESCAPE = 27,
	KEY_ERASE = 127,
	KEY_UP = 256,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
};

/* Waits for up to TIMEOUT_MS for a key, and returns it; KEY_NONE after the whole time, a new size, or a key that is not known. */
int cli_terminal_wait(unsigned timeout_ms);

/* Lines of the terminal now; 0 if it does not say. */
size_t cli_terminal_lines(void);

#endif
