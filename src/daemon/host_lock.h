/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_HOST_LOCK_H
#define WEFT_DAEMON_HOST_LOCK_H

#include <stdint.h>
#include <sys/types.h>

struct err;

/*
 * One weftd for each mark: two that share a link group in one network namespace would each take the other's slots for leftovers,
 * even with state directories and sockets of their own. The lock is a unix socket with an abstract name, unix(7): such names
 * belong to the network namespace, and go with the process however it ends.
 *
 * Returns the lock's descriptor, the caller's to close; -1 with ERR, which names the holder by its pid. EADDRINUSE: the holder is no
 * weftd, and must not keep one from its work.
 */
int daemon_lock_host(uint32_t link_group, struct err *err);

/* The process that has the lock, if it is a weftd's; 0: none, or the kernel does not tell. */
pid_t daemon_lock_holder(uint32_t link_group);

/* Throws away who asked the LOCK for its holder, now and then; else nobody could ask any more. -1: none. */
void daemon_lock_drain(int lock);

#endif
