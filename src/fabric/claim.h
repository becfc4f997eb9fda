/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_CLAIM_H
#define WEFT_FABRIC_CLAIM_H

#include "fabric/fabric.h"

struct slot;

/*
 * Hands SLOT, which is ready, or was prepared for the pool a moment ago, to the caller whose plan is in slot->claimed. DONE comes
 * when it is live, or with the failure after which it is given up. False for lack of memory: nothing was done, and DONE is not called.
 * Main thread.
 */
bool fabric_claim_slot(struct slot *slot, fabric_slot_done *done, void *context);

#endif
