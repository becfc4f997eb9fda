/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RECYCLE_H
#define WEFT_FABRIC_RECYCLE_H

#include <stdbool.h>

struct slot;

/*
 * Takes a live slot that is released into quarantine, if there is a pool and the slot is fit for it: slot->gone is called when
 * its address answers no more. false: it is not taken, and nothing has changed. Main thread.
 */
bool fabric_recycle_slot(struct slot *slot);

#endif
