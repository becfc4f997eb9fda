/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RUN_H
#define WEFT_DAEMON_RUN_H

struct options;

/* Runs until a signal says to stop. Returns the exit code, sysexits(3). */
int daemon_run(const struct options *options);

#endif
