/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_LISTENER_H
#define WEFT_FORWARDER_LISTENER_H

#include "base/queue.h"
#include "forwarder/forwarder.h"

struct fwd_endpoint;
struct udp_port;

/* A listening address. Main thread. */
struct fwd_listener {
	LIST_ENTRY(fwd_listener) link;
	LIST_ENTRY(fwd_listener) of_route; /* ROUTE's, or that of the route for clients without a backend */
	struct forwarder *forwarder;
	struct fwd_route *route; /* NULL: the default endpoint, or that which hears of services */
	struct fwd_endpoint *endpoint;
	int fd;
	struct udp_port *udp; /* NULL with TCP; it owns FD */
};

/* The endpoint of ROUTE, or the default endpoint, with these properties, where one is open for TCP; the listener's. NULL: none. */
struct fwd_endpoint *fwd_listeners_find(const struct fwd_route *route, const struct addr *listen, uint16_t guest_port,
					bool proxy_protocol);

/* Stops accepting on all listeners, or resumes it. */
void fwd_listeners_pause(struct forwarder *forwarder);
void fwd_listeners_resume(struct forwarder *forwarder);

#endif
