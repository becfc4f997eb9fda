/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_DOCTOR_FACTS_H
#define WEFT_CLI_DOCTOR_FACTS_H

/* The facts of `weftctl doctor`: those of the host, and what the running daemon says of itself. */

#include "cli/cli.h"
#include "health/facts.h"
#include "health/findings.h"

struct cli_doctor {
	struct health_facts facts;
	struct config *config; /* by which the host is judged */
	struct config *file;   /* that of the daemon's file; NULL: it is CONFIG, or cannot be read */
	char file_path[4096];  /* of FILE; "": the daemon was started without one */
};

/*
 * Asks the daemon and gathers all facts; a guess is noted in REPORT. 0, or -1 after it was reported that a configuration file cannot be
 * used. cli_doctor_clear() is owed in any case. Main thread.
 */
int cli_doctor_gather(const struct cli *cli, struct cli_doctor *doctor, struct health_report *report);
void cli_doctor_clear(struct cli_doctor *doctor);

#endif
