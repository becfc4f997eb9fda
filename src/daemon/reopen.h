/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_REOPEN_H
#define WEFT_DAEMON_REOPEN_H

struct daemon;
struct err;

/* Tries each second to open the addresses that are not open: see daemon/not_open.h. 0, or -1 with ERR. */
int daemon_reopen_start(struct daemon *daemon, struct err *err);
void daemon_reopen_stop(struct daemon *daemon);

#endif
