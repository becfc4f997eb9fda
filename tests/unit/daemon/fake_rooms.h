/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_DAEMON_FAKE_ROOMS_H
#define WEFT_TESTS_UNIT_DAEMON_FAKE_ROOMS_H

/*
 * Fabric, forwarder, store and control socket for the flows of the daemon: each does nothing but note what it is asked for; the
 * test says what comes of it, and when. Linked in place of the real ones.
 */

#include "fabric/fabric.h"

#include <stdbool.h>
#include <stddef.h>

struct fake_rooms {
	/* What the fabric is at. NULL: nothing. */
	fabric_slot_done *making;
	fabric_done *destroying, *updating;
	void *making_context, *destroying_context, *updating_context;
	unsigned making_slot;

	/* The route that is being closed. */
	void (*closing)(void *context);
	void *closing_context;
	unsigned routes;         /* there now */
	bool isolated;           /* the route whose isolation was set last */
	struct door_policy door; /* that was set last */

	unsigned files;   /* written and not removed */
	int store_error;  /* errno for store_save(); 0: it succeeds */
	unsigned updates; /* of slots, since the start */
};

extern struct fake_rooms rooms;

/* The fabric has made the slot, or has failed with CODE. */
void fake_made(int code);
void fake_destroyed(int code);
void fake_updated(int code);
/* The route is closed. */
void fake_closed(void);

#endif
