/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_GUARD_H
#define WEFT_DAEMON_GUARD_H

/* The state directory while we run. */

struct daemon;
struct err;

/* From now on compares the files with our records, once a second. 0, or -1 with ERR. */
int guard_start(struct daemon *daemon, struct err *err);

/* Ends it; harmless without guard_start(). */
void guard_stop(struct daemon *daemon);

#endif
