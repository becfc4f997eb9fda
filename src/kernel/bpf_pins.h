/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_BPF_PINS_H
#define WEFT_KERNEL_BPF_PINS_H

/* A folder of a bpffs with our pins. One process at a time has it: it is locked for as long as the descriptor is open. For bpf.c. Any thread. */

#include <stdbool.h>

struct err;

/*
 * Opens the folder PINS and locks it; MAKE: makes it, if it is missing. The descriptor; -1 with ERR: ENOENT: it is not there, nor can
 * it be made there; EBUSY: another process has it.
 */
int kern_pins_open(const char *pins, bool make, struct err *err);

/*
 * Removes all pins in the folder FD, whose path is PINS, but those with one of the COUNT names in KEEP. *REMOVED, which may be NULL, becomes
 * true if there was one. 0, or -1 with ERR.
 */
int kern_pins_sweep(int fd, const char *pins, const char *const *keep, unsigned count, bool *removed, struct err *err);

/* Removes the folder, which must be empty, and the one above it, if that is empty then. 0, or -1 with ERR. */
int kern_pins_remove_folder(const char *pins, struct err *err);

#endif
