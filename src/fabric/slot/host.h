/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_HOST_H
#define WEFT_FABRIC_SLOT_HOST_H

/* The objects of the host that all sandboxes share. The thread that HOST belongs to. */

#include "fabric/fabric.h"
#include "kernel/rtnl.h"

#include <stdbool.h>

struct config;
struct config_layout;
struct err;

enum { HOST_MTU_FALLBACK = 1500 };

/* Makes the host fit to carry sandboxes: directory, forwarding, table, `unreachable` routes. Repeatable. 0, or -1 with ERR. */
int slot_build_host(struct kern_rtnl *host, const struct config *config, struct err *err);

/*
 * The MTU that new links get: the option's, else the uplink's; *MTU stays where the host has no uplink. *UPLINK: the number of its link;
 * 0: none, or not asked for. 0, or -1 with ERR.
 */
int slot_build_host_mtu(struct kern_rtnl *host, const struct config *config, int *uplink, unsigned *mtu,
			struct err *err);

/* Whether the host forwards packets. 0 and *ON, or -1 with ERR. */
int slot_build_host_look_forwarding(bool *on, struct err *err);

/* Turns that on. 0, or -1 with ERR. */
int slot_build_host_forward(struct err *err);

/* How the routes are that keep packets to addresses without a slot from leaving by the uplink. */
struct slot_host_routes {
	bool added;    /* one was missing */
	bool rivalled; /* RIVAL leads such packets somewhere all the same */
	struct fabric_rival rival;
};

/* Adds those that are missing. Another's in place of one, or in front of it, is left alone. 0 and *ROUTES, or -1 with ERR. */
int slot_build_host_routes(struct kern_rtnl *host, const struct config *config, struct slot_host_routes *routes,
			   struct err *err);

/* Removes all such routes of ours, whatever configuration made them. *REMOVED: how many there were. 0, or -1 with ERR. */
int slot_build_host_routes_remove(struct kern_rtnl *host, unsigned *removed, struct err *err);

/* Removes those of LAYOUT that no other layout of CONFIG needs, after config_layout_drop(). 0, or -1 with ERR. */
int slot_build_host_forget(struct kern_rtnl *host, const struct config *config, const struct config_layout *layout,
			   struct err *err);

#endif
