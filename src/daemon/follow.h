/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FOLLOW_H
#define WEFT_DAEMON_FOLLOW_H

/* The kernel's reports, and their consequences. */

#include "fabric/fabric.h"
#include "registry/registry.h"

struct daemon;

/* For fabric_new(). The caller sets its context, the daemon, in a copy. */
extern const struct fabric_watcher follow_watcher;

/*
 * Logs and reports a repair, or one that did not come off; counts it if something was put back. CONTEXT is the daemon. Member of
 * follow_watcher.
 */
void daemon_follow_repair(void *context, const struct fabric_repair *repair);

/* The same for WHAT, which was put back, of the sandbox in SLOT, or of the host (SLOT 0). */
void daemon_follow_repaired(struct daemon *daemon, unsigned slot, const char *what);

/* For the registry's watcher; CONTEXT is the daemon. */
void daemon_follow_state_changed(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
				 uint64_t previous_ms);

#endif
