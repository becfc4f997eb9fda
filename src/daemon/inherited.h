/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_INHERITED_H
#define WEFT_DAEMON_INHERITED_H

/*
 * Listening sockets that outlive the daemon: the service manager keeps them (systemd's fd store) and hands them to the next run,
 * so that clients never see a refused connection while weftd restarts. Matched by getsockname(2), never by name: all are stored
 * under one name. Main thread only.
 */

#include "base/addr.h"

#include <stddef.h>

struct inherited;

/* Takes the sockets over from the environment (sd_listen_fds(3)). NULL where there are none, or no systemd. */
struct inherited *daemon_inherited_receive(void);

/* The socket that listens on LISTEN, now the caller's; -1: none. INHERITED may be NULL. */
int daemon_inherited_take(struct inherited *inherited, const struct addr *listen, enum proto proto);

/* How many there are, taken or not. INHERITED may be NULL. */
size_t daemon_inherited_count(const struct inherited *inherited);
/* Fills FDS with those that nobody has taken, ROOM at most, and returns how many; they stay INHERITED's. It may be NULL. */
size_t daemon_inherited_peek(const struct inherited *inherited, int *fds, size_t room);

/* Closes those that nobody took. */
void daemon_inherited_free(struct inherited *inherited);

/*
 * Hands FDS to the service manager for safe-keeping, in messages of at most 253 descriptors (the kernel's SCM_MAX_FD). Does
 * nothing without a service manager.
 */
void daemon_inherited_store(const int *fds, size_t count);

#endif
