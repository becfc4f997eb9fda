/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LAST_STATE_H
#define WEFT_DAEMON_LAST_STATE_H

/* What the next run is to know of each sandbox, written at a stop. Main thread only. */

struct daemon;
struct sandbox;

/* Writes the files of all sandboxes at rest: to be called before the forwarder's connections are handed over. */
void daemon_last_state_write_early(struct daemon *daemon);

/* Writes the file of SANDBOX at the very end, unless it was written and nothing has changed since. Removes that of a registration cut off. */
void daemon_last_state_write(struct daemon *daemon, struct sandbox *sandbox);

#endif
