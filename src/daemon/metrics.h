/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_METRICS_H
#define WEFT_DAEMON_METRICS_H

#include "daemon/daemon.h"

#include <stdio.h>

/* What the files of the metrics share: Prometheus' text format, version 0.0.4. */

/* The two lines that introduce a metric. TYPE: "counter", "gauge", "histogram". */
void metrics_head(FILE *out, const char *name, const char *type, const char *help);

/* The series of each sandbox. */
void metrics_write_sandboxes(FILE *out, struct daemon *daemon);

#endif
