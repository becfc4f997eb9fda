/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_COLLECT_H
#define WEFT_DAEMON_COLLECT_H

/* The kernel's counters, copied into the records. */

struct daemon;
struct sandbox;

/* Asks the fabric for the counters of all slots. */
void daemon_collect_all(struct daemon *daemon);

/* Reads the counters of SANDBOX at once, before it is shown; where many are shown in a moment, those of the first few. */
void daemon_collect_now(struct daemon *daemon, struct sandbox *sandbox);

#endif
