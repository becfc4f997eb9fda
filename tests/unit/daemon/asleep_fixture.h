/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_DAEMON_ASLEEP_FIXTURE_H
#define WEFT_TESTS_UNIT_DAEMON_ASLEEP_FIXTURE_H

/* The fixture of flows with a manager's socket, for sandboxes that are paused. */

#include "unit/daemon/flow_fixture.h"

void asleep_setup(void);
void asleep_teardown(void);

/* A PATCH with the body TEXT, answered with STATUS. */
void change(const char *text, int status);

#endif
