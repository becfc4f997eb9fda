/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Releasing a slot, by its phase. A live slot may be used again (recycle.c). While a slot is being made or claimed, its release
 * waits for the end of that. All others are taken apart (teardown.c).
 */
#include "fabric/answer.h"
#include "fabric/recycle.h"
#include "fabric/state.h"

#include <errno.h>

static void fabric_release_refuse(struct fabric *fabric, unsigned number, int code, fabric_done *done, void *context)
{
	struct err err;

	err_set(&err, code, "slot %u", number);
	fabric_answer(fabric, done, context, &err);
}

static void fabric_release_slot(struct slot *slot)
{
	switch (slot->phase) {
	case SLOT_PREPARING:
	case SLOT_MAKING:
	case SLOT_ADOPTING:
	case SLOT_CLAIMING: /* at the end of these four it is seen that the slot is to be destroyed */
	case SLOT_LEAVING:
	case SLOT_TEARDOWN:
	case SLOT_DRAINING:
	case SLOT_VANISHED: /* given up already */
	case SLOT_GONE:
	case SLOT_PHASES:
		break;
	case SLOT_STUCK:
		slot_become(slot, SLOT_LEAVING, "asked for again");
		break;
	case SLOT_LIVE:
		if (fabric_recycle_slot(slot))
			break;
		slot_become(slot, SLOT_LEAVING, "destroyed");
		break;
	case SLOT_NEW:
	case SLOT_READY:
	case SLOT_FAILED:
	case SLOT_KEPT:
	case SLOT_SILENCING:
	case SLOT_QUARANTINE:
	case SLOT_RENEWING:
		slot_become(slot, SLOT_LEAVING, "destroyed");
		break;
	}
}

void fabric_destroy(struct fabric *fabric, unsigned number, const struct config_layout *layout, fabric_done *done,
		    void *context)
{
	struct slot *slot = fabric_slot_find(fabric, number);

	if (!slot && number >= 1 && number <= CONFIG_SLOT_MAX) {
		/* The kernel may have such a slot, and a former run may have left sockets inside. */
		slot = fabric_slot_new(fabric, number, layout);
		if (slot)
			slot->leftovers = true;
	}
	if (!slot) {
		fabric_release_refuse(fabric, number, EINVAL, done, context);
		return;
	}
	if (slot->gone) {
		fabric_release_refuse(fabric, number, EALREADY, done, context);
		return;
	}
	slot->gone = done;
	slot->gone_context = context;
	fabric_release_slot(slot);
}
