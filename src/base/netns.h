/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_NETNS_H
#define WEFT_BASE_NETNS_H

/*
 * Sockets in other network namespaces. A socket belongs for good to the namespace in which it was made, so a thread has to
 * be there for that one call. setns(2), socket(2) and setns(2) back cost about 1 us more than socket(2) alone.
 */

struct err;

/* Remembers the home namespace, in which the process started. Once, before any thread. 0 or -1 with ERR. */
int base_netns_init(struct err *err);

/*
 * A socket made inside the namespace of NETNS_FD; -1 for the home namespace. TYPE may carry SOCK_CLOEXEC and SOCK_NONBLOCK.
 * The caller owns it. -1 with ERR (EMFILE, ENFILE, EPERM, ...). Any thread; the thread is home again when this returns, and
 * the process aborts if it cannot be: a thread in the wrong namespace would mix up sandboxes. A thread that has spare descriptors
 * (base/spares.h) makes the socket of one where there are no others.
 */
int base_netns_socket(int netns_fd, int domain, int type, int protocol, struct err *err);

/*
 * Moves the calling thread into the namespace of NETNS_FD until base_netns_leave(). For a few calls in a row, never across a
 * return to a loop. 0 or -1 with ERR.
 */
int base_netns_enter(int netns_fd, struct err *err);

/* Home again; aborts if that fails. */
void base_netns_leave(void);

#endif
