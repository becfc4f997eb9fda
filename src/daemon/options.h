/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_OPTIONS_H
#define WEFT_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

/* weftd's command line, weftd(8). */

enum weftd_mode {
	WEFTD_RUN,
	WEFTD_CHECK,
	WEFTD_CLEANUP,
	WEFTD_VERSION,
	WEFTD_HELP,
};

struct options {
	enum weftd_mode mode;
	const char *config;    /* NULL: the default file if it is there, else defaults */
	const char *socket;    /* the control socket's path */
	const char *state_dir; /* the state directory's path */
	bool foreground;
	bool before_restart; /* with WEFTD_CHECK: only what would end a start counts */
	bool unless_live;    /* with WEFTD_CLEANUP: nothing is removed while a VM runs */
	bool help;           /* instead of everything else */
};

/* Reads ARGV. 0, or -1 after a message on stderr that names the argument at fault. The strings stay argv's. */
int daemon_options_parse(int argc, char **argv, struct options *options);

void daemon_options_print_help(FILE *out);

#endif
