/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_ENDPOINT_H
#define WEFT_FORWARDER_ENDPOINT_H

#include "base/addr.h"
#include "base/loop.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct worker;

/* How each worker is told that an endpoint was closed and its connections are to be reset. */
struct endpoint_letter {
	struct mail mail;
	struct endpoint *endpoint;
	struct worker *worker;
};

/*
 * What the connections that came through one listening address have in common. It outlives the listener for as long as one of
 * them does. Constant but for the count.
 */
struct endpoint {
	atomic_uint references;
	struct addr listen;
	uint16_t guest_port;
	bool proxy_protocol;
	struct endpoint_letter letters[]; /* one a worker */
};

/* With one reference, the caller's. NULL only for lack of memory. */
struct endpoint *endpoint_new(size_t workers, const struct addr *listen, uint16_t guest_port, bool proxy_protocol);

/* Any thread. Returns ENDPOINT. */
struct endpoint *endpoint_reference(struct endpoint *endpoint);
void endpoint_release(struct endpoint *endpoint);

#endif
