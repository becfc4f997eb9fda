/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_TAKEOVER_H
#define WEFT_DAEMON_TAKEOVER_H

/* Taking over the slot of a stored sandbox at the start. */

#include <stdbool.h>

struct daemon;
struct err;
struct tenant;

/* Before the others. 0, or -1 with ERR. */
int daemon_takeover_start(struct daemon *daemon, struct err *err);
void daemon_takeover_stop(struct daemon *daemon);

/*
 * Takes over the slot of TENANT's sandbox, or makes it anew where nothing is left of it; one that is only kept is watched. CARRIER: the
 * scan found a VM on it. DONE is called once, after the first attempt, whatever comes of it. The others follow after 1, 2, 4 ... 30 s.
 */
void daemon_takeover_begin(struct tenant *tenant, bool carrier, void (*done)(struct daemon *daemon));

#endif
