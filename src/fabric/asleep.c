/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pausing and resuming a live slot.
 */
#include "fabric/answer.h"
#include "fabric/state.h"

void fabric_pause(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context)
{
	(void)plan;
	fabric_answer(fabric, done, context, NULL);
}

void fabric_resume(struct fabric *fabric, const struct fabric_plan *plan, bool keep, fabric_done *done, void *context)
{
	if (keep)
		fabric_answer(fabric, done, context, NULL);
	else
		fabric_flush_flows(fabric, plan->slot, done, context);
}
