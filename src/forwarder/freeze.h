/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FREEZE_H
#define WEFT_FORWARDER_FREEZE_H

/* The parts of fwd_freeze() that others than its callers need. */

#include <stdbool.h>

struct connection;
struct forwarder;
struct frozen_list;
struct worker;

/* ---- freeze.c. Main thread ---- */

/* Ends a standstill, if there is one, so that the workers can end. */
void fwd_freeze_cancel(struct forwarder *forwarder);

/* Once they have ended. */
void fwd_freeze_free(struct forwarder *forwarder);

/* ---- freeze_prepare.c. The worker's thread ---- */

/*
 * Prepares some of WORKER's connections, which go on as before, for some milliseconds at most. Whether there are more. To be called
 * in several iterations of the worker's loop, so that connections are served between.
 */
bool fwd_freeze_prepare(struct worker *worker);

/* Prepares CONNECTION: its sockets are known by their cookies, and end by reset unless fwd_connection_close() says otherwise. */
void fwd_freeze_prepare_connection(struct connection *connection);

/* No connection of WORKER is watched any more; its messages are. */
void fwd_freeze_unwatch(struct worker *worker);

/* ---- freeze_describe.c. The worker's thread, while it stands still ---- */

/*
 * Appends the connections of WORKER to ROUTES. They keep their descriptors, and bytes that were not sent: both are lent. From now on
 * all of the sockets are prepared. 0, or -1 for lack of memory.
 */
int fwd_freeze_describe(struct worker *worker, struct frozen_list *routes);

/* Frees ROUTES with what they lent left alone. */
void fwd_freeze_forget(struct frozen_list *routes);

#endif
