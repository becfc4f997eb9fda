/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FREEZE_H
#define WEFT_FORWARDER_FREEZE_H

/* The parts of fwd_freeze() that others than its callers need. */

struct forwarder;
struct frozen_list;
struct worker;

/* ---- freeze.c. Main thread ---- */

/* Ends a standstill, if there is one, so that the workers can end. */
void fwd_freeze_cancel(struct forwarder *forwarder);

/* Once they have ended. */
void fwd_freeze_free(struct forwarder *forwarder);

/* ---- freeze_describe.c. The worker's thread, while it stands still ---- */

/*
 * Appends the connections of WORKER to ROUTES. They keep their descriptors, and bytes that were not sent: both are lent. From now on
 * the sockets end by reset. 0, or -1 for lack of memory: fwd_freeze_undescribe() is owed in any case.
 */
int fwd_freeze_describe(struct worker *worker, struct frozen_list *routes);

/* The sockets end in order again. */
void fwd_freeze_undescribe(struct worker *worker);

/* Frees ROUTES with what they lent left alone. */
void fwd_freeze_forget(struct frozen_list *routes);

#endif
