/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_FAULT_H
#define WEFT_FABRIC_SLOT_FAULT_H

/* Steps of the builder that fail because a test wants them to. Private to this folder and its tests. */

#include <stdbool.h>

struct err;

/*
 * For tests: FAILS is asked before each step with the step's name; true makes that step fail with EIO. NULL, the default, turns
 * it off. Call it while no builder runs; FAILS is called on the builder's thread.
 */
void slot_fault_set(bool (*fails)(const char *step));

/* 0, or -1 with ERR if a test wants STEP to fail. The builder's thread. */
int slot_fault_check(const char *step, struct err *err);

#endif
