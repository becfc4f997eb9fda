/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_NOTIFY_H
#define WEFT_DAEMON_NOTIFY_H

/* Messages to the service manager, sd_notify(3). Without one, or without libsystemd, these do nothing. */

void daemon_notify_ready(void);
void daemon_notify_reloading(void);
void daemon_notify_stopping(void);

#endif
