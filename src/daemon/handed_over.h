/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_HANDED_OVER_H
#define WEFT_DAEMON_HANDED_OVER_H

/* The connections that the former run of weftd handed over (handing_over.h): each goes on here, or is reset. Main thread only. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct err;
struct tenant;

/* Before the others. 0, or -1 with ERR. */
int daemon_handed_over_start(struct daemon *daemon, struct err *err);
void daemon_handed_over_stop(struct daemon *daemon);

/*
 * Takes them out of the service manager's store, and hands them to the forwarder, where they wait. To be called when all sandboxes are
 * known, and before any client is accepted.
 */
void daemon_handed_over_take(struct daemon *daemon);

/* The default endpoint is open: its clients that wait for a sandbox go on waiting. */
void daemon_handed_over_follow_default(struct daemon *daemon);

/* Those of TENANT go on, if its slot is taken over and its endpoints are open. */
void daemon_handed_over_follow(struct tenant *tenant);

/* What became of them. */
struct handover_outcome {
	uint64_t connections, lost; /* CONNECTIONS go on here */
	uint64_t gap_ms;            /* for which they stood still */
};

/* The outcome; NULL: there was no handover, or some connections still wait. */
const struct handover_outcome *daemon_handed_over_outcome(const struct daemon *daemon);

/* The member `handover` of the status. NULL for want of memory. */
json_t *daemon_handed_over_describe(const struct daemon *daemon);

#endif
