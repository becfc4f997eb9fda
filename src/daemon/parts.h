/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PARTS_H
#define WEFT_DAEMON_PARTS_H

struct daemon;
struct err;

/*
 * Makes the loop, the registry and all parts of the daemon that need nothing but memory. Main thread, once, before all others are
 * made. 0, or -1 with ERR (ENOMEM); what was made is freed by daemon_run() in either case.
 */
int daemon_parts_start(struct daemon *daemon, struct err *err);

#endif
