/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_STATE_H
#define WEFT_FABRIC_SLOT_STATE_H

/*
 * The state machine of a slot: its phases, the one function that changes them, and the listeners that are notified of each
 * change. Which move is allowed stands in the table of slot_state.c. Main thread alone.
 */

#include <stdbool.h>
#include <stddef.h>

struct slot;

/* The phases of a slot that the fabric knows of, in the order of its life. */
enum slot_phase {
	SLOT_NEW,        /* a record only: nothing was begun */
	SLOT_PREPARING,  /* the builder makes it for the pool; a caller may claim it meanwhile (slot->claimed) */
	SLOT_MAKING,     /* the builder makes it for a caller */
	SLOT_ADOPTING,   /* builder, then claimer look over a slot that a former run left, for a caller */
	SLOT_READY,      /* the pool's: complete, without a sandbox */
	SLOT_CLAIMING,   /* a ready slot on its way to a caller */
	SLOT_LIVE,       /* a sandbox has it */
	SLOT_FAILED,     /* a sandbox has it, and slot->failure is proved of it; reported */
	SLOT_KEPT,       /* no sandbox wants it, but a VM lives on it: only watched */
	SLOT_SILENCING,  /* released: the builder takes its address away */
	SLOT_QUARANTINE, /* silent, until the quarantine is over */
	SLOT_RENEWING,   /* the builder proves it clean and makes it ready again */
	SLOT_LEAVING,    /* given up: waits for a place in the lot of teardowns */
	SLOT_TEARDOWN,   /* the builder takes it apart */
	SLOT_STUCK,      /* it could not be taken apart; waits for another attempt */
	SLOT_DRAINING,   /* taken apart: its veth goes when nobody holds the namespace any more */
	SLOT_VANISHED,   /* its veth is gone; flows and counters are being forgotten */
	SLOT_GONE,       /* its number is free, and the record is about to be freed */
	SLOT_PHASES,
};

/*
 * A listener: SLOT has left the phase FROM for the one that it is in. CAUSE is the mover's. It may move other slots, but SLOT
 * itself only if it is the last listener.
 */
typedef void slot_moved(void *context, struct slot *slot, enum slot_phase from, const char *cause);

enum { SLOT_LISTENERS_MAX = 4 };

/* The listeners, and how many slots are in each phase (SLOT_NEW and SLOT_GONE are not counted). Zeroed: none. */
struct slot_states {
	struct {
		slot_moved *moved;
		void *context;
	} listeners[SLOT_LISTENERS_MAX];
	size_t listener_count;
	unsigned counts[SLOT_PHASES];
};

/* Adds a listener, which is notified after those that were added before it. At most SLOT_LISTENERS_MAX: more is a bug. */
void fabric_slot_listen(struct slot_states *states, slot_moved *moved, void *context);

/*
 * Moves SLOT to PHASE, logs the move (debug) and notifies the listeners. CAUSE says why, for the log; with SLOT_FAILED it is also
 * reported to the daemon. A move that is not in the table is a bug: it aborts, or, without assertions, is logged and not made.
 */
void slot_become(struct slot *slot, enum slot_phase phase, const char *cause);

/* Whether the table has this move. */
bool fabric_slot_may_become(enum slot_phase from, enum slot_phase to);

/* The word for a phase in the log. */
const char *fabric_slot_phase_name(enum slot_phase phase);

/* Whether a sandbox has it: live, or failed. */
bool fabric_slot_is_live(const struct slot *slot);
bool fabric_slot_phase_is_live(enum slot_phase phase);

/* Whether a slot in PHASE was released and may be the pool's again: silencing, quarantine or renewing. */
bool fabric_slot_phase_is_quarantine(enum slot_phase phase);

/* Whether it was given up: from leaving to gone. */
bool fabric_slot_is_leaving(const struct slot *slot);

/* How many slots are in such a phase. */
unsigned fabric_slot_count_quarantined(const struct slot_states *states);

/* How many slots have a sandbox. */
unsigned fabric_slot_count_live(const struct slot_states *states);

/* How many teardowns are under way: the namespaces that the kernel has to drop, or soon will. */
unsigned fabric_slot_count_teardowns(const struct slot_states *states);

#endif
