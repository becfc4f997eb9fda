/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DIAGNOSES_H
#define WEFT_DAEMON_DIAGNOSES_H

struct ctl_request;
struct daemon;
struct err;

/* Before the first daemon_diagnose(). 0, or -1 with ERR. */
int diagnoses_start(struct daemon *daemon, struct err *err);

/* After the last: waits for those under way, which have deadlines of their own. Harmless without diagnoses_start(). */
void diagnoses_stop(struct daemon *daemon);

/* GET of a diagnosis; CONTEXT is the daemon. Of type ctl_serve. */
void daemon_diagnose(void *context, struct ctl_request *request);

#endif
