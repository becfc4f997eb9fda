/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_WATCHDOG_H
#define WEFT_DAEMON_WATCHDOG_H

/*
 * Feeds the service manager's watchdog (WatchdogSec= of the unit) while main and all threads go on, so that a frozen daemon is
 * started anew. Main thread.
 */

struct daemon;
struct err;

/* 0, or -1 with ERR. */
int daemon_watchdog_start(struct daemon *daemon, struct err *err);
void daemon_watchdog_stop(struct daemon *daemon);

#endif
