/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_EXAMINE_H
#define WEFT_DAEMON_EXAMINE_H

/* The findings of `weftctl doctor`, for those who have the API alone. */

struct control_request;
struct daemon;
struct err;

/* Before the first daemon_examine(). 0, or -1 with ERR. */
int daemon_examine_start(struct daemon *daemon, struct err *err);

/* Waits for an examination that is under way. Harmless without daemon_examine_start(). */
void daemon_examine_stop(struct daemon *daemon);

/* GET of the findings, which examines the host; CONTEXT is the daemon. Of type control_serve. */
void daemon_examine(void *context, struct control_request *request);

/* The same for readers on whose behalf nothing is started: the last findings. Of type control_serve. */
void daemon_examine_last(void *context, struct control_request *request);

#endif
