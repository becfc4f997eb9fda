/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_MAKE_H
#define WEFT_FABRIC_MAKE_H

#include <stdbool.h>

struct slot;

/*
 * Has the builder make SLOT, which is new and has its plan, behind all callers that wait: it is SLOT_PREPARING then. It becomes
 * ready, or is handed to the caller that claims it meanwhile, or is gone. False for lack of memory: nothing was done. Main thread.
 */
bool fabric_slot_prepare(struct slot *slot);

#endif
