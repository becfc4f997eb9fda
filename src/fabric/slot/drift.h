/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_DRIFT_H
#define WEFT_FABRIC_SLOT_DRIFT_H

/* What differs in a slot from what was built, for people, by the look that leads weftd to a repair. Changes nothing. Any thread. */

#include "fabric/fabric.h"

#include <stdbool.h>

struct config;
struct err;

/* What a look is at: the veth's ends; the routes to the sandbox and from it to the world; or the TAP, with the limits inside. */
enum slot_drift_scope { DRIFT_VETH, DRIFT_ROUTES, DRIFT_TAP };

struct slot_drift {
	char parts[256]; /* "MTU of eth0, neighbour of the veth"; "": none */
	bool rivalled;   /* somebody else decides instead of a route of ours, as RIVAL says */
	struct fabric_rival rival;
};

/*
 * Compares the parts in SCOPE of PLAN's slot with the list; its tables are not looked at. NETNS_FD: its namespace. 0, or -1 with ERR if
 * it could not be looked at; ENODEV: a link is missing.
 */
int slot_drift_look(const struct config *config, const struct fabric_plan *plan, int netns_fd,
		    enum slot_drift_scope scope, struct slot_drift *drift, struct err *err);

enum { SLOT_FOREIGN_SIZE = 160 };

/*
 * Names in FOREIGN the first thing in the namespace of PLAN's slot that weft did not make, such as "nft table ip filter"; "" for none. Its
 * settings are not looked at. 0, or -1 with ERR.
 */
int slot_drift_find_foreign(const struct config *config, const struct fabric_plan *plan, int netns_fd,
			    char foreign[static SLOT_FOREIGN_SIZE], struct err *err);

#endif
