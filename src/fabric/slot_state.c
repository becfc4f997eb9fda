/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a slot is the table below, and no other function in the fabric assigns a phase. The caller that moves a slot
 * fills in the members that go with the new phase first (its plan, the caller that waits for its end), for the listeners
 * read them.
 *
 *	new -> preparing -> ready -> claiming -> live -> silencing -> quarantine -> renewing -> ready ...
 *	new -> making | adopting -> live -> leaving -> teardown -> draining -> vanished -> gone
 */
#include "fabric/slot_state.h"

#include "base/assert.h"
#include "base/log.h"
#include "fabric/slot.h"
#include "fabric/slot/plan.h"
#include "fabric/state.h"

#define TO(phase) (1u << SLOT_##phase)

/* For each phase its name, and the phases that may follow. */
static const struct {
	const char *name;
	unsigned next;
} slot_table[SLOT_PHASES] = {
	/* To leaving: a slot of which nothing was known is to be destroyed. To gone: memory was out. */
	[SLOT_NEW] = { "new", TO(PREPARING) | TO(MAKING) | TO(ADOPTING) | TO(LEAVING) | TO(GONE) },
	/* To gone from the next three: the builder failed. It has undone all of it, or left a slot that it was to adopt as it was. */
	[SLOT_PREPARING] = { "preparing", TO(READY) | TO(CLAIMING) | TO(GONE) },
	[SLOT_MAKING] = { "making", TO(LIVE) | TO(GONE) },
	[SLOT_ADOPTING] = { "adopting", TO(LIVE) | TO(KEPT) | TO(GONE) },
	[SLOT_READY] = { "ready", TO(CLAIMING) | TO(LEAVING) },
	/* Back to ready: the claim was cancelled before anything was done for it. */
	[SLOT_CLAIMING] = { "claiming", TO(LIVE) | TO(READY) | TO(LEAVING) },
	[SLOT_LIVE] = { "live", TO(FAILED) | TO(SILENCING) | TO(LEAVING) },
	/* Back to live: a look finds the cause gone. */
	[SLOT_FAILED] = { "failed", TO(LIVE) | TO(LEAVING) },
	[SLOT_KEPT] = { "kept", TO(LEAVING) },
	/* To leaving from the next three: in doubt, not wanted, or asked for. */
	[SLOT_SILENCING] = { "silencing", TO(QUARANTINE) | TO(LEAVING) },
	[SLOT_QUARANTINE] = { "quarantine", TO(RENEWING) | TO(LEAVING) },
	[SLOT_RENEWING] = { "renewing", TO(READY) | TO(LEAVING) },
	[SLOT_LEAVING] = { "leaving", TO(TEARDOWN) },
	/* To vanished at once: there was no veth. */
	[SLOT_TEARDOWN] = { "teardown", TO(DRAINING) | TO(VANISHED) | TO(STUCK) },
	[SLOT_STUCK] = { "stuck", TO(LEAVING) },
	[SLOT_DRAINING] = { "draining", TO(VANISHED) },
	[SLOT_VANISHED] = { "vanished", TO(GONE) },
	[SLOT_GONE] = { "gone", 0 },
};

void fabric_slot_listen(struct slot_states *states, slot_moved *moved, void *context)
{
	base_assert(states->listener_count < SLOT_LISTENERS_MAX);
	states->listeners[states->listener_count].moved = moved;
	states->listeners[states->listener_count++].context = context;
}

bool fabric_slot_may_become(enum slot_phase from, enum slot_phase to)
{
	return slot_table[from].next & 1u << to;
}

const char *fabric_slot_phase_name(enum slot_phase phase)
{
	return slot_table[phase].name;
}

void slot_become(struct slot *slot, enum slot_phase phase, const char *cause)
{
	struct slot_states *states = &slot->fabric->states;
	enum slot_phase from = slot->phase;

	if (!fabric_slot_may_become(from, phase)) {
		log_error("a slot was to make a move that there is not", F_UINT("slot", slot->number),
			  F_STR("from", fabric_slot_phase_name(from)), F_STR("to", fabric_slot_phase_name(phase)),
			  F_STR("cause", cause));
		base_assert(fabric_slot_may_become(from, phase));
		return;
	}
	log_debug("slot moved", F_STR("sandbox", slot->plan ? slot->plan->plan->id : NULL),
		  F_UINT("slot", slot->number), F_STR("from", fabric_slot_phase_name(from)),
		  F_STR("to", fabric_slot_phase_name(phase)), F_STR("cause", cause));
	slot->phase = phase;
	if (from != SLOT_NEW)
		states->counts[from]--;
	if (phase != SLOT_GONE)
		states->counts[phase]++;
	for (size_t i = 0; i < states->listener_count; i++) {
		/* A listener that moved the slot would have the others notified of two moves in the wrong order. */
		base_assert(slot->phase == phase);
		states->listeners[i].moved(states->listeners[i].context, slot, from, cause);
	}
}

bool fabric_slot_phase_is_live(enum slot_phase phase)
{
	return phase == SLOT_LIVE || phase == SLOT_FAILED;
}

bool fabric_slot_is_live(const struct slot *slot)
{
	return fabric_slot_phase_is_live(slot->phase);
}

bool fabric_slot_phase_is_quarantine(enum slot_phase phase)
{
	return phase == SLOT_SILENCING || phase == SLOT_QUARANTINE || phase == SLOT_RENEWING;
}

bool fabric_slot_is_leaving(const struct slot *slot)
{
	return slot->phase >= SLOT_LEAVING;
}

unsigned fabric_slot_count_quarantined(const struct slot_states *states)
{
	return states->counts[SLOT_SILENCING] + states->counts[SLOT_QUARANTINE] + states->counts[SLOT_RENEWING];
}

unsigned fabric_slot_count_live(const struct slot_states *states)
{
	return states->counts[SLOT_LIVE] + states->counts[SLOT_FAILED];
}

unsigned fabric_slot_count_teardowns(const struct slot_states *states)
{
	return states->counts[SLOT_TEARDOWN] + states->counts[SLOT_DRAINING];
}
