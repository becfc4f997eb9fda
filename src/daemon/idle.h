/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_IDLE_H
#define WEFT_DAEMON_IDLE_H

/* Which sandboxes are in use, on both paths, and the event of those that are not. */

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct err;

/* A part of a tenant. */
struct tenant_idle {
	uint64_t packets;     /* fabric_activity's, as last read */
	bool known;           /* PACKETS is that of this run */
	uint64_t active_ms;   /* the last activity in this run, or change of its state; clock_now_ms(); 0: none */
	uint64_t reported_ms; /* ACTIVE_MS at the beginning of the silence that was reported last */
};

/* Before the other calls. 0, or -1 with ERR. */
int daemon_idle_start(struct daemon *daemon, struct err *err);
void daemon_idle_stop(struct daemon *daemon);

/* Its sandbox was in use at AT_MS (clock_now_ms(); 0: never), or changed its state then. */
static inline void daemon_idle_note(struct tenant_idle *idle, uint64_t at_ms)
{
	if (at_ms > idle->active_ms)
		idle->active_ms = at_ms;
}

/*
 * To be called when somebody looks at sandboxes. Has the kernel's counters read, unless that is being done, or was done a moment ago. Does
 * not wait for them: whoever looks next sees what they say.
 */
void daemon_idle_refresh(struct daemon *daemon);

#endif
