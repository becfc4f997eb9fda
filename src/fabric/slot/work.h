/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_WORK_H
#define WEFT_FABRIC_SLOT_WORK_H

/*
 * The builder's work on one slot: making it, taking it over, taking it apart. All of this runs on the builder's thread and
 * touches no state of the fabric; what came out stands in the struct.
 */

#include "fabric/fabric.h"
#include "fabric/slot/scan.h"
#include "kernel/namespace.h"
#include "kernel/rtnl.h"

#include <stdbool.h>

struct config;
struct err;
struct link_info;

/* A link inside, as it was seen on the way; no index: not yet. */
struct slot_link {
	int index;
	bool unlimited; /* its root is one that the kernel puts there by itself */
};

struct slot_work {
	const struct config *config;
	const struct fabric_plan *plan;
	struct rtnl *host;         /* a socket of the home namespace */
	unsigned mtu;              /* in: of new links */
	struct scan_number number; /* in: what the scan saw of its namespace, for adopt_links(); zero: nothing */

	struct rtnl inside;           /* a socket of the slot's namespace: closed before the work ends */
	bool adopting;                /* what is there is looked at, and repaired where it differs */
	bool attached;                /* in: a VM has tap0, which is not made anew under it */
	char repaired[128];           /* what was, "" if nothing */
	const struct link_info *veth; /* seen a moment ago; NULL: ask */
	struct slot_link eth0, tap;

	/* The result; NETNS_FD is the caller's to close. */
	int netns_fd;
	struct namespace_key key;
	int nsid;
	int veth_index;
	bool carrier;
	bool named;   /* its veth has the sandbox's name already */
	bool foreign; /* failed because a name is somebody else's: ERR says which */
};

void build_init(struct slot_work *work, const struct config *config, struct rtnl *host, const struct fabric_plan *plan,
		unsigned mtu);

/* Makes the slot: all of it, or nothing, and then ERR names the step. */
int build_slot(struct slot_work *work, struct err *err);

/*
 * Takes over the links that a former run left: untouched where they are as they should be. A slot without its namespace or veth
 * is taken apart and made anew. On failure what was there stays.
 */
int adopt_links(struct slot_work *work, struct err *err);

/*
 * The other half of it, afterwards: tables and published ports. It takes no RTNL, so the claimer does it while the builder is at
 * the next slot.
 */
int adopt_rules(struct slot_work *work, struct err *err);

/* Fills in the result for a slot that is only to be watched; touches nothing. */
int adopt_unchanged(struct slot_work *work, struct err *err);

/*
 * Claiming a ready slot of the pool for a plan with another owner of the TAP or another rate towards the guest: what of this
 * needs the builder. The namespace is the caller's.
 */
int build_fit(struct slot_work *work, const struct fabric_plan *former, struct err *err);

/*
 * A released slot, towards the next tenant. renew_silence() takes its address, ports and name away; renew_slot() proves it clean
 * (no VM, no link, socket or tracked flow of the former tenant, nothing altered), gives it the rules of WORK's plan and its
 * address back, and fills in the result. Whatever fails: the slot is not to be used again.
 */
int renew_silence(struct slot_work *work, bool published, struct err *err);
int renew_slot(struct slot_work *work, struct err *err);

/* Whether VETH has the name of PLAN's sandbox. */
bool build_is_named(const struct fabric_plan *plan, const struct link_info *veth);

/* Writes the sandbox's name on its veth. *CHANGED: it was not there. */
int build_alias(struct rtnl *host, const struct config *config, const struct fabric_plan *plan, bool *changed,
		struct err *err);

/*
 * Puts links, addresses, routes and name of a live slot right; what nft does is not among it. The namespace is the caller's,
 * in NETNS_FD.
 */
int adopt_repair(struct slot_work *work, struct err *err);

/* The veth pair, and the namespace's name: for slots that have none. WORK->foreign where somebody else's is there. */
int build_veth(struct slot_work *work, struct err *err);
int build_name(struct slot_work *work, struct err *err);

/* The parts that making and adopting share; each repeatable. */
int build_host_end(struct slot_work *work, struct err *err);
int build_inside(struct slot_work *work, struct err *err);
int build_tap(struct slot_work *work, struct err *err);
int build_limit(struct slot_work *work, struct err *err);
int build_rules(struct slot_work *work, struct err *err);
int build_publish(struct slot_work *work, struct err *err);
int build_route(struct slot_work *work, struct err *err);

/* Remembers that WHAT differed and is right again. */
void build_note_repair(struct slot_work *work, const char *what);

/* The names of the steps, in order; NULL ends. For tests. */
const char *const *build_steps(void);

#endif
