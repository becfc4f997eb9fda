/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_DAEMON_FAKE_ROOMS_H
#define WEFT_TESTS_UNIT_DAEMON_FAKE_ROOMS_H

/*
 * Fabric, forwarder, store and control socket for the flows of the daemon: each does nothing but note what it is asked for; the
 * test says what comes of it, and when. Linked in place of the real ones.
 */

#include "config/door_policy.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"
#include "wake/wake.h"

#include <stdbool.h>
#include <stddef.h>

struct fake_rooms {
	/* What the fabric is at. NULL: nothing. */
	fabric_slot_done *making;
	fabric_done *destroying, *updating, *turning; /* turning: a pause or a resume */
	void *making_context, *destroying_context, *updating_context, *turning_context;
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
	struct {
		unsigned pauses, resumes; /* since the start */
		bool kept;                /* flows, at the last resume */
		bool woken_by_packets;    /* the plan of the last pause or update has ports */
		size_t wake_ports;        /* these */
	} turns;

	/* What wakes the sandbox. */
	struct wake_watcher watcher;
	bool keeps, sent_again;     /* packets for it; whether they were sent at the end */
	bool tap_open;              /* as the keeper was told last */
	unsigned tells, untells;    /* of the manager */
	char told[512];             /* last */
	struct fwd_wake route_wake; /* PORTS count for nothing */
	bool route_wakes;
	int route_wake_error; /* of the next calls; 0: they succeed */
	bool awaits;          /* a client */
	bool route_paused;
	void (*asked)(void *context, const struct fwd_asking *asking);
	void *asked_context;

	unsigned events;   /* all, since the start */
	char event[32];    /* the last one's type */
	char fields[512];  /* and its members */
	unsigned troubles; /* repairs that did not come off */
	unsigned repairs;  /* that did */
};

extern struct fake_rooms rooms;

/* The fabric has made the slot, or has failed with CODE. */
void fake_made(int code);
void fake_destroyed(int code);
void fake_updated(int code);
/* A pause or a resume is done in the kernel, or has failed with CODE. */
void fake_turned(int code);
/* The route is closed. */
void fake_closed(void);

#endif
