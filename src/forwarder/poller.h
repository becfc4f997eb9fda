/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_POLLER_H
#define WEFT_FORWARDER_POLLER_H

#include <stdint.h>

struct err;

/*
 * What a worker waits on: epoll itself. The pump lives on what libevent does not pass on: whether a FIN, an error or an urgent byte
 * stands behind the bytes that can be read. One poller, one thread.
 */
struct poller;

/* Inside the object that owns the descriptor. */
struct poll_source {
	void (*happened)(struct poll_source *source, uint32_t events); /* EPOLLIN, ... of epoll_ctl(2) */
};

/* NULL with ERR (EMFILE, ENOMEM). */
struct poller *poller_new(struct err *err);
void poller_free(struct poller *poller);

/*
 * Tells SOURCE of everything that changes about FD, a socket: edge-triggered, for both directions, until FD is closed. 0, or -1
 * with errno (ENOMEM, ENOSPC).
 */
int poller_add_edges(struct poller *poller, int fd, struct poll_source *source);

/* Tells SOURCE for as long as FD is readable. 0, or -1 with errno. */
int poller_add_readable(struct poller *poller, int fd, struct poll_source *source);

/*
 * The same where several pollers have FD: of those that wait, one is woken. poller_remove() before FD is closed; what was already
 * found may still be told after it. Any thread.
 */
int poller_add_shared(struct poller *poller, int fd, struct poll_source *source);
void poller_remove(struct poller *poller, int fd);

/* What poller_wait() has found for SOURCE and not told yet is not told. For a source whose descriptor was closed. */
void poller_forget(struct poller *poller, const struct poll_source *source);

/* Waits for TIMEOUT_MS at most; -1: without limit. poller_tell() tells what was found. */
void poller_wait(struct poller *poller, int timeout_ms);
void poller_tell(struct poller *poller);

#endif
