/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_TAP_H
#define WEFT_KERNEL_TAP_H

/* The TAP on which a VM lives: persistent, so that it outlasts whoever has it open. Any thread. */

#include <sys/types.h>

struct err;

#define TAP_NAME "tap0"

/* Who beside root may open it. */
struct tap_owner {
	uid_t uid;
	gid_t gid;
};

/*
 * Makes a persistent TAP in the namespace, or, where it exists, sets its owner; down, without carrier, and not open when this
 * returns. OWNER NULL: as it is, which is root alone on a new one. EBUSY: a VM has it open.
 */
int tap_make(int netns_fd, const struct tap_owner *owner, struct err *err);

#endif
