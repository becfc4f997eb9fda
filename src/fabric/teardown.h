/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_TEARDOWN_H
#define WEFT_FABRIC_TEARDOWN_H

struct fabric;

/* At most so many namespaces go away at a time, for the kernel holds RTNL for a whole lot of them. */
enum { TEARDOWN_LOT = 32, TEARDOWN_TIMEOUT_MS = 1000, TEARDOWN_RETRY_MS = 5000, TEARDOWN_MEMORY_RETRY_MS = 200 };

/*
 * Takes apart each slot that moves to SLOT_LEAVING, until it is gone. To be called once, after all other listeners were added,
 * for teardown moves the slot on from within its own notification. Main thread.
 */
void fabric_teardown_listen(struct fabric *fabric);

/* A shortage is over: what waits to be tried again is tried, but for teardowns that were several times in their pause. */
void fabric_teardown_hurry(struct fabric *fabric);

#endif
