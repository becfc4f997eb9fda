/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_UNIX_SOCKET_H
#define WEFT_INSPECT_UNIX_SOCKET_H

#include <sys/types.h>

struct err;

/*
 * Finds the user whose process made the unix socket with the abstract NAME, without its leading NUL, in the network namespace of
 * the calling thread (sock_diag(7); UNIX_DIAG_UID is there since Linux 5.3). Unlike SO_PEERCRED it needs no connection. Returns 1
 * with *UID; 0: there is no such socket, or the kernel does not tell; -1 with ERR. Any thread.
 */
int inspect_unix_socket_owner(const char *name, uid_t *uid, struct err *err);

#endif
