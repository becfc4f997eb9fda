/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_NOTIFY_H
#define WEFT_DAEMON_NOTIFY_H

/*
 * Messages to the service manager, as sd_notify(3) describes them. Without one these do nothing. Main thread.
 */

#include <stdbool.h>
#include <stdint.h>

/* Makes the socket, so that no shortage of descriptors keeps a message from the manager later. */
void daemon_notify_open(void);
void daemon_notify_close(void);

void daemon_notify_ready(void);
void daemon_notify_reloading(void);
void daemon_notify_stopping(void);

/* The stop takes up to MS from now on, however short the manager's patience with one is (TimeoutStopSec=). */
void daemon_notify_takes(uint64_t ms);

/* What people see of us at the manager, one line; "": nothing. */
void daemon_notify_status(const char *text);

/* Feeds the watchdog. False: the manager is behind with its messages, and is not waited for; it is worth another try soon. */
bool daemon_notify_watchdog(void);

/* After what time without food the manager ends us, in milliseconds; 0: never. */
uint64_t daemon_notify_watchdog_ms(void);

#endif
