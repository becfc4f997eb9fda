/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOAD_CONFIG_H
#define WEFT_DAEMON_LOAD_CONFIG_H

#include <stdbool.h>

struct config;
struct options;

/*
 * The configuration that OPTIONS name, checked by itself and, with CHECK_HOST, against the host. A pipe has PATIENCE_MS to end. NULL
 * after REPORT was called for each mistake, all of them at once; *EXIT_CODE is then EX_NOINPUT (no file that can be read), EX_CONFIG,
 * or EX_OSERR for a shortage, which the next attempt may not meet; else EX_OK.
 */
struct config *daemon_load_config(const struct options *options, bool check_host, unsigned patience_ms,
				  void (*report)(void *context, const char *mistake), void *context, int *exit_code);

/* The file that OPTIONS name, or the usual one if it is there; NULL: the defaults alone. */
const char *daemon_load_config_path(const struct options *options);

/* For REPORT: prints MISTAKE to stderr. */
void daemon_load_config_print_mistake(void *context, const char *mistake);

#endif
