/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_GATHER_H
#define WEFT_HEALTH_GATHER_H

#include "health/facts.h"

/* Parts of health_facts_gather(). Any thread. */

/* Looks at the directory PATH, which is that of the process PID's mount namespace unless PID is 0, and tries to write to it. */
void health_gather_directory(struct health_directory *directory, const char *path, int pid);

/* Finds running orchestrators of E2B's. */
void health_gather_orchestrators(struct health_facts *facts);

#endif
