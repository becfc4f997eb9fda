/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RESTART_H
#define WEFT_DAEMON_RESTART_H

/* The start behind the socket: takes over the sandboxes of a former run. */

struct daemon;
struct err;

/*
 * Begins it: the kernel is prepared and read, the state directory read, what is there adopted, its endpoints opened, some
 * milliseconds of each in one iteration of the loop. The daemon is RUNNING when all is done. 0, or -1 with ERR.
 */
int daemon_restart_begin(struct daemon *daemon, struct err *err);

/* When nothing of the fabric's can come any more. Harmless without daemon_restart_begin(). */
void daemon_restart_free(struct daemon *daemon);

#endif
