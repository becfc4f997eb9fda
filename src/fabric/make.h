/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_MAKE_H
#define WEFT_FABRIC_MAKE_H

struct slot;

/*
 * Has the builder make SLOT, which is in SLOT_PREPARING and has its plan, behind all callers that wait. It becomes ready, or is
 * handed to the caller that claims it meanwhile, or is gone. Main thread.
 */
void fabric_slot_prepare(struct slot *slot);

#endif
