/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_MODES_H
#define WEFT_DAEMON_MODES_H

#include <stdbool.h>

struct config;
struct options;

/*
 * The configuration that OPTIONS name, checked by itself and against the host. NULL after each mistake was told by TELL, all of
 * them at once; *EXIT_CODE is then EX_NOINPUT or EX_CONFIG.
 */
struct config *mode_load_config(const struct options *options, void (*tell)(const char *mistake), int *exit_code);

/* For TELL: prints MISTAKE to stderr. */
void mode_print_mistake(const char *mistake);

/* --check: what is wrong with configuration and host. Returns the exit code. */
int mode_check(const struct options *options);

/* --cleanup: removes all that carries our mark and says what. Returns the exit code: 0 if nothing is left. */
int mode_cleanup(const struct options *options);

/* Runs until a signal says to stop. Returns the exit code. */
int mode_run(const struct options *options);

#endif
