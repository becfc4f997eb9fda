/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ACCEPT_H
#define WEFT_FORWARDER_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct endpoint_share;
struct fwd_endpoint;
struct err;
struct forwarder;
struct fwd_route;
struct poll_source;

/* ---- accept.c ---- */

/* EVENTS of a listening socket: accepts some. The thread of the share's worker. */
void fwd_accept_on_readable(struct poll_source *source, uint32_t events);

/*
 * Accepts a client for SHARE from the queue of LISTENING and fills CLIENT: the descriptor, non-blocking, the caller's. -1 with
 * errno: accept(2)'s; ECONNABORTED also for a client that has reset its connection already, which Linux's accept hands out. That
 * one is counted as ended. Any thread.
 */
int fwd_accept_next(const struct endpoint_share *share, int listening, struct addr *client);

/* Whether to go on accepting after fwd_accept_next() failed with ERROR; pauses all accepting for want of descriptors. Any thread. */
bool fwd_accept_goes_on(struct forwarder *forwarder, int error);

/* ---- accept_open.c ---- */

/*
 * Has workers accept from FD, a listening socket, for ROUTE; NULL: for whom services.h says. While accepting is paused they begin with
 * fwd_accept_resume(). FD stays the caller's. 0, or -1 with ERR (ENOMEM, ENOSPC) and no worker hears it. Main thread.
 */
int fwd_accept_open(struct forwarder *forwarder, struct fwd_endpoint *endpoint, struct fwd_route *route, int fd,
		    struct err *err);

/*
 * When it returns no worker accepts from the socket any more, and it may be closed. With RESET connections that came through it
 * are reset (reason: unregistered). Otherwise they live on, and so do the clients in the socket's queue. That queue is left as it
 * is while accepting is paused or the forwarder ends. Main thread.
 */
void fwd_accept_close(struct fwd_endpoint *endpoint, bool reset);

/* Leaves clients in the socket's queue, or takes them again: 0, or -1 for lack of memory. Main thread. */
void fwd_accept_suspend(struct fwd_endpoint *endpoint);
int fwd_accept_resume(struct fwd_endpoint *endpoint);

#endif
