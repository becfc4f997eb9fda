/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_GUARD_H
#define WEFT_DAEMON_GUARD_H

/* The control socket's file and the state directory while we run. */

struct daemon;
struct err;

/* From now on compares the files with our records, each second and when they change. 0, or -1 with ERR. */
int daemon_guard_start(struct daemon *daemon, struct err *err);

/* Ends it; harmless without daemon_guard_start(). */
void daemon_guard_stop(struct daemon *daemon);

#endif
