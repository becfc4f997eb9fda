/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_FD_STORE_H
#define WEFT_DAEMON_FD_STORE_H

/* The service manager's store of descriptors: sd_notify(3), FDSTORE=1. Main thread only. */

#include <stdbool.h>
#include <stddef.h>

/* Whether this run has a service manager to keep descriptors. */
bool daemon_fd_store_is_there(void);

/*
 * What a former run stored, now the caller's: *COUNT descriptors from *FIRST on. Those of somebody else are not counted. NAMES
 * gets the names under which they are stored; free it with daemon_fd_store_free_names(). May be called once.
 */
void daemon_fd_store_receive(int *first, size_t *count, char ***names);
void daemon_fd_store_free_names(char **names);

/* Stores copies of FDS, 253 at most, under NAME. 0, or -1 with errno; ENOTCONN: there is no service manager after all. */
int daemon_fd_store_put(const char *name, const int *fds, size_t count);

/* Drops the store's copies under NAME. */
void daemon_fd_store_remove(const char *name);

/*
 * A descriptor that becomes readable (end of file) when the service manager has read all messages before this one; the caller's.
 * Until then the manager would drop them if their sender ended. -1 with errno.
 */
int daemon_fd_store_barrier(void);

#endif
