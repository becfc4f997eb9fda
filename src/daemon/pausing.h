/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_PAUSING_H
#define WEFT_DAEMON_PAUSING_H

/*
 * Pausing and resuming a sandbox, on both paths: its record, its route and its slot. The kernel's part may fail in a shortage. The sandbox is
 * paused or resumed all the same; the failure is reported, and the kernel is asked again until the part is done.
 */

#include "fabric/fabric.h"

#include <stdbool.h>

struct daemon;
struct sandbox;
struct tenant;

/* A part of a tenant. */
struct tenant_pausing {
	fabric_done *done; /* of the change under way; NULL: the kernel is asked again, or nothing is under way */
	void *context;
	bool pauses, keeps; /* the change: whether it pauses, and of a resume whether flows are kept */
	bool resuming;      /* a resume is under way: the manager is not asked for one any more */
	bool owed;          /* the kernel's part of the last change is not done yet */
	bool reported;      /* that it is owed was reported, and its end is to be reported, too */
};

/*
 * TENANT's sandbox, which is not paused, is from now on. The caller keeps it busy, and writes its file when DONE is called, which is always
 * without an error.
 */
void daemon_pausing_pause(struct tenant *tenant, fabric_done *done, void *context);

/* It is resumed when DONE is called, unless with an error: weftd stops, and it stays paused. Without KEEP its flows are reset. */
void daemon_pausing_resume(struct tenant *tenant, bool keep, fabric_done *done, void *context);

/* Asks the kernel again for what it owes, if SANDBOX is at rest. To be called now and then. */
void daemon_pausing_try_again(struct daemon *daemon, struct sandbox *sandbox);

#endif
