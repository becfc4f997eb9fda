/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_NAME_H
#define WEFT_FABRIC_NAME_H

struct slot;

/*
 * Writes the sandbox's name on the veth and into the table of a live slot, behind all that wait. May fail silently. Main
 * thread.
 */
void fabric_slot_write_name(struct slot *slot);

#endif
