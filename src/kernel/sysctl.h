/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_SYSCTL_H
#define WEFT_KERNEL_SYSCTL_H

/* Settings of network namespaces that are files under /proc/sys alone. Any thread. */

#include <stddef.h>

struct err;

/*
 * Writes VALUE to the setting PATH, such as "net/ipv4/tcp_tw_reuse", of the namespace that the calling thread is in. 0 or -1
 * with ERR: ENOENT where the kernel has no such setting.
 */
int kern_sysctl_write(const char *path, const char *value, struct err *err);

/*
 * Reads the setting PATH of the namespace that the calling thread is in into VALUE, without the end of its line, and cut off at SIZE. "" for
 * a setting that the kernel does not have, or does not show. 0 or -1 with ERR.
 */
int kern_sysctl_read(const char *path, char *value, size_t size, struct err *err);

/* Closes its descriptor. For the end of the program. */
void kern_sysctl_close(void);

#endif
