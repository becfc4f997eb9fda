/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RATE_SAMPLES_H
#define WEFT_DAEMON_RATE_SAMPLES_H

/* The traffic of each sandbox, kernel path and forwarder together, sampled every two seconds and kept for two minutes. */

struct control_request;
struct daemon;
struct err;

/* Begins to sample. After the fabric and the forwarder. 0, or -1 with ERR. */
int daemon_rates_start(struct daemon *daemon, struct err *err);

/* After the fabric. Harmless without daemon_rates_start(). */
void daemon_rates_stop(struct daemon *daemon);

/* GET of the rates; CONTEXT is the daemon. Of type control_serve. */
void daemon_rates(void *context, struct control_request *request);

#endif
