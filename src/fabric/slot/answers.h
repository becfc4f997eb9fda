/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_ANSWERS_H
#define WEFT_FABRIC_SLOT_ANSWERS_H

/* How many ICMP errors a slot's namespace sends. Any thread. */

#include <stdbool.h>

struct err;

/*
 * ALL: the kernel does not limit `destination unreachable`, by which the slot's rules answer for a guest that sleeps, within a limit of their
 * own; the kernel's would be one a second to an address. Else it limits them as in any new namespace. 0, or -1 with ERR.
 */
int slot_answers_set(int netns_fd, bool all, struct err *err);

#endif
