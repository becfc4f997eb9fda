/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_METRICS_H
#define WEFT_DAEMON_METRICS_H

/* The counters of this run that belong to no room, and all metrics as Prometheus reads them. */

#include "fabric/fabric.h"

#include <stdbool.h>
#include <stdint.h>

struct control_request;
struct daemon;
struct err;

/* Before the others. 0, or -1 with ERR. */
int daemon_metrics_start(struct daemon *daemon, struct err *err);
void daemon_metrics_stop(struct daemon *daemon);

/* A sandbox was registered, in DURATION_US. */
void daemon_metrics_count_registration(struct daemon *daemon, uint64_t duration_us);

/* A change by others was undone; or something could not be looked at or put back. */
void daemon_metrics_count_repair(struct daemon *daemon);
void daemon_metrics_count_repair_failure(struct daemon *daemon);

/* The configuration was read again, and taken over or not. */
void daemon_metrics_note_reload(struct daemon *daemon, bool taken_over);

/* Bytes that passed a sandbox's TAP since it was looked at last. */
void daemon_metrics_add_bytes(struct daemon *daemon, uint64_t to_guest, uint64_t from_guest);

/* Adds the packets that one table has stopped, by rule, since it was last read: SEEN holds that reading, and becomes COUNTED. */
void daemon_metrics_add_denied(struct daemon *daemon, uint64_t seen[static FABRIC_RULES],
			       const uint64_t counted[static FABRIC_RULES]);

/* The same for the host's table, whose last reading is kept here. */
void daemon_metrics_add_host_denied(struct daemon *daemon, const uint64_t counted[static FABRIC_RULES]);

/* GET of the metrics; CONTEXT is the daemon. Of type control_serve. */
void daemon_metrics(void *context, struct control_request *request);

#endif
