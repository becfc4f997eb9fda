/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_DESTROY_H
#define WEFT_FABRIC_SLOT_DESTROY_H

/* Taking a slot apart, in the order of effect. The builder's thread, or that of `weftd --cleanup`. */

#include "kernel/rtnl.h"

#include <stdbool.h>

struct config;
struct config_layout;
struct err;

struct slot_remains {
	unsigned slot;
	const struct config_layout *layout; /* in: its names and addresses */
	bool published;                     /* in: ports of the host may lead to it */
	bool asleep;                        /* in: packets may wake it */
	bool leftovers; /* in: sockets of a former run may be inside, and are ended, for they would pin the namespace */
	int nsid;       /* in: -1 unknown; out: the number of its namespace, -1 if it has no veth of ours */
	bool had_name;  /* out */
	bool refused;   /* out, on failure: a foreign object is proved to keep the name */
	bool had_veth;  /* out: the veth is there still, and goes with the namespace */
};

/*
 * Removes the host address's route and the published ports, then the namespace's name. Foreign objects are left alone. From
 * here on the kernel drops the rest as soon as nobody holds the namespace. Repeatable. 0, or -1 with ERR.
 */
int slot_destroy_slot(struct kern_rtnl *host, struct slot_remains *remains, struct err *err);

/* Deletes TAP and veth, even if a process holds the namespace. Costs 11-19 ms a link. If there are none, that is no error. */
int slot_destroy_links(struct kern_rtnl *host, const struct slot_remains *remains, struct err *err);

#endif
