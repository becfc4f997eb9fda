/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FAULTS_H
#define WEFT_TESTS_UNIT_FAULTS_H

/*
 * System calls, or allocations, of weft's own objects that fail because a test wants them to. The program is linked with FAULTS_WRAPS
 * (tests/unit/Makefile.inc): the libraries' own calls do not fail.
 */

#include <stdbool.h>

/* From now on the NUMBER-th system call (from 1) of any thread fails once with CODE. 0: none fails. */
void faults_arm_calls(unsigned number, int code);

/* The same for allocations, with ENOMEM; with FROM_THEN_ON all later ones fail, too. */
void faults_arm_memory(unsigned number, bool from_then_on);

/* Ends that. Returns whether the call was reached. */
bool faults_disarm(void);

/* The function that failed last, for messages. */
const char *faults_last(void);

/*
 * The errno values of a host that is short of something, or busy, that the NUMBER-th call is to be tried with: all if WEFT_LONG is
 * set, else one of them in turn. Ends with 0.
 */
const int *faults_codes_for(unsigned number);

#endif
