/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_POLLER_H
#define WEFT_FORWARDER_POLLER_H

#include <stdint.h>

struct err;

/*
 * Workers wait on epoll itself. The pump needs a fact that libevent does not pass on, namely whether a FIN, an error or an urgent
 * byte stands behind the bytes that can be read. One poller, one thread.
 */
struct poller;

/* Inside the object that owns the descriptor. */
struct poll_source {
	void (*happened)(struct poll_source *source, uint32_t events); /* EPOLLIN, ... of epoll_ctl(2) */
};

/* NULL with ERR (EMFILE, ENOMEM). */
struct poller *fwd_poller_new(struct err *err);
void fwd_poller_free(struct poller *poller);

/*
 * Notifies SOURCE of every change of FD, a socket, edge-triggered and for both directions, until FD is closed. 0, or -1 with
 * errno (ENOMEM, ENOSPC).
 */
int fwd_poller_add_edges(struct poller *poller, int fd, struct poll_source *source);

/*
 * The same, but for room to write, of which SOURCE is not told before fwd_poller_hear_room(): that tells it at once if there is
 * room already. A unix socket announces room each time that its peer has read, full or not (sock_def_write_space() of TCP
 * waits for a full one). 0, or -1 with errno.
 */
int fwd_poller_add_deaf(struct poller *poller, int fd, struct poll_source *source);
int fwd_poller_hear_room(struct poller *poller, int fd, struct poll_source *source);

/* Notifies SOURCE for as long as FD is readable. 0, or -1 with errno. */
int fwd_poller_add_readable(struct poller *poller, int fd, struct poll_source *source);

/*
 * The same where several pollers have FD: of those that wait, one is woken. fwd_poller_remove() must come before FD is
 * closed; an event that was found already may still be dispatched after it. Any thread.
 */
int fwd_poller_add_shared(struct poller *poller, int fd, struct poll_source *source);
void fwd_poller_remove(struct poller *poller, int fd);

/* The epoll descriptor, for copies of it. Any thread. */
int fwd_poller_fd(const struct poller *poller);

/*
 * Has the poller forget all that it watches, at once, but FD, which it goes on watching as fwd_poller_add_readable() does. 0, or -1
 * with errno (EMFILE, ENFILE, ENOMEM, ENOSPC), and it watches all as before.
 */
int fwd_poller_reduce(struct poller *poller, int fd, struct poll_source *source);

/* Drops the events of SOURCE that were found and not dispatched yet. For a source whose descriptor was closed. */
void fwd_poller_forget(struct poller *poller, const struct poll_source *source);

/* Waits for events, TIMEOUT_MS at most; -1: without limit. fwd_poller_dispatch() notifies the sources of those found. */
void fwd_poller_wait(struct poller *poller, int timeout_ms);
void fwd_poller_dispatch(struct poller *poller);

#endif
