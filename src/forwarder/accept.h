/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ACCEPT_H
#define WEFT_FORWARDER_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

struct fwd_endpoint;
struct err;
struct forwarder;
struct fwd_route;

/* How many workers hear one listening socket. */
size_t accept_workers(const struct forwarder *forwarder);

/*
 * Has workers accept from FD, a listening socket, for ROUTE; while accepting is paused they begin with accept_resume(). FD stays the
 * caller's. 0, or -1 with ERR (ENOMEM, ENOSPC), and then nobody hears it. Main thread.
 */
int accept_open(struct forwarder *forwarder, struct fwd_endpoint *endpoint, struct fwd_route *route, int fd,
		struct err *err);

/*
 * When it returns no worker accepts from the socket any more, and it may be closed. What was accepted before is reset (reason:
 * unregistered) if RESET; else it lives on, and so do the clients in the socket's queue, but while accepting is paused or the
 * forwarder ends: then the queue is left as it is. Main thread.
 */
void accept_close(struct fwd_endpoint *endpoint, bool reset);

/* Waits until no worker is in the middle of accepting. Main thread. */
void accept_wait(struct forwarder *forwarder);

/* Leaves clients in the socket's queue, or takes them again. accept_resume(): 0, or -1 for lack of memory. Main thread. */
void accept_suspend(struct fwd_endpoint *endpoint);
int accept_resume(struct fwd_endpoint *endpoint);

#endif
