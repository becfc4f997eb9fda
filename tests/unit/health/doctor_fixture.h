/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_HEALTH_DOCTOR_FIXTURE_H
#define WEFT_TESTS_UNIT_HEALTH_DOCTOR_FIXTURE_H

/*
 * A host that is made up of facts, with weft's default configuration, and the doctor's report of it.
 */

#include "config/config.h"
#include "health/doctor.h"

/* The files that can be read, in the order in which file() added them. */
struct made_file {
	const char *path, *text;
};
extern struct made_file files[];

extern struct config *config;
extern struct health_facts facts;
extern struct health_report report;

extern const char *http_proxy; /* the variable HTTP_PROXY of the environment, or NULL */
extern int bound_pid;          /* the process "bind" of user 33 that has bound each address asked for, or 0 */

/* Checked fixtures: an empty host. */
void doctor_setup(void);
void doctor_teardown(void);

void file(const char *path, const char *text);
void forget_files(void);

/* A daemon has its control socket, inode 7, as process 70. Inode 8 is another program's, nginx of process 80. */
void daemon_runs(void);

/* To bind ADDRESS, or any with NULL, fails by ERROR. */
void trial_fails(const char *address, int error);

/* Runs one check, which must find exactly one thing, of STATUS, with WORDS in it. */
const struct health_finding *found(void (*check)(const struct health_facts *facts, struct health_report *report),
				   enum health_status status, const char *words);

#endif
