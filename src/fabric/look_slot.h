/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_LOOK_SLOT_H
#define WEFT_FABRIC_LOOK_SLOT_H

/* Looks at the links of slots, by jobs of the builder, and reports changes. Main thread. */

struct fabric;
struct slot;

/* An event says that something happened to the slot: looks at its links before the builder does anything else. */
void fabric_slot_look(struct slot *slot);

/* The same, but behind all callers that wait: nothing is known to have happened. */
void fabric_slot_look_later(struct slot *slot);

/* For a slot whose veth was seen a moment ago: that is looked at only if something happened to it since. */
void fabric_slot_look_inside(struct slot *slot);

/* fabric_slot_look() at every slot, for events were lost. */
void fabric_slot_look_at_all(struct fabric *fabric);

#endif
