/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RELOAD_H
#define WEFT_DAEMON_RELOAD_H

struct daemon;

/* Reads the configuration again (SIGHUP), and tells the log, the service manager and the metrics how that went. Main thread. */
void daemon_reload(struct daemon *daemon);

#endif
