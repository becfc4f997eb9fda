/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_REPAIR_H
#define WEFT_FABRIC_REPAIR_H

struct slot;

/*
 * Repairs the links, addresses and routes of a live slot, by a job of the builder, and reports the parts that had to be. If that
 * fails, the slot becomes failed. Nothing happens to a slot in another phase, or if a repair is under way. Main thread.
 */
void fabric_slot_repair(struct slot *slot);

#endif
