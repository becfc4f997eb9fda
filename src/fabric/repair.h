/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_REPAIR_H
#define WEFT_FABRIC_REPAIR_H

#include <stdbool.h>

struct slot;

/*
 * Compares the links, addresses, routes and the name of a live or failed slot with its plan, by a job of the builder, and repairs and
 * reports the parts that differ. While a repair is under way, another one follows it. A failure that was found gone is over; one that
 * was proved begins; any other error is a trouble, and tried again. Nothing happens to a slot in another phase, or to one whose
 * failure is final. Main thread.
 */
void fabric_slot_repair(struct slot *slot);

/* The same when the builder has nothing else to do. False: there is nothing to look at, or a repair is under way. Main thread. */
bool fabric_slot_look_over(struct slot *slot);

/*
 * Before the slot is taken apart or made silent: a repair that has not begun would give it back what is about to go. One that has
 * begun is over before any job that is posted after this call. Main thread.
 */
void fabric_slot_stop_repair(struct slot *slot);

#endif
