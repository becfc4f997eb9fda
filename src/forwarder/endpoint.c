/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages lie inside, so that closing an endpoint never fails for lack of memory. A message under way holds a reference.
 */
#include "forwarder/endpoint.h"

#include <stdlib.h>

struct fwd_endpoint *fwd_endpoint_new(size_t shares, const struct addr *listen, uint16_t guest_port,
				      bool proxy_protocol)
{
	struct fwd_endpoint *endpoint = calloc(1, sizeof(*endpoint) + shares * sizeof(endpoint->shares[0]));

	if (!endpoint)
		return NULL;
	atomic_init(&endpoint->references, 1);
	endpoint->share_count = shares;
	endpoint->listen = *listen;
	endpoint->guest_port = guest_port;
	endpoint->proxy_protocol = proxy_protocol;
	return endpoint;
}

struct fwd_endpoint *fwd_endpoint_new_out(size_t shares, const struct addr *listen, const struct fwd_target *target)
{
	struct fwd_endpoint *endpoint =
	    fwd_endpoint_new(shares, listen, addr_port(listen), target && target->proxy_protocol);

	if (!endpoint)
		return NULL;
	endpoint->direction = DIRECTION_OUT;
	if (target)
		endpoint->target = *target;
	return endpoint;
}

struct fwd_endpoint *fwd_endpoint_reference(struct fwd_endpoint *endpoint)
{
	atomic_fetch_add_explicit(&endpoint->references, 1, memory_order_relaxed);
	return endpoint;
}

void fwd_endpoint_release(struct fwd_endpoint *endpoint)
{
	if (atomic_fetch_sub_explicit(&endpoint->references, 1, memory_order_acq_rel) == 1)
		free(endpoint);
}

bool fwd_endpoint_is(const struct fwd_endpoint *endpoint, const struct fwd_endpoint *listening)
{
	return endpoint == listening || (endpoint->former && addr_equal(&endpoint->listen, &listening->listen));
}
