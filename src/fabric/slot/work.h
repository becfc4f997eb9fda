/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_WORK_H
#define WEFT_FABRIC_SLOT_WORK_H

/*
 * The builder's work on one slot: making it, taking it over, making it ready again. All of this runs on the builder's thread,
 * unless it says otherwise, and touches no state of the fabric; the result stands in the struct.
 */

#include "base/err.h"
#include "fabric/fabric.h"
#include "fabric/slot/list.h"
#include "fabric/slot/scan.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/rtnl.h"

#include <stdbool.h>

struct config;
struct config_layout;

/* The route of the host address, in reports. */
#define SLOT_ROUTE_NAME "route of the host address"

struct slot_work {
	const struct config *config;
	const struct config_layout *layout; /* the slot's */
	const struct fabric_plan *plan;
	const struct fabric_plan *former; /* in: of slot_renew_slot(), the former tenant's */
	struct kern_rtnl *host;           /* a socket of the home namespace */
	unsigned mtu;                     /* in: of its links; 0: as its TAP has it. As a result, the TAP's */
	struct slot_list list;            /* all that it is to be made of */
	struct scan_number number; /* in: its namespace as the scan saw it, for slot_adopt_links(); zero: it did not */

	struct kern_rtnl inside;      /* a socket of the slot's namespace: closed before the work ends */
	bool adopting;                /* each part is looked at first, and repaired where it differs */
	bool looking;                 /* with ADOPTING: what differs is noted and left as it is */
	bool attached;                /* in: a VM has tap0, which is not made anew under it */
	char repaired[256];           /* the parts that differed, "" if none */
	const struct kern_link *veth; /* seen a moment ago; NULL: the kernel is asked */
	struct kern_link eth0, tap;   /* inside, as they were seen on the way; index 0: not yet */

	/* The result; NETNS_FD is the caller's to close. */
	int netns_fd;
	struct kern_namespace_key key;
	int nsid;
	int veth_index;
	bool carrier;
	uint32_t carrier_downs; /* of tap0, where CARRIER is known */
	bool named;             /* its veth has the sandbox's name already */
	bool foreign;           /* failed because a foreign object has the name: ERR says which */
	enum failure failure;   /* proved; WHY says it for people. Adopting may succeed all the same */
	struct err why;         /* of an adoption; a repair's is in ERR */
	bool anew;              /* nothing of it was left, and it was made anew */
	bool rivalled;          /* somebody else decides instead of a route of ours, as RIVAL says */
	struct fabric_rival rival;
};

void slot_build_init(struct slot_work *work, const struct config *config, struct kern_rtnl *host,
		     const struct fabric_plan *plan, unsigned mtu);

/* Makes all of the slot, or nothing, and then ERR names the step that failed. 0 or -1. */
int slot_build_slot(struct slot_work *work, struct err *err);

/*
 * Takes over the links that a former run left. They stay untouched where they are as they should be. A veth that is gone is made again.
 * A slot of which neither a namespace nor a VM is left is made anew. If WORK->failure is proved, and the namespace is still within
 * reach, that and the carrier are the result, and nothing is repaired. On failure the former objects stay. 0, or -1 with ERR.
 */
int slot_adopt_links(struct slot_work *work, struct err *err);

/*
 * The other half of it, afterwards: tables and published ports. It takes no RTNL, so the claimer's thread does it while the
 * builder is at the next slot. 0, or -1 with ERR.
 */
int slot_adopt_rules(struct slot_work *work, struct err *err);

/* Fills in the result for a slot that is only to be watched; touches nothing. 0, or -1 with ERR. */
int slot_adopt_unchanged(struct slot_work *work, struct err *err);

/*
 * The builder's part in claiming a ready slot for a plan whose owner of the TAP, or rates, differ from those of FORMER. The
 * namespace is the caller's, in NETNS_FD. 0, or -1 with ERR.
 */
int slot_build_fit(struct slot_work *work, const struct fabric_plan *former, struct err *err);

/*
 * A released slot, towards the next tenant. slot_renew_silence() takes its address, ports and name away; slot_renew_slot()
 * proves it clean (no VM, no link, socket or tracked flow of the former tenant, nothing altered), gives it the rules of
 * WORK's plan and its address back, and fills in the result. 0, or -1 with ERR: then the slot is not to be used again.
 */
int slot_renew_silence(struct slot_work *work, bool published, struct err *err);
int slot_renew_slot(struct slot_work *work, struct err *err);

/* Whether VETH has the name of PLAN's sandbox. */
bool slot_build_is_named(const struct fabric_plan *plan, const struct kern_link *veth);

/* Writes the sandbox's name on its veth. *CHANGED: it was not there. 0, or -1 with ERR. */
int slot_build_alias(struct kern_rtnl *host, const struct config_layout *layout, const struct fabric_plan *plan,
		     bool *changed, struct err *err);

/*
 * Repairs links, addresses, routes, limits and name of a live slot, but no tables; or, if WORK->looking, notes alone what differs. The
 * namespace is the caller's, in NETNS_FD. NSID and VETH_INDEX, if they are known, help to recognize what lost its mark or name. 0,
 * or -1 with ERR.
 */
int slot_adopt_repair(struct slot_work *work, struct err *err);

/* The veth pair, and the namespace's name: for slots that have none. WORK->foreign if a foreign object is there. */
int slot_build_veth(struct slot_work *work, struct err *err);
int slot_build_name(struct slot_work *work, struct err *err);

/* The parts that making and adopting share; each repeatable. 0, or -1 with ERR. */
int slot_build_host_end(struct slot_work *work, struct err *err);
int slot_build_inside(struct slot_work *work, struct err *err); /* the next two */
int slot_build_eth0(struct slot_work *work, struct err *err);
int slot_build_way_out(struct slot_work *work, struct err *err);
int slot_build_tap(struct slot_work *work, struct err *err);
int slot_build_limit(struct slot_work *work, struct err *err);
int slot_build_rules(struct slot_work *work, struct err *err);
int slot_build_publish(struct slot_work *work, struct err *err);
int slot_build_route(struct slot_work *work, struct err *err);

/* RIVAL, of RTNL's namespace, in the words of a report; *NAMED->what is the caller's to fill in. */
void slot_build_name_rival(struct kern_rtnl *rtnl, const struct kern_route_rival *rival, struct fabric_rival *named);

/*
 * Looks at ROUTE, which is in the namespace of RTNL and which reports call WHAT, and puts it back. What decides instead of it is
 * WORK->rival. For existing slots. 0, or -1 with ERR.
 */
int slot_build_check_route(struct slot_work *work, struct kern_rtnl *rtnl, const struct kern_route *route,
			   const char *what, struct err *err);

/* WHAT is missing or differs. Returns whether the caller has to put it right. Of an existing slot it is noted in WORK->repaired. */
bool slot_build_must(struct slot_work *work, const char *what);

/* The names of slot_build_slot()'s steps, in order; NULL ends. For tests. */
const char *const *slot_build_steps(void);

#endif
