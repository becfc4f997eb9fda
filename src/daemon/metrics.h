/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_METRICS_H
#define WEFT_DAEMON_METRICS_H

/* The counters of this run that belong to no room, and all metrics as Prometheus reads them. */

#include "fabric/fabric.h"

#include <stdint.h>

struct ctl_request;
struct daemon;
struct err;

/* Before the others. 0, or -1 with ERR. */
int metrics_start(struct daemon *daemon, struct err *err);
void metrics_stop(struct daemon *daemon);

/* A sandbox was registered, in DURATION_US. */
void metrics_count_registration(struct daemon *daemon, uint64_t duration_us);

/* A change by others was undone. */
void metrics_count_repair(struct daemon *daemon);

/* Adds the packets that one table has stopped, by rule, since it was last read: SEEN holds that reading, and becomes COUNTED. */
void metrics_add_denied(struct daemon *daemon, uint64_t seen[static FABRIC_RULES],
			const uint64_t counted[static FABRIC_RULES]);

/* The same for the host's table, whose last reading is kept here. */
void metrics_add_host_denied(struct daemon *daemon, const uint64_t counted[static FABRIC_RULES]);

/* GET of the metrics; CONTEXT is the daemon. Of type ctl_serve. */
void daemon_metrics(void *context, struct ctl_request *request);

#endif
