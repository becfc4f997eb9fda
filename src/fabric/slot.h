/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_H
#define WEFT_FABRIC_SLOT_H

/* The record of a slot, and how it is found. Main thread alone. */

#include "base/loop.h"
#include "base/queue.h"
#include "fabric/fabric.h"
#include "fabric/job.h"
#include "fabric/slot/plan.h"
#include "fabric/slot_state.h"
#include "fabric/trouble.h"
#include "kernel/namespace.h"

#include <stdbool.h>
#include <stdint.h>

#define CARRIER_DOWNS_UNKNOWN UINT32_MAX

/* DOWNS of a slot as others get it. */
static inline int64_t fabric_slot_carrier_downs(uint32_t downs)
{
	return downs == CARRIER_DOWNS_UNKNOWN ? -1 : (int64_t)downs;
}

/* What shows a slot in use. Zeroed: nothing is known yet. */
struct slot_activity {
	bool known;       /* the next two were read */
	uint64_t bytes;   /* of its veth, both ways, when the counter was read last */
	uint64_t counter; /* as it was read last; it begins anew with new tables */
	uint64_t packets; /* all that it has counted */
};

/* One slot. Each file of the fabric writes the group of members that is its own; PHASE is slot_become()'s. */
struct slot {
	struct fabric *fabric;
	unsigned number;
	enum slot_phase phase;
	const struct config_layout *layout; /* by which it has its names and addresses */
	struct plan_share *plan;            /* NULL: kept, or unknown */
	int netns_fd; /* borrowed from the caller that owns the sandbox; -1: none. Use fabric_slot_open_netns() */
	struct kern_namespace_key key;
	int nsid; /* -1 unknown. fabric_slot_set_nsid() sets it */
	int veth_index;
	unsigned mtu;
	bool leftovers; /* a former run of the daemon may have left sockets inside */

	/* Looks, and the events that lead to them: look_slot.c, observe.c. */
	bool carrier;           /* as it was reported last */
	uint32_t carrier_downs; /* how often it was lost, up to the last look; CARRIER_DOWNS_UNKNOWN: no look yet */
	bool blinked;           /* an event said that the carrier was lost, and it may be back by now */
	bool tap_was_free;      /* its TAP was deleted, says an event, and no VM had it open then */
	bool veth_touched;      /* something happened to the host's end while the slot was being made */
	struct job *look;       /* under way; NULL: none */
	enum job_urgency look_urgency;
	bool look_more; /* something happened after LOOK was posted */

	/* Repairs of its links: repair.c. */
	bool repair_more;       /* something happened after REPAIR was posted */
	bool fought_over;       /* REPAIRS_LATELY were so many that the slot is left to the back-off */
	uint8_t repairs_raced;  /* how many in a row failed because of REPAIR_MORE */
	uint8_t repairs_lately; /* of the same parts, reported or not, each soon after the one before */
	char repaired[63];      /* the parts that were put back last, cut off */
	struct job *repair;     /* under way; NULL: none */
	uint64_t repaired_ms;   /* when parts were put back last, clock_now_ms() */
	enum job_urgency repair_urgency;

	/* trouble.c. */
	enum failure failure; /* in SLOT_FAILED: which */
	struct trouble troubles[TROUBLE_KINDS];

	/* The patrol's. */
	uint32_t checked_generation;           /* of its ruleset when that last agreed with checked_plan; 0: never */
	bool suspected;                        /* in the queue of suspects */
	bool republish;                        /* its published ports were lost with the host's table */
	bool stale_flows;                      /* flows may have been begun without its tables, and are not forgotten */
	uint64_t patrolled_ms;                 /* when it was visited last, clock_now_ms() */
	uint64_t denials_since_ms;             /* up to when its denials were reported */
	const struct plan_share *checked_plan; /* to compare with PLAN alone */
	TAILQ_ENTRY(slot) suspects;

	/* Counters: collect.c. */
	struct fabric_counts counts; /* last read */
	uint8_t still;               /* reads in a row that found no change */
	uint8_t skipped;             /* times in a row that it was not even read since */

	/* activity.c. */
	struct slot_activity activity;

	/* The callers that wait: for the slot until it is live, and for its end. */
	struct job *refill; /* the builder's, that prepares it for the pool; NULL: none */
	fabric_slot_done *made;
	void *made_context;
	struct plan_share *claimed; /* the plan of the caller that claims it; NULL: none */
	fabric_done *gone; /* while it is being made or claimed: it is to be destroyed at once when it is live */
	void *gone_context;

	uint8_t teardown_pause;   /* seconds between the last two attempts to take it apart; 0: none failed */
	bool teardown_waits;      /* TIMEOUT is one of these pauses */
	bool teardown_ahead;      /* it is tried ahead of its time now */
	uint8_t teardown_hurries; /* how often it was, since its pause grew last */
	uint8_t flushes;          /* how often its flows could not be forgotten */

	struct timer timeout; /* fabric_slot_start_timeout() starts it */
	void (*timed_out)(struct slot *slot);
	TAILQ_ENTRY(slot) next; /* in the pool's list of ready ones, or in the teardowns that wait */
};

TAILQ_HEAD(slot_queue, slot);

/* The record of NUMBER; NULL: there is none. */
struct slot *fabric_slot_find(const struct fabric *fabric, unsigned number);

/* A record in SLOT_NEW for a NUMBER that has none; LAYOUT NULL: that of new slots. NULL only for lack of memory. */
struct slot *fabric_slot_new(struct fabric *fabric, unsigned number, const struct config_layout *layout);

/* Frees SLOT's number, moves it to SLOT_GONE for CAUSE and frees it. It must be in no queue, and no caller may wait for it. */
void fabric_slot_forget(struct slot *slot, const char *cause);

/* Frees the record in whatever phase it is, without a move: for the end of the fabric. */
void fabric_slot_free(struct slot *slot);

/* The slot whose namespace has the number NSID in netlink messages; NULL: none. */
struct slot *fabric_slot_by_nsid(const struct fabric *fabric, int nsid);

/* From now on messages with NSID are about SLOT; -1: none are. 0, or -1 if NSID is beyond NAMESPACE_ID_MAX. */
int fabric_slot_set_nsid(struct slot *slot, int nsid);

/* A descriptor of the slot's namespace for one job, which closes it. -1 with ERR. */
int fabric_slot_open_netns(const struct slot *slot, struct err *err);

/* How SLOT, whose namespace the caller gets as NETNS_FD, is handed out. */
struct fabric_slot fabric_slot_result(const struct slot *slot, int netns_fd);

/* The id of the sandbox that has it, or had it, for the log; NULL if there is none. */
const char *fabric_slot_sandbox(const struct slot *slot);

/* Calls TIMED_OUT after DELAY_MS; replaces a timeout that was started before. timer_stop(&slot->timeout) stops it. */
void fabric_slot_start_timeout(struct slot *slot, uint64_t delay_ms, void (*timed_out)(struct slot *slot));

#endif
