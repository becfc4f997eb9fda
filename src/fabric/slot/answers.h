/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_ANSWERS_H
#define WEFT_FABRIC_SLOT_ANSWERS_H

/* How many ICMP errors a slot's namespace sends. Any thread. */

#include <stdbool.h>

struct err;

/*
 * ALL: the kernel limits no `destination unreachable`, for the flows of a guest that sleeps are answered so, up to a limit of the slot's
 * own rules; the kernel's own is one a second to an address. Else it limits them as in any new namespace. 0, or -1 with ERR.
 */
int slot_answers_set(int netns_fd, bool all, struct err *err);

#endif
