/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_STATE_H
#define WEFT_FABRIC_STATE_H

/*
 * What the fabric knows on the main thread, shared by its own files alone. Nothing in here is touched by the other threads but
 * the configuration, which they read.
 */

#include "base/loop.h"
#include "base/queue.h"
#include "config/config.h"
#include "fabric/fabric.h"
#include "fabric/job.h"
#include "kernel/namespace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct scan_number;
struct slot;

/* What a slot that we know of is going through. */
enum slot_phase {
	SLOT_MAKING,     /* a job of the builder is at it; then LIVE, READY, or gone */
	SLOT_READY,      /* the pool's: complete, nobody's; then LIVE or GOING */
	SLOT_LIVE,       /* a sandbox has it; then QUARANTINED or GOING */
	SLOT_KEPT,       /* nobody wants it, a VM lives on it: watched alone; then GOING */
	SLOT_QUARANTINE, /* the pool's: released, its address answers no more; then READY or GOING */
	SLOT_GOING,      /* taken apart, or waiting for it; then gone */
};

#define CARRIER_DOWNS_UNKNOWN UINT32_MAX

/* Why a number is not the pool's to take; both may hold. */
enum shun {
	SHUN_FOREIGN = 1, /* somebody else's object has its name; ends when that goes */
	SHUN_CALLER = 2,  /* fabric_shun() */
};

/* A plan of ours, shared by the slot and the jobs at work on it. Counted on main alone. */
struct plan_share {
	struct fabric_plan *plan;
	unsigned users;
};

struct slot {
	unsigned number;
	enum slot_phase phase;
	struct plan_share *plan; /* NULL: kept, or going */
	int netns_fd;            /* borrowed from the caller that owns the sandbox; -1: none. Use slot_open_netns() */
	struct namespace_key key;
	int nsid; /* -1 unknown */
	int veth_index;
	unsigned mtu;
	bool carrier;
	uint32_t
	    carrier_downs; /* how often the carrier was lost up to the last look; CARRIER_DOWNS_UNKNOWN: no look yet */
	bool blinked;      /* an event said that the carrier was lost, and it may be back by now */
	bool looking;      /* a look is under way */
	bool look_more;    /* ... and something happened meanwhile */
	struct job *late_look; /* ... of fabric_look_later(); NULL: an urgent one */
	bool veth_touched;     /* something happened to the host's end while it was being made */
	bool repairing;        /* a job of the builder puts its links right */
	bool leftovers;        /* a former run of the daemon may have left sockets inside */
	bool broken;           /* told so: not again */

	bool suspected;            /* its rules wait for the patrol, in its queue */
	bool republish;            /* its published ports were lost with the host's table */
	uint64_t patrolled_ms;     /* when the patrol was here, clock_now_ms() */
	uint64_t denials_since_ms; /* up to when denials were told */
	uint32_t
	    checked_generation; /* of its ruleset when that was last found to be what checked_plan wants; 0: never */
	const struct plan_share *checked_plan; /* to compare with `plan` alone */
	struct fabric_counts counts;           /* last read */
	uint8_t still;                         /* so often in a row they were read and had not changed */
	uint8_t skipped;                       /* so often they were not even read since */
	TAILQ_ENTRY(slot) suspects;

	/* For whoever waits: making (until it is done), and going. */
	struct job *refill; /* of the pool, which makes it; NULL: none */
	fabric_slot_done *made;
	void *made_context;
	struct plan_share *claimed; /* the plan of who waits, when the pool made the slot */
	fabric_done *gone;
	void *gone_context;
	bool destroy_wanted; /* while it was being made */

	bool of_pool;          /* made by the pool */
	bool pooled;           /* in the pool's list of ready ones */
	bool counted;          /* among fabric->going */
	bool apart;            /* taken apart: its veth is waited for */
	bool vanished;         /* the host saw its veth go */
	struct timer patience; /* GOING: until links are deleted under who holds them; QUARANTINE: its end */
	void (*out_of_patience)(struct fabric *fabric, struct slot *slot);
	TAILQ_ENTRY(slot) next; /* in fabric->deletions or the pool's lists */
};

TAILQ_HEAD(slot_queue, slot);

struct fabric {
	struct event_base *base;
	const struct config *config;
	struct fabric_watcher watcher;
	unsigned mtu; /* of new links */
	bool stopping;

	struct mailbox *mailbox;
	struct job_thread *builder, *claimer;

	struct slot **slots; /* by number, CONFIG_SLOT_MAX + 1 places */
	uint16_t *by_nsid;   /* slot numbers, NAMESPACE_ID_MAX + 1 places; 0: nobody's */

	struct scan_number *numbers; /* what the scan saw, until all is adopted; NULL: nothing */

	uint8_t *shunned; /* enum shun by number: the pool does not prepare these */

	struct slot_queue deletions; /* GOING, not begun */
	unsigned going;              /* namespaces on their way out */
	bool feeding;                /* guards fabric_feed_deletions() against itself */

	struct observer *observer;
	struct patrol *patrol;
	struct pool *pool;
	uint64_t deferred_total;
	uint64_t hush_from_ms, hush_until_ms; /* see claim.c */
};

/* At most so many namespaces go away at a time: the kernel holds RTNL for a whole lot. */
enum { FABRIC_LOT = 32, FABRIC_PATIENCE_MS = 1000, FABRIC_RETRY_MS = 5000 };

/* ---- slot.c: the records ---- */

