/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_HOLDERS_H
#define WEFT_KERNEL_HOLDERS_H

#include "kernel/namespace.h"

#include <stddef.h>

enum { KERN_HOLDERS_TEXT_SIZE = 160 };

/*
 * The processes that have the TAP LINK of a namespace open, such as "firecracker (pid 4711), qemu (pid 12)", wherever they run; ""
 * if none is visible from here. This process counts if there is no other. Reads all of /proc: milliseconds. Returns the number of processes; -1: none was found, and a
 * shortage of descriptors or memory kept some from being looked at. Any thread.
 */
int kern_holders_of_tap(const struct kern_namespace_key *key, const char *link,
			char text[static KERN_HOLDERS_TEXT_SIZE]);

/* The same for the processes that run in the namespace: a shell that somebody left open pins it as well as a VM does. */
int kern_holders_of_namespace(const struct kern_namespace_key *key, char text[static KERN_HOLDERS_TEXT_SIZE]);

/*
 * A descriptor of the namespace that the host's kernel knows by NSID, taken from a process that runs in it or has its TAP LINK
 * open. For a namespace that lost its name. -1: no such process is visible from here. Reads all of /proc. Any thread.
 */
int kern_holders_find_namespace(struct kern_rtnl *host, int nsid, const char *link);

/* The same for the namespace of KEY. */
int kern_holders_find_known(const struct kern_namespace_key *key, const char *link);

#endif
