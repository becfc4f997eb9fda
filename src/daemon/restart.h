/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RESTART_H
#define WEFT_DAEMON_RESTART_H

/* The start behind the socket: takes over the sandboxes of a former run. */

struct daemon;
struct err;

/*
 * Begins it: prepares and reads the kernel, reads the state directory, adopts the slots that exist, and opens their endpoints.
 * One iteration of the loop does some milliseconds of it. The daemon is RUNNING when all is done. 0, or -1 with ERR.
 */
int daemon_restart_begin(struct daemon *daemon, struct err *err);

/* To be called when no completion of the fabric can come any more. Harmless without daemon_restart_begin(). */
void daemon_restart_free(struct daemon *daemon);

#endif
