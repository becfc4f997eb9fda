/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_TAP_H
#define WEFT_KERNEL_TAP_H

/* The TAP on which a VM lives. It is persistent, so that it outlasts the process that has it open. Any thread. */

#include <sys/types.h>

struct err;

#define TAP_NAME "tap0"

/* The user and the group that may open it beside root. */
struct kern_tap_owner {
	uid_t uid;
	gid_t gid;
};

/*
 * Makes a persistent TAP in the namespace, or sets the owner of the one that is there. It is down, without carrier, and not open
 * when this returns. OWNER NULL: the owner stays as it is, on a new TAP root alone. EBUSY: a VM has it open.
 */
int kern_tap_make(int netns_fd, const struct kern_tap_owner *owner, struct err *err);

#endif
