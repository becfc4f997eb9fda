/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_MODES_H
#define WEFT_DAEMON_MODES_H

#include <stdbool.h>

struct config;
struct options;

/*
 * The configuration that OPTIONS name, checked by itself and against the host. NULL after all mistakes were printed to stderr;
 * *EXIT_CODE is then EX_NOINPUT or EX_CONFIG.
 */
struct config *mode_load_config(const struct options *options, int *exit_code);

/* --check: what is wrong with configuration and host. Returns the exit code. */
int mode_check(const struct options *options);

/* --cleanup: removes all that carries our mark and says what. Returns the exit code: 0 if nothing is left. */
int mode_cleanup(const struct options *options);

/* Runs until a signal says to stop. Returns the exit code. */
int mode_run(const struct options *options);

#endif
