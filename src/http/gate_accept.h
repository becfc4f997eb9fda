/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_GATE_ACCEPT_H
#define WEFT_HTTP_GATE_ACCEPT_H

/*
 * A listening socket that goes on when descriptors run out. Main thread only.
 */

#include <stdbool.h>

struct err;
struct event_base;
struct evhttp;
struct gate_accept;

/*
 * Lets HTTP accept from FD, which listens already and is taken over in any case. MAKE_ROOM is called when no descriptor is left
 * and the reserve is used up: true if it closed a connection. NULL with ERR.
 */
struct gate_accept *gate_accept_new(struct event_base *base, struct evhttp *http, int fd,
				    bool (*make_room)(void *context), void *context, struct err *err);

/* Before evhttp_free(), which closes the socket. */
void gate_accept_free(struct gate_accept *accept);

/* A descriptor may be free again: fills the reserve up. */
void gate_accept_refill(struct gate_accept *accept);

#endif
