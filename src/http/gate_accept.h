/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_GATE_ACCEPT_H
#define WEFT_HTTP_GATE_ACCEPT_H

/*
 * A listening socket that goes on accepting when descriptors run out. Main thread only.
 */

#include <stdbool.h>

struct err;
struct event_base;
struct gate_accept;

struct gate_accept_ops {
	/* Takes over the connection FD, which does not block. */
	void (*serve)(void *context, int fd);
	/* No descriptor is left and the reserve is used up: true if a connection was closed. */
	bool (*make_room)(void *context);
};

/* Accepts from FD, which listens already and is taken over in any case. OPS must outlive it. NULL with ERR. */
struct gate_accept *http_gate_accept_new(struct event_base *base, int fd, const struct gate_accept_ops *ops,
					 void *context, struct err *err);

/* Takes the connections that are in the socket's queue, and closes it. */
void http_gate_accept_finish(struct gate_accept *accept);

/* Closes the listening socket. */
void http_gate_accept_free(struct gate_accept *accept);

/* A descriptor may be free again: fills the reserve up. */
void http_gate_accept_refill(struct gate_accept *accept);

#endif
