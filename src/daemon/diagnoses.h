/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DIAGNOSES_H
#define WEFT_DAEMON_DIAGNOSES_H

struct control_request;
struct daemon;
struct err;

/* Before the first daemon_diagnose(). 0, or -1 with ERR. */
int daemon_diagnoses_start(struct daemon *daemon, struct err *err);

/* After the last: waits for those under way, which have deadlines of their own. Harmless without daemon_diagnoses_start(). */
void daemon_diagnoses_stop(struct daemon *daemon);

/* GET of a diagnosis; CONTEXT is the daemon. Of type control_serve. */
void daemon_diagnose(void *context, struct control_request *request);

/* The same for readers on whose behalf nothing is started: the last diagnosis that was made. Of type control_serve. */
void daemon_last_diagnosis(void *context, struct control_request *request);

#endif
