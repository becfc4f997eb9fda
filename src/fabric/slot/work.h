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
	struct scan_number number; /* in: what the scan saw of its namespace, for slot_adopt(); zero: nothing */

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

void slot_work_init(struct slot_work *work, const struct config *config, struct rtnl *host,
		    const struct fabric_plan *plan, unsigned mtu);

/* Makes the slot: all of it, or nothing, and then ERR names the step. */
int slot_build(struct slot_work *work, struct err *err);

/*
 * Takes over the links that a former run left: untouched where they are as they should be. A slot without its namespace or veth
 * is taken apart and made anew. On failure what was there stays.
 */
int slot_adopt(struct slot_work *work, struct err *err);

/*
 * The other half of it, afterwards: tables and published ports. It takes no RTNL, so the claimer does it while the builder is at
 * the next slot.
 */
int slot_adopt_rules(struct slot_work *work, struct err *err);

/* Fills in the result for a slot that is only to be watched; touches nothing. */
int slot_look(struct slot_work *work, struct err *err);

/*
 * Claiming a ready slot of the pool for a plan with another owner of the TAP or another rate towards the guest: what of this
 * needs the builder. The namespace is the caller's.
 */
int slot_fit(struct slot_work *work, const struct fabric_plan *former, struct err *err);

/*
 * A released slot, towards the next tenant. slot_silence() takes its address, ports and name away; slot_renew() proves it clean
 * (no VM, no link, socket or tracked flow of the former tenant, nothing altered), gives it the rules of WORK's plan and its
 * address back, and fills in the result. Whatever fails: the slot is not to be used again.
 */
int slot_silence(struct slot_work *work, bool published, struct err *err);
int slot_renew(struct slot_work *work, struct err *err);

/* Whether VETH has the name of PLAN's sandbox. */
bool slot_is_named(const struct fabric_plan *plan, const struct link_info *veth);

/* Writes the sandbox's name on its veth. *CHANGED: it was not there. */
int slot_name(struct rtnl *host, const struct config *config, const struct fabric_plan *plan, bool *changed,
	      struct err *err);

/*
 * Puts links, addresses, routes and name of a live slot right; what nft does is not among it. The namespace is the caller's,
 * in NETNS_FD.
 */
int slot_repair(struct slot_work *work, struct err *err);

/* The veth pair, and the namespace's name: for slots that have none. WORK->foreign where somebody else's is there. */
int slot_work_veth(struct slot_work *work, struct err *err);
int slot_work_name(struct slot_work *work, struct err *err);

/* The parts that making and adopting share; each repeatable. */
int slot_work_host_end(struct slot_work *work, struct err *err);
int slot_work_inside(struct slot_work *work, struct err *err);
int slot_work_tap(struct slot_work *work, struct err *err);
int slot_work_limit(struct slot_work *work, struct err *err);
int slot_work_rules(struct slot_work *work, struct err *err);
int slot_work_publish(struct slot_work *work, struct err *err);
int slot_work_route(struct slot_work *work, struct err *err);

/* Remembers that WHAT differed and is right again. */
void slot_work_repaired(struct slot_work *work, const char *what);

/*
 * For tests: asked before each step with its name; true makes that step fail (EIO). NULL, the default, turns it off. Set
 * while no builder runs.
 */
void slot_build_set_fault(bool (*fails)(const char *step));

/* -1 with ERR if a test wants STEP to fail. */
int slot_build_fault(const char *step, struct err *err);

/* The names of the steps, in order; NULL ends. For tests. */
const char *const *slot_build_steps(void);

#endif
