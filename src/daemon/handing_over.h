/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_HANDING_OVER_H
#define WEFT_DAEMON_HANDING_OVER_H

/* The forwarder's connections go to the next run of weftd, by way of the service manager's store. Main thread only. */

#include <stdbool.h>

struct daemon;

/* Whether the configuration wants it, and there is a service manager, and a forwarder. */
bool daemon_handing_over_is_possible(const struct daemon *daemon);

/*
 * Begins to hand them over; the forwarder accepts no more. Whether it did: it does not where that is not possible, or memory is
 * lacking. DONE is called then, not from within. OK: nothing is left to do for them, as they are gone from
 * here or the stop was hurried. Else they go on here. Where they do not go, the log says why.
 */
bool daemon_handing_over_begin(struct daemon *daemon, void (*done)(struct daemon *daemon, bool ok));

/*
 * A second signal: whether DONE will be called as soon as the manager is sent what it is due, which takes but a moment. It is not
 * awaited that the manager has read it. False where the stop may end at once.
 */
bool daemon_handing_over_hurry(struct daemon *daemon);

/* Whether they are handed over. */
bool daemon_handing_over_is_done(const struct daemon *daemon);

/* Frees what it needed; a DONE that is due is not called any more. Connections that were sent to the manager are gone from here then. */
void daemon_handing_over_free(struct daemon *daemon);

#endif
