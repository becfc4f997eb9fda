/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_ASLEEP_H
#define WEFT_DAEMON_ASLEEP_H

/*
 * Sandboxes that are paused and that something wakes: weftd hears packets and clients for them, asks their manager to resume them, and
 * passes on what was kept meanwhile. It resumes none by itself; the manager does, by PATCH.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control_request;
struct daemon;
struct err;
struct tenant;
struct wake_stats;

enum asleep_phase {
	ASLEEP_AWAKE,   /* it runs, or nothing wakes it. Then resting, or, at the start, asked */
	ASLEEP_RESTING, /* shortly after the pause: only POST wakes it. Then waiting, asked or awake */
	ASLEEP_WAITING, /* for the first packet or client. Then asked or awake */
	ASLEEP_ASKED, /* the manager was asked to resume it, and is asked again while packets or clients come. Then awake */
};

/* A part of a tenant. */
struct tenant_asleep {
	enum asleep_phase phase; /* changed by daemon_asleep_become() alone */
	uint64_t
	    due_ms; /* clock_now_ms(): the end of its rest, or when the route is to report a client again; 0: none */
	uint64_t told_ms;  /* when the manager was asked last */
	unsigned attempts; /* how often it was asked in this pause */
	bool keeps;        /* copies of first packets are kept for it; they are until it is ready again */
	bool closed;       /* its TAP lost its carrier meanwhile, so packets did not get into the TAP's queue */
	int64_t downs;     /* how often its carrier had been lost when it fell asleep */
	bool unset;        /* for want of memory its route has not been told yet what wakes it */
};

/* With the rooms. 0, or -1 with ERR. */
int daemon_asleep_start(struct daemon *daemon, struct err *err);
void daemon_asleep_stop(struct daemon *daemon);

/* To be called after each change of TENANT's state, or of what wakes it. */
void daemon_asleep_follow(struct tenant *tenant);

/* To be called when its TAP got a carrier, or lost it. */
void daemon_asleep_note_carrier(struct tenant *tenant);

/* To be called when a port of the host leads past the forwarder to it no more. */
void daemon_asleep_note_unpublished(struct tenant *tenant);

/* To be called when the configuration was loaded anew. */
void daemon_asleep_reload(struct daemon *daemon);

/* Packets and posts so far; zeroes before the start. */
void daemon_asleep_stats(const struct daemon *daemon, struct wake_stats *stats);

/* POST of a wake; CONTEXT is the daemon. Of type control_serve. */
void daemon_asleep_ask(void *context, struct control_request *request);

#endif
