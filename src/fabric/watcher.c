/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moves of slots that the daemon hears of: a sandbox's slot has failed or recovered, a number that was ready for any sandbox may not be
 * used any more, a number may be used again. The other reports, of carriers, repairs and denied flows, are no moves, and
 * come from the files that find them.
 */
#include "fabric/watcher.h"

#include "base/log.h"
#include "fabric/state.h"

static void fabric_report_failed(struct slot *slot, const char *cause)
{
	const struct fabric_watcher *watcher = &slot->fabric->watcher;

	log_error("slot failed", F_STR("sandbox", fabric_slot_sandbox(slot)), F_UINT("slot", slot->number),
		  F_STR("why", cause));
	watcher->failed(watcher->context, slot->number, slot->failure, cause);
}

static void fabric_report_move(void *context, struct slot *slot, enum slot_phase from, const char *cause)
{
	const struct fabric *fabric = context;
	const struct fabric_watcher *watcher = &fabric->watcher;
	bool was_for_all = from == SLOT_READY || from == SLOT_CLAIMING;

	if (fabric_slot_phase_is_live(from) && !fabric_slot_is_live(slot))
		fabric_trouble_drop(slot);
	if (slot->phase == SLOT_FAILED)
		fabric_report_failed(slot, cause);
	else if (slot->phase == SLOT_LIVE && from == SLOT_FAILED)
		watcher->recovered(watcher->context, slot->number);
	/* If a caller waits for its end, the daemon knows already. */
	else if (slot->phase == SLOT_LEAVING && was_for_all && !slot->gone)
		watcher->slot_going(watcher->context, slot->number);
	else if ((slot->phase == SLOT_READY && from == SLOT_RENEWING) ||
		 (slot->phase == SLOT_GONE && from == SLOT_VANISHED))
		watcher->slot_free(watcher->context, slot->number);
}

void fabric_report_moves(struct fabric *fabric)
{
	fabric_slot_listen(&fabric->states, fabric_report_move, fabric);
}
