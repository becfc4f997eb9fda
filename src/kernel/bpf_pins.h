/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_PINS_H
#define WEFT_KERNEL_BPF_PINS_H

/* A folder of a bpffs whose pins are one process's at a time: the lock is the open folder. For bpf.c. Any thread. */

#include <stdbool.h>

struct err;

/*
 * Opens the folder PINS and locks it; MAKE: makes it, if it is missing. The descriptor; -1 with ERR: ENOENT: it is not there, nor can
 * it be made there; EBUSY: another process has it.
 */
int kern_pins_open(const char *pins, bool make, struct err *err);

/* Removes what is pinned in the folder FD, which PINS leads to, but for the COUNT names in KEEP. *REMOVED: something was; may be NULL. */
int kern_pins_sweep(int fd, const char *pins, const char *const *keep, unsigned count, bool *removed, struct err *err);

/* Removes the folder, which must be empty, and the one above it, if that is empty then. 0, or -1 with ERR. */
int kern_pins_remove_folder(const char *pins, struct err *err);

#endif