/* The record of NUMBER; NULL: we know of none. */
struct slot *slot_find(const struct fabric *fabric, unsigned number);
/* A new record. NULL only for lack of memory. */
struct slot *slot_new(struct fabric *fabric, unsigned number, enum slot_phase phase);
/* Forgets it; it must be in no queue and nobody may wait for it. */
void slot_forget(struct fabric *fabric, struct slot *slot);
/* Whose namespace has this number in netlink messages; NULL: nobody's. */
struct slot *slot_by_nsid(const struct fabric *fabric, int nsid);
/* Makes messages with NSID concern SLOT. 0, or -1 for lack of memory. */
int slot_set_nsid(struct fabric *fabric, struct slot *slot, int nsid);
/* A descriptor of the slot's namespace for one job: the job closes it. -1 with ERR. */
int slot_open_netns(const struct fabric *fabric, const struct slot *slot, struct err *err);

/* A share of a copy of PLAN; NULL only for lack of memory. */
/* Whose it is, or was, for the log; "" if nobody's. */
const char *slot_sandbox(const struct slot *slot);

struct plan_share *plan_share_new(const struct fabric_plan *plan);
struct plan_share *plan_share_hold(struct plan_share *share);
void plan_share_release(struct plan_share *share); /* NULL is fine */

/* ---- answer.c: replies that are known at once, told after the call returned ---- */

void fabric_reply_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err);
void fabric_reply(struct fabric *fabric, fabric_done *done, void *context, const struct err *err);

/* ---- make.c ---- */

/* Makes SLOT (in phase MAKING, with its plan) by a job of URGENCY. */
void fabric_start_making(struct fabric *fabric, struct slot *slot, enum job_urgency urgency);

/* ---- name.c ---- */

/* Writes alias and comment of a live slot, some time. */
void fabric_name_slot(struct fabric *fabric, struct slot *slot);

/* ---- claim.c ---- */

/* Hands a READY slot over to who waits for SLOT->claimed. */
void fabric_claim(struct fabric *fabric, struct slot *slot, fabric_slot_done *done, void *context);

/* ---- teardown.c ---- */

/* Takes SLOT apart; GONE (may be NULL) when its veth is gone. */
void fabric_start_going(struct fabric *fabric, struct slot *slot, fabric_done *gone, void *context);
/* Goes on with deletions as far as the lot has room. */
void fabric_feed_deletions(struct fabric *fabric);
/* The host saw the veth of a GOING slot go. */
void fabric_slot_vanished(struct fabric *fabric, struct slot *slot);

/* ---- look_slot.c ---- */

/* Something happened to the slot: looks at its links, and tells what changed. */
void fabric_look(struct fabric *fabric, struct slot *slot);
/* The same, but behind whoever waits: nothing is known to have happened. */
void fabric_look_later(struct fabric *fabric, struct slot *slot);
/* For a slot whose veth was seen a moment ago, if nothing happened to it since. */
void fabric_look_inside(struct fabric *fabric, struct slot *slot);
void fabric_look_at_all(struct fabric *fabric);
/* Puts the slot's links, addresses and routes right, and tells what had to be. */
void fabric_repair(struct fabric *fabric, struct slot *slot);

/* ---- observe.c ---- */

struct observer *observer_new(struct fabric *fabric, struct err *err);
void observer_free(struct observer *observer);

/* ---- patrol.c ---- */

struct patrol *patrol_new(struct fabric *fabric, struct err *err);
void patrol_free(struct patrol *patrol);
/* Rules of the host (SLOT NULL) or of a slot may have been altered: looks soon. */
void patrol_suspect(struct patrol *patrol, struct slot *slot);
/* So may the routes of the host that all slots share. */
void patrol_suspect_routes(struct patrol *patrol);
/* The slot is about to be forgotten. */
void patrol_forget(struct patrol *patrol, const struct slot *slot);

/* ---- pool.c ---- */

struct pool *pool_new(struct fabric *fabric, struct err *err);
void pool_free(struct pool *pool);
/* Slots may be prepared from now on: what a former run left is known. */
void pool_open(struct pool *pool);
/* A slot of the pool's is complete. */
void pool_add_ready(struct pool *pool, struct slot *slot);
/* SLOT is READY no more: claimed, or found altered. */
void pool_remove_ready(struct pool *pool, struct slot *slot);
/* Whether it has room for one more. */
bool pool_wants(const struct pool *pool);
/* The same for a slot that has to be renewed first: a few at a time. */
bool pool_wants_renewed(const struct pool *pool);
/* Few slots are left: they are prepared whatever else goes on. */
bool pool_is_low(const struct pool *pool);
/* A slot entered, or left, the quarantine. */
void pool_quarantined(struct pool *pool, bool entered);
/* A slot is being made ready again, or no longer: the pool wants no more than it has room for. */
void pool_renewing(struct pool *pool, bool begun);
/* What a slot of the pool's is made of. NULL only for lack of memory. */
struct plan_share *pool_plan(const struct fabric *fabric, unsigned number);
/* A slot's making failed, or its number is free again: the pool may try on. */
void pool_kick(struct pool *pool, bool failed);
void pool_count_cold(struct pool *pool);
/* The making of a slot of the pool's ended, well or not. */
void pool_made(struct pool *pool);

/* ---- recycle.c ---- */

/*
 * Takes a released live slot into QUARANTINE, if there is a pool and the slot is fit for it: then GONE is told when its address
 * answers no more. false: it is not taken.
 */
bool recycle_takes(struct fabric *fabric, struct slot *slot, fabric_done *gone, void *context);

#endif
