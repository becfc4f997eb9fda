/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_DOCTOR_FACTS_H
#define WEFT_CLI_DOCTOR_FACTS_H

/* The facts of `weftctl doctor`: those of the host, and what the running daemon says of itself. */

#include "cli/cli.h"
#include "health/facts.h"
#include "health/findings.h"

#include <jansson.h>

enum { DOCTOR_PATH_SIZE = 4096 };

struct cli_doctor {
	struct health_facts facts;
	struct config *config;            /* by which the host is judged */
	struct config *file;              /* that of the daemon's file; NULL: it is CONFIG, or cannot be read */
	char file_path[DOCTOR_PATH_SIZE]; /* of FILE; "": the daemon was started without one */
};

/*
 * The value of OPTION ("--config") on the command line of the process PID, as a path that can be opened from here. False: there is none.
 * *KNOWN: the command line could be read.
 */
bool cli_doctor_find_path(int pid, const char *option, char path[static DOCTOR_PATH_SIZE], bool *known);

/*
 * The first half of cli_doctor_gather(): asks the daemon for its status, which *STATUS gets (NULL: no answer; the caller json_decref()s),
 * and has the configuration; no fact of the host is gathered. STATE_DIR: the state directory. *PID: the daemon; 0: none, -1: not visible.
 */
int cli_doctor_begin(const struct cli *cli, struct cli_doctor *doctor, struct health_report *report, json_t **status,
		     char state_dir[static DOCTOR_PATH_SIZE], int *pid);

/*
 * Asks the daemon and gathers all facts; a guess is noted in REPORT. 0, or -1 after it was reported that a configuration file cannot be
 * used. cli_doctor_clear() is owed in any case. Main thread.
 */
int cli_doctor_gather(const struct cli *cli, struct cli_doctor *doctor, struct health_report *report);
void cli_doctor_clear(struct cli_doctor *doctor);

#endif
