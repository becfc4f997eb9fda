/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_REPORT_H
#define WEFT_DAEMON_REPORT_H

/* Answers that need more than one room. CONTEXT is the daemon; those that take a request are of type control_serve. */

struct control_request;
struct sandbox;

void daemon_status(void *context, struct control_request *request);
void daemon_connections(void *context, struct control_request *request);
void daemon_reach(void *context, struct control_request *request);

/* Brings the counters of SANDBOX up to date before it is shown. */
void daemon_refresh(void *context, struct sandbox *sandbox);

#endif
